"""From a snapshot to series: what is there, what is absent, and that nothing else changes."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.engine import Signal
from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.gpu_quantities import GPU_QUANTITIES
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.snapshot import Live, Snapshot, TokenRates
from goodwatt.model.source import NVML_SOURCE, Reason, Unavailable
from goodwatt.model.tariff import Carbon, Facility, PriceList, Tariff, TokenPrices
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from tests.fakes.snapshots import POLICY, after, gpus, page, results, snapshot, uuid, without_quantity
from tests.publish.pages import ROWS, names, recorded, series, small, timed, value

ACCOUNT = Account("vllm-0", "tiny")
DEFAULT = SloKey(ACCOUNT, "default")
TINY = {"server": "vllm-0", "model": "tiny"}

Change = Callable[[Snapshot], Snapshot]


def first_gpu(**changes: object) -> Change:
    def change(s: Snapshot) -> Snapshot:
        assert s.gpus is not None
        first, *others = s.gpus.gpus
        return replace(s, gpus=replace(s.gpus, gpus=(replace(first, **changes), *others)))

    return change


def without_gpu_quantity(name: str) -> Change:
    def change(s: Snapshot) -> Snapshot:
        assert s.gpus is not None
        first, *others = s.gpus.gpus
        return replace(s, gpus=replace(s.gpus, gpus=(without_quantity(first, name), *others)))

    return change


def without_meter(s: Snapshot) -> Snapshot:
    meters = {k: v for k, v in s.ledger.gpu_energy_millijoules.items() if k != uuid(0)}
    return replace(s, ledger=replace(s.ledger, gpu_energy_millijoules=meters))


def live(**changes: object) -> Change:
    return lambda s: replace(s, live={ACCOUNT: replace(s.live[ACCOUNT], **changes)})


def slo_live(**changes: object) -> Change:
    return lambda s: replace(s, slo_live={DEFAULT: replace(s.slo_live[DEFAULT], **changes)})


def policy(**changes: object) -> Change:
    return lambda s: replace(s, policy=replace(s.policy, **changes))


def first_source(**changes: object) -> Change:
    return lambda s: replace(s, sources=(replace(s.sources[0], **changes), *s.sources[1:]))


def without_counts(signal: Signal) -> Change:
    return lambda s: replace(
        s, ledger=replace(s.ledger, counts={k: v for k, v in s.ledger.counts.items() if k.signal is not signal})
    )


def without_histogram(signal: Signal) -> Change:
    return lambda s: replace(
        s, ledger=replace(s.ledger, histograms={k: v for k, v in s.ledger.histograms.items() if k[1] is not signal})
    )


def without_gauge(signal: Signal) -> Change:
    def change(s: Snapshot) -> Snapshot:
        gauges = {k: v for k, v in s.servers["vllm-0"].gauges.items() if k[0] is not signal}
        return replace(s, servers={"vllm-0": replace(s.servers["vllm-0"], gauges=gauges)})

    return change


def histogram(name: str) -> set[str]:
    return {f"{name}_bucket", f"{name}_count", f"{name}_sum"}


ATTAINMENT = {"slo_threshold_requests_total", "slo_threshold_met_requests_total"}

# What becomes unknown, and the names that lose series because of it: all others must stay exactly as they were.
MISSING: dict[str, tuple[Change, set[str]]] = {
    **{row.name: (without_gpu_quantity(row.name), {f"gpu_{row.name}"}) for row in GPU_QUANTITIES},
    "throttling": (first_gpu(throttled=None), {"gpu_throttled"}),
    "xid errors": (first_gpu(xid_errors=None), {"gpu_xid_errors_total"}),
    "latest xid": (first_gpu(last_xid=None), {"gpu_last_xid"}),
    "meter": (without_meter, {"gpu_energy_joules_total"}),
    "prompt tokens": (without_counts(Signal.PROMPT_TOKENS), {"prompt_tokens_total"}),
    "cached tokens": (without_counts(Signal.CACHED_PROMPT_TOKENS), {"cached_prompt_tokens_total"}),
    "generated tokens": (without_counts(Signal.GENERATED_TOKENS), {"generated_tokens_total"}),
    "requests": (without_counts(Signal.REQUESTS), {"requests_total"}),
    "preemptions": (without_counts(Signal.PREEMPTIONS), {"preemptions_total"}),
    "running": (without_gauge(Signal.REQUESTS_RUNNING), {"requests_running"}),
    "waiting": (without_gauge(Signal.REQUESTS_WAITING), {"requests_waiting"}),
    "kv cache": (without_gauge(Signal.KV_CACHE_USAGE), {"kv_cache_usage_ratio"}),
    "ttft": (without_histogram(Signal.TTFT), histogram("time_to_first_token_seconds") | ATTAINMENT),
    "tpot": (without_histogram(Signal.TPOT), histogram("time_per_output_token_seconds") | ATTAINMENT),
    "itl": (without_histogram(Signal.ITL), histogram("inter_token_latency_seconds")),
    "e2e": (without_histogram(Signal.E2E), histogram("request_duration_seconds")),
    "queue time": (without_histogram(Signal.QUEUE_TIME), histogram("queue_time_seconds")),
    "generated rate": (
        live(tokens=TokenRates(None, 10_240.0, 2048.0)),
        {
            *("tokens_per_second", "tokens_per_watt", "busy_tokens_per_watt"),
            *("joules_per_token", "cost_per_million_tokens"),
        },
    ),
    "power of the account": (
        live(watts=None),
        {"attributed_power_watts", "tokens_per_watt", "joules_per_token", "good_requests_per_joule"},
    ),
    "busy power of the account": (live(busy_watts=None), {"busy_tokens_per_watt"}),
    "money of the account": (
        live(cost_per_second=None),
        {"cost_per_hour", "cost_per_million_tokens", "cost_per_good_request"},
    ),
    "first tokens": (slo_live(first_tokens_minus_finished=None), {"slo_count_gap_requests"}),
    "eligible requests": (slo_live(eligible=0.0), {"goodput_ratio"}),
    "price": (
        policy(tariff=None),
        {
            *("cost_total", "unattributed_cost_total", "cost_per_hour", "cost_per_million_tokens"),
            *("cost_per_good_request", "price_per_gpu_hour"),
        },
    ),
    "carbon intensity": (policy(carbon=None), {"carbon_intensity_grams_per_kwh"}),
    "objectives": (policy(slos=()), {"slo_objective_ratio", "slo_threshold_seconds"} | ATTAINMENT),
    "duration of the tick": (lambda s: replace(s, tick_seconds=None), {"tick_duration_seconds"}),
    "success of a source": (first_source(last_success_seconds=None), {"source_age_seconds"}),
}


@pytest.mark.parametrize(("change", "affected"), MISSING.values(), ids=MISSING)
def test_missing_is_absent_and_nothing_else_changes(change: Change, affected: set[str]) -> None:
    """An unknown value has no series rather than a 0, and all other metrics stay unchanged."""
    before, after_ = series(small()), series(change(small()))
    lost = {name.removeprefix("goodwatt_") for name, _ in before.keys() - after_.keys()}
    assert lost == affected
    assert all(before.get(key) == number for key, number in after_.items())


def test_every_optional_gpu_field_is_tried() -> None:
    """The cases above cover every quantity and optional field of a GPU reading, and its energy."""
    optional = [row.name for row in GPU_QUANTITIES] + [f.name for f in fields(GpuReading) if f.default is None]
    assert len(optional) == sum(all(name.startswith("gpu_") for name in affected) for _, affected in MISSING.values())


def test_every_row_has_samples_in_the_full_picture() -> None:
    """When everything is known, every row has series, except those listed here."""
    closed = {f"closed_accounts_{what}_total" for what in ("energy_joules", "cost", "carbon_grams")}
    without = {"price_per_kwh", *closed}
    shown = names(small()) | names(recorded()) | names(timed())
    rows = {row.name + ("_bucket" if row.kind.value == "histogram" else "") for row in ROWS}
    assert rows - shown == without


def test_methods_are_apart() -> None:
    """Each method has its own requests, bounds and decided requests; method "tick" has its margin."""
    s = timed()
    assert value(s, "slo_requests_total", method="tick") == 100
    assert [value(s, "slo_good_requests_total", method="tick", bound=bound) for bound in ("lower", "upper")] == [90, 95]
    assert value(s, "slo_decided_requests_total", method="tick") == 95
    assert value(s, "slo_tick_margin_seconds", model="tiny") == 0.002
    (totals,) = s.ledger.slos.values()
    undecided = totals.good_upper - totals.good_lower
    assert value(s, "slo_decided_requests_total", method="histogram") == totals.eligible - undecided
    r = recorded()
    assert value(r, "slo_decided_requests_total", method="exact") == value(r, "slo_requests_total", method="exact") > 0
    assert value(r, "slo_requests_total", method="tick") is None
    assert value(replace(s, servers={}), "slo_tick_margin_seconds") is None


def test_gpu_values() -> None:
    """A GPU's energy is its increase since start, in joules; its flags are 0 or 1."""
    s = small()
    gpu = {"gpu": "1", "uuid": uuid(1)}
    assert value(s, "gpu_energy_joules_total", **gpu) == 13 * 5 * 614
    assert value(s, "gpu_power_watts", **gpu) == 614
    assert value(s, "gpu_throttled", reason="sw_power_cap", **gpu) == 1
    assert value(s, "gpu_throttled", reason="hw_thermal", **gpu) == 0
    assert value(s, "gpu_state", state="ok", **gpu) == 1
    assert value(s, "gpu_state", state="lost", **gpu) == 0
    assert value(s, "gpu_info", energy_method="measured", energy_scope="gpu", driver="570.86.15", **gpu) == 1
    assert value(s, "gpu_energy_glitches_total", **gpu) == 0


@pytest.mark.parametrize(("state", "word"), [(GpuState.OK, "unsupported"), (GpuState.LOST, "unavailable")])
def test_gpu_without_energy(state: GpuState, word: str) -> None:
    """A GPU without energy is labelled unsupported or, if temporary, unavailable."""
    s = first_gpu(energy=None, state=state)(without_meter(small()))
    assert value(s, "gpu_info", uuid=uuid(0), energy_method=word, energy_scope=word) == 1
    assert value(s, "gpu_state", uuid=uuid(0), state=state.value) == 1


@pytest.mark.parametrize("state", list(GpuState))
def test_gpu_whose_energy_cannot_be_read_now(state: GpuState) -> None:
    """A GPU that once had energy is never labelled unsupported, and keeps its total."""
    s = first_gpu(energy=None, state=state)(small())
    assert value(s, "gpu_info", uuid=uuid(0), energy_method="unavailable", energy_scope="unavailable") == 1
    assert value(s, "gpu_energy_joules_total", uuid=uuid(0)) == 13 * 5 * 614


def test_energy_conserves_on_the_page() -> None:
    """On the page, the energy of all GPUs equals attributed plus unattributed energy."""
    s = series(small())

    def total(name: str) -> float:
        return sum(v for (n, _), v in s.items() if n == f"goodwatt_{name}")

    assert total("gpu_energy_joules_total") == pytest.approx(
        total("energy_joules_total") + total("gpu_unattributed_energy_joules_total")
    )
    assert total("energy_joules_total") > 0


def test_both_energy_states_are_counted() -> None:
    """An account that was never idle has measured 0 idle joules."""
    assert value(small(), "energy_joules_total", state="idle", **TINY) == 0
    assert value(small(), "energy_joules_total", state="busy", **TINY) == 2 * 13 * 5 * 614


def test_server_values() -> None:
    """Counters are increases since the first page; gauges are as read; a server that never answered is down."""
    s = small()
    assert value(s, "server_up", server="vllm-0") == 1
    assert value(s, "server_up", server="vllm-1") == 0
    assert value(s, "server_info", server="vllm-0", engine="vllm", engine_version="0.11.0") == 1
    assert value(s, "generated_tokens_total", **TINY) == 13 * 25_795
    assert value(s, "requests_total", outcome="error", **TINY) == 13
    assert value(s, "requests_waiting", **TINY) == 2
    assert value(s, "time_to_first_token_seconds_count", **TINY) == 1300
    assert value(s, "server_dropped_lines_total", server="vllm-0") == 0
    assert value(s, "source_failures_total", source="server/vllm-1", reason="unreachable") == 14


def test_engine_without_version_has_an_empty_label() -> None:
    """An engine that does not report its version still has its info series."""
    s = small()
    s = replace(s, servers={"vllm-0": replace(s.servers["vllm-0"], engine_version=None)})
    assert value(s, "server_info", engine_version="") == 1


def test_a_servers_own_energy_counter_is_passed_on() -> None:
    """A server's own count of a GPU's energy is published unchanged next to goodwatt's; most servers have none."""
    s = small()
    assert value(s, "server_gpu_energy_joules_total", server="vllm-0", uuid="GPU-9") == 6.5
    s = replace(s, servers={"vllm-0": replace(s.servers["vllm-0"], gpu_joules={})})
    assert value(s, "server_gpu_energy_joules_total") is None


def test_histogram_without_sum_has_buckets_only() -> None:
    """A histogram whose sum is unknown has neither _sum nor _count; its +Inf bucket still counts."""
    s = small()
    where = ACCOUNT, Signal.TTFT
    histograms = {**s.ledger.histograms, where: replace(s.ledger.histograms[where], sum=None)}
    s = replace(s, ledger=replace(s.ledger, histograms=histograms))
    assert value(s, "time_to_first_token_seconds_sum") is None
    assert value(s, "time_to_first_token_seconds_count") is None
    assert value(s, "time_to_first_token_seconds_bucket", le="+Inf") == 1300


def test_money() -> None:
    """Rental is per GPU-hour: two GPUs for 65 s, and the same rate for an hour."""
    s = small()
    assert value(s, "cost_total", component="rental", currency="USD", **TINY) == pytest.approx(2 * 1.69 * 65 / 3600)
    assert value(s, "unattributed_cost_total", component="rental") == 0
    assert value(s, "cost_per_hour", **TINY) == pytest.approx(2 * 1.69)
    assert value(s, "cost_per_million_tokens", kind="generated") == pytest.approx(2 * 1.69 / 3600 / 5159 * 1e6)
    assert value(s, "price_per_gpu_hour", currency="USD") == 1.69


def test_revenue() -> None:
    """Revenue is by token kind in the currency of the price list, which may differ from that of cost."""
    prices = PriceList("EUR", (TokenPrices(prompt_per_million_tokens=1.0, generated_per_million_tokens=2.0),))
    s = snapshot(1, ["s"], policy=Policy(price_list=prices), model="m")
    generated = value(s, "generated_tokens_total")
    assert generated
    assert value(s, "revenue_total", kind="generated", currency="EUR") == pytest.approx(2e-6 * generated)
    assert value(replace(s, policy=Policy()), "revenue_total") is None


def test_price_of_energy() -> None:
    """With a price per kWh the component is electricity, and the factors in force are published."""
    priced = Policy(
        tariff=Tariff("EUR", price_per_kwh=0.3), facility=Facility(host_factor=1.4, pue=1.2), carbon=Carbon(50.0)
    )
    s = snapshot(1, ["s"], policy=priced, model="m")
    spent = 614 * 65 / 3.6e6 * 1.4 * 1.2
    assert value(s, "cost_total", component="electricity", currency="EUR") == pytest.approx(spent * 0.3)
    assert value(s, "carbon_grams_total") == pytest.approx(spent * 50)
    assert value(s, "unattributed_carbon_grams_total") == 0
    assert value(s, "price_per_kwh", currency="EUR") == 0.3
    assert value(s, "price_per_gpu_hour") is None
    assert value(s, "facility_host_factor_ratio") == 1.4
    assert value(s, "facility_pue_ratio") == 1.2


def test_unattributed_cost_and_carbon() -> None:
    """Without a server all cost and carbon of the GPUs is unattributed."""
    s = snapshot(2, [])
    assert value(s, "unattributed_cost_total", component="rental") == pytest.approx(2 * 1.69 * 65 / 3600)
    assert value(s, "unattributed_carbon_grams_total") == pytest.approx(2 * 614 * 65 / 3.6e6 * 400)
    assert value(s, "gpu_unattributed_energy_joules_total", gpu="0") == 614 * 65


def test_live_figures() -> None:
    """Live figures are the window's rates: tokens per second over watts, and the inverse."""
    s = small()
    assert value(s, "tokens_per_second", kind="generated") == 5159
    assert value(s, "tokens_per_second", kind="prompt") == 10_240
    assert value(s, "tokens_per_second", kind="cached_prompt") == 2048
    assert value(s, "attributed_power_watts") == 1228
    assert value(s, "tokens_per_watt", kind="generated") == pytest.approx(5159 / 1228)
    assert value(s, "tokens_per_watt", kind="total") == pytest.approx((5159 + 10_240) / 1228)
    assert value(s, "joules_per_token", kind="generated") == pytest.approx(1228 / 5159)


def test_bounds() -> None:
    """Lower is never above upper, and the bounds on the cost of a good request are swapped."""
    s = slo_live(good_lower=600.0, good_upper=1200.0, eligible=1500.0)(small())
    assert value(s, "goodput_requests_per_second", bound="lower") == 10
    assert value(s, "goodput_requests_per_second", bound="upper") == 20
    assert value(s, "goodput_ratio", bound="lower") == 0.4
    assert value(s, "goodput_ratio", bound="upper") == 0.8
    assert value(s, "good_requests_per_joule", bound="upper") == pytest.approx(20 / 1228)
    assert value(s, "cost_per_good_request", bound="lower") == pytest.approx(2 * 1.69 / 3600 / 20)
    assert value(s, "cost_per_good_request", bound="upper") == pytest.approx(2 * 1.69 / 3600 / 10)


def test_no_provably_good_request() -> None:
    """If no request is provably good, its cost has no upper bound and the rate's lower bound is 0."""
    s = slo_live(good_lower=0.0)(small())
    assert value(s, "cost_per_good_request", bound="upper") is None
    assert value(s, "cost_per_good_request", bound="lower") is not None
    assert value(s, "good_requests_per_joule", bound="lower") == 0
    assert value(s, "goodput_ratio", bound="lower") == 0


def test_slo_totals() -> None:
    """Totals of an SLO change with every page, and carry the method."""
    s = small()
    assert value(s, "slo_requests_total", method="histogram", slo="default", **TINY) == 1300
    lower = value(s, "slo_good_requests_total", method="histogram", bound="lower")
    upper = value(s, "slo_good_requests_total", method="histogram", bound="upper")
    assert lower is not None
    assert upper is not None
    assert 0 < lower < upper <= 1300
    assert value(s, "slo_threshold_seconds", slo="default", signal="tpot") == 0.1


DOWN = Unavailable(Reason.TIMEOUT, "no answer within 2 s")


def lost(*down: str) -> Snapshot:
    """Return a snapshot after 14 good ticks and three in which the sources in `down` failed."""
    good = [{"nvml": gpus(2, tick), "server/vllm-0": page("vllm-0", tick, "tiny")} for tick in range(14)]
    bad = [
        {"nvml": gpus(2, tick), "server/vllm-0": page("vllm-0", tick, "tiny")} | dict.fromkeys(down, DOWN)
        for tick in range(14, 17)
    ]
    return after([*good, *bad])


WHAT_IT_WAS_GIVEN = {"energy_joules_total", "cost_total", "revenue_total", "carbon_grams_total"}


def test_series_end_with_their_server() -> None:
    """Of a server that missed three ticks only its state is left, and what it was given of joules, money and carbon:
    without those the parts would no longer add up to what the GPUs measured."""
    shown = names(lost("server/vllm-0"))
    server_rows = {row.name for row in ROWS if "server" in row.labels} - {"server_up"} - WHAT_IT_WAS_GIVEN
    assert (
        not {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown} & server_rows
    )
    assert {"server_up", "gpu_power_watts", "gpu_unattributed_energy_joules_total", "unattributed_cost_total"} <= shown
    assert shown >= WHAT_IT_WAS_GIVEN


def test_energy_series_end_with_their_gpus() -> None:
    """Without fresh GPUs there are no GPU, energy or carbon series and no ratios of energy. Cost stays."""
    shown = names(lost("nvml"))
    gone = {row.name for row in ROWS if "gpu" in row.labels or "joule" in row.name or "watt" in row.name}
    gone -= {"server_gpu_energy_joules_total"}  # the server itself counts these
    gone |= {"carbon_grams_total", "unattributed_carbon_grams_total"}
    assert not shown & gone
    assert {
        "cost_total",
        "unattributed_cost_total",
        "cost_per_hour",
        "tokens_per_second",
        "goodput_ratio",
        "generated_tokens_total",
    } <= shown


def test_a_failed_source_has_reasons() -> None:
    """A source that is down shows 0, its age, and its failures by reason."""
    s = lost("nvml")
    assert value(s, "source_up", source="nvml") == 0
    assert value(s, "source_age_seconds", source="nvml") == 15
    assert value(s, "source_failures_total", source="nvml", reason="timeout") == 3
    assert value(s, "source_info", source="nvml") is None
    assert value(s, "source_info", source="server/vllm-0", simulated="false") == 1


def test_a_live_slo_without_live_rates_has_no_money() -> None:
    """Without the account's rates an SLO keeps its figures, except those that need energy or cost."""
    s = replace(small(), live={})
    assert value(s, "goodput_ratio", bound="upper") is not None
    assert value(s, "good_requests_per_joule", bound="upper") is None
    assert value(s, "cost_per_good_request", bound="upper") is None


def test_nothing_read_yet() -> None:
    """With no source at all, goodwatt still shows its own settings."""
    _, s = step(State(), results({}), POLICY, 1000.0, unix=1.75e9)
    assert {"build_info", "ticks_total", "window_seconds", "facility_pue_ratio"} <= names(s)
    assert "energy_joules_total" not in names(s)


def test_simulated_is_said() -> None:
    """A simulated reading, or a program that is a demo, shows in build_info; the reading also in source_info."""
    s = small()
    assert s.gpus is not None
    assert value(s, "build_info", simulated="false", version="0.1.0") == 1
    s = replace(s, sources=tuple(replace(one, simulated=one.source == NVML_SOURCE) for one in s.sources))
    assert value(s, "build_info", simulated="true") == 1
    assert value(s, "source_info", source="nvml", simulated="true") == 1
    assert is_simulated(small(), About(simulated=True))
    assert not is_simulated(small(), About())


def test_an_account_that_is_only_live_of_a_lost_server_is_hidden() -> None:
    """Even a snapshot that holds live figures of a server that is not fresh does not show them."""
    s = replace(small(), servers={})
    assert not {"tokens_per_second", "goodput_ratio", "slo_count_gap_requests", "cost_per_good_request"} & names(s)


def test_no_config_no_hash() -> None:
    """Where no configuration was read there is no config_info."""
    from goodwatt.publish.metrics.table import metric_table

    row = next(row for row in metric_table(About()) if row.name == "config_info")
    assert list(row.value(small())) == []
    assert value(small(), "config_info", hash="0123456789ab") == 1


def test_live_needs_no_energy() -> None:
    """An account with tokens and nothing else has tokens per second and no ratio."""
    s = replace(small(), live={ACCOUNT: Live(seconds=60.0, tokens=TokenRates(5.0))})
    assert value(s, "tokens_per_second", kind="generated") == 5
    assert not {"tokens_per_watt", "joules_per_token", "cost_per_hour", "attributed_power_watts"} & names(s)


def test_what_closed_accounts_were_given_completes_the_sums() -> None:
    """Absent while none was closed; then one number each, and joules and carbon go with the GPUs, money with prices."""
    closed = replace(
        small(),
        ledger=replace(
            small().ledger,
            closed_energy_millijoules=1500,
            closed_cost={"rental": 2.0},
            closed_carbon_grams=3.0,
        ),
    )
    assert not any(name.startswith("closed_") for name in names(small()))
    assert value(closed, "closed_accounts_energy_joules_total") == 1.5
    assert value(closed, "closed_accounts_cost_total", component="rental", currency="USD") == 2.0
    assert value(closed, "closed_accounts_carbon_grams_total") == 3.0
    assert not any(name.startswith("closed_") for name in names(policy(tariff=None)(replace(closed, gpus=None))))
