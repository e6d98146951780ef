"""Prefill/decode pairs: each request, prompt and first token once, and goodput from both halves."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from goodwatt.derive.policy_change import apply_policy
from goodwatt.derive.retention import forget_removed
from goodwatt.model.engine import EngineReading, EngineTraits, Outcome, Role, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, CountKey, Ledger, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.request import Dropped
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import OTLP_SOURCE, server_source
from tests.engines.golden import HERE, reading_of
from tests.fakes.readings import Fold, record, records_result, served

TTFT, TPOT = Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.05)
CHAT = Slo(name="chat", thresholds=(TTFT, TPOT), objective=0.9)
WHOLE = Slo(name="whole", thresholds=(TTFT, Threshold(Signal.E2E, 5.0)), objective=0.9)
PACE = Slo(name="pace", thresholds=(TPOT,), objective=0.9)
POLICY = Policy(slos=(CHAT, WHOLE, PACE))
P, D = Account("prefill", "m"), Account("decode", "m")


def half(
    role: Role, at: float, *, first: tuple[int, int] = (0, 0), ends: tuple[int, int] = (0, 0), **more: float
) -> EngineReading:
    """A page of one half. `first` and `ends` are (within the threshold, all) of TTFT, and of TPOT and successes."""
    ttft, tpot = (
        Histogram(edges=(edge,), counts=(n[0],), count=n[1], sum=None) for edge, n in ((0.5, first), (0.05, ends))
    )
    counters = {
        SeriesId(Signal.REQUESTS, "m", outcome=Outcome.SUCCESS): float(ends[1]),
        SeriesId(Signal.REQUESTS, "m", outcome=Outcome.ERROR): more.get("errors", 0.0),
        SeriesId(Signal.GENERATED_TOKENS, "m"): more.get("generated", 0.0),
    }
    return EngineReading(
        server=str(role) if "server" not in more else f"{role}{more['server']:g}",
        at_seconds=at,
        engine="toy",
        traits=EngineTraits(),
        counters=counters,
        gauges={(Signal.REQUESTS_RUNNING, "m"): more.get("running", 0.0)},
        histograms={SeriesId(Signal.TTFT, "m"): ttft, SeriesId(Signal.TPOT, "m"): tpot},
        role=role,
    )


def totals(snapshot: Snapshot, slo: str = "chat", account: Account = D) -> tuple[float, float, float] | None:
    found = snapshot.ledger.slos.get(SloKey(account, slo))
    return None if found is None else (found.eligible, found.good_lower, found.good_upper)


def counted(ledger: Ledger, signal: Signal, outcome: Outcome | None = None) -> dict[str, float]:
    return {
        key.account.server: value
        for key, value in ledger.counts.items()
        if (key.signal, key.outcome) == (signal, outcome)
    }


def folded(*ticks: tuple[EngineReading, ...]) -> list[Snapshot]:
    fold = Fold(POLICY)
    for n, pages in enumerate(ticks):
        fold.tick(5.0 * n, *map(served, pages))
    return fold.snapshots


def captured(role: Role, n: int, previous: EngineReading | None) -> EngineReading:
    text = (HERE / f"vllm/prefill-decode/{role}-{n}.prom").read_text()
    reading = reading_of("vllm", text, previous=previous)
    return replace(reading, server=str(role), role=role, at_seconds=float(n))


def test_a_captured_pair() -> None:
    """Ten requests of 1000 and 100 tokens in a second: every request, prompt token and first token counts once."""
    slow = Slo(name="chat", thresholds=(TTFT, Threshold(Signal.TPOT, 0.5)), objective=0.9)
    fold, before = Fold(Policy(slos=(slow,))), dict.fromkeys((Role.PREFILL, Role.DECODE))
    for n in (0, 1):
        now = {role: captured(role, n, before[role]) for role in before}
        fold.tick(float(n), *map(served, now.values()))
        before = now  # type: ignore[assignment]
    snapshot = fold.tick(2.0, *(served(replace(page, at_seconds=2.0)) for page in now.values()))
    ledger = snapshot.ledger
    assert counted(ledger, Signal.PROMPT_TOKENS) == {"prefill": 10_000, "decode": 0}
    assert counted(ledger, Signal.CACHED_PROMPT_TOKENS) == {"prefill": 0, "decode": 0}
    assert counted(ledger, Signal.GENERATED_TOKENS) == {"prefill": 0, "decode": 1000}
    assert counted(ledger, Signal.REQUESTS, Outcome.SUCCESS) == {"prefill": 0, "decode": 10}
    assert {account.server: h.count for (account, signal), h in ledger.histograms.items() if signal is Signal.TTFT} == {
        "prefill": 10
    }
    assert totals(snapshot) == (10, 0, 10)  # ten were already running at the first page: each may have missed its TTFT
    assert totals(snapshot, account=P) is None


def test_ends_wait_for_the_first_tokens_that_belong_to_them() -> None:
    """An end counts a tick after its page: a first token that is on the other page only then is charged in time."""
    snapshots = folded(
        (half(Role.PREFILL, 0), half(Role.DECODE, 0)),
        (half(Role.PREFILL, 5), half(Role.DECODE, 5, ends=(1, 1))),
        (half(Role.PREFILL, 10, first=(0, 1)), half(Role.DECODE, 10, ends=(1, 1))),
        (half(Role.PREFILL, 15, first=(0, 1)), half(Role.DECODE, 15, ends=(1, 1))),
    )
    assert [totals(one) for one in snapshots] == [None, (0, 0, 0), (1, 0, 0), (1, 0, 0)]


def test_bounds_of_a_pair() -> None:
    """Of four requests one misses TTFT and another TPOT: two or three are good."""
    snapshots = folded(
        (half(Role.PREFILL, 0), half(Role.DECODE, 0)),
        (half(Role.PREFILL, 5, first=(3, 4)), half(Role.DECODE, 5, running=4)),
        (half(Role.PREFILL, 10, first=(3, 4)), half(Role.DECODE, 10, ends=(3, 4))),
        (half(Role.PREFILL, 15, first=(3, 4)), half(Role.DECODE, 15, ends=(3, 4))),
    )
    assert totals(snapshots[-1]) == (4, 2, 3)
    assert totals(snapshots[-1], "pace") == (4, 3, 3)


def test_a_failure_in_prefill_is_one_of_the_pairs_requests() -> None:
    """A request that never reached the decode server is eligible and not good."""
    ended = half(Role.DECODE, 5, ends=(1, 1))
    snapshots = folded(
        (half(Role.PREFILL, 0), half(Role.DECODE, 0)),
        (half(Role.PREFILL, 5, first=(1, 1), errors=2), ended),
        (half(Role.PREFILL, 10, first=(1, 1), errors=2), replace(ended, at_seconds=10.0)),
    )
    assert totals(snapshots[-1]) == (3, 1, 1)


def test_the_whole_latency_of_a_pair_is_unknown() -> None:
    """Neither half observes E2E from the request's arrival to its end, so an SLO with that threshold is absent."""
    assert (
        totals(
            folded(*[(half(Role.PREFILL, n, first=(n, n)), half(Role.DECODE, n, ends=(n, n))) for n in range(4)])[-1],
            "whole",
        )
        is None
    )


def test_one_account_for_several_servers() -> None:
    """Two prefill and two decode servers of a model share one account, the first decode server's; sums are right."""

    def pages(n: int) -> tuple[EngineReading, ...]:
        first, ends = (2 * n, 2 * n), (2 * min(n, 2), 2 * min(n, 2))
        return (
            *(half(Role.PREFILL, 5.0 * n, first=first, server=one) for one in (1, 2)),
            *(half(Role.DECODE, 5.0 * n, ends=ends, server=one) for one in (2, 1)),
        )

    snapshot = folded(*(pages(n) for n in range(4)))[-1]
    assert {key.account.server for key in snapshot.ledger.slos if key.slo == "chat"} == {"decode1"}
    assert totals(snapshot, account=Account("decode1", "m")) == (8, 8, 8)


def test_requests_in_progress_at_the_start() -> None:
    """Those already running when the first pages are read may have missed their TTFT: each can explain one end."""
    snapshots = folded(
        (half(Role.PREFILL, 0), half(Role.DECODE, 0, running=2)),
        (half(Role.PREFILL, 5), half(Role.DECODE, 5, ends=(3, 3))),
        (half(Role.PREFILL, 10), half(Role.DECODE, 10, ends=(3, 3))),
    )
    assert totals(snapshots[-1]) == (3, 1, 3)


def test_a_half_without_the_other() -> None:
    """A decode server alone is judged where no TTFT is needed; a prefill server alone not at all."""
    alone = folded(*[(half(Role.DECODE, n, ends=(n, n)),) for n in range(3)])[-1]
    assert totals(alone) is None
    assert totals(alone, "pace") == (1, 1, 1)
    assert folded(*[(half(Role.PREFILL, n, first=(n, n)),) for n in range(3)])[-1].ledger.slos == {}


def test_a_decode_page_that_is_missing_for_a_tick() -> None:
    """Nothing ends in that tick, and its ends count with the next page."""
    snapshots = folded(
        (half(Role.PREFILL, 0), half(Role.DECODE, 0)),
        (half(Role.PREFILL, 5, first=(1, 1)), half(Role.DECODE, 5)),
        (half(Role.PREFILL, 10, first=(2, 2)),),
        (half(Role.PREFILL, 15, first=(2, 2)), half(Role.DECODE, 15, ends=(2, 2))),
        (half(Role.PREFILL, 20, first=(2, 2)), half(Role.DECODE, 20, ends=(2, 2))),
    )
    assert totals(snapshots[-1]) == (2, 2, 2)


def test_records_of_a_half_do_not_count() -> None:
    """A span of a prefill or decode server covers half of a request and is dropped with that reason."""
    fold = Fold(POLICY)
    pages = half(Role.PREFILL, 0), half(Role.DECODE, 0)
    fold.tick(0.0, *map(served, pages))
    snapshot = fold.tick(5.0, *map(served, pages), records_result(5.0, record(server="decode", model="m")))
    dropped: Mapping[Dropped, int] = next(one.dropped for one in snapshot.sources if one.source == OTLP_SOURCE)
    assert dropped == {Dropped.HALF_REQUEST: 1}
    assert snapshot.ledger.exact == {}


@pytest.mark.parametrize("signal", [Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS])
def test_a_server_without_a_role_counts_everything(signal: Signal) -> None:
    """Without a role nothing is taken from a page."""
    page = replace(half(Role.DECODE, 0, generated=1.0), role=Role.ANY, server="s")
    more = replace(page, at_seconds=5.0, counters={SeriesId(signal, "m"): 9.0})
    assert folded((page,), (more,))[-1].ledger.counts[CountKey(Account("s", "m"), signal)] == (
        8.0 if signal is Signal.GENERATED_TOKENS else 9.0
    )


def test_a_removed_pair_is_forgotten() -> None:
    """When its account is closed, long after the servers were removed, nothing of the pair is left."""
    fold = Fold(POLICY)
    fold.tick(0.0, served(half(Role.PREFILL, 0)), served(half(Role.DECODE, 0)))
    assert set(fold.state.pairs) == {"m"}
    for n in range(70):
        name = f"s{n}"
        fold.state = forget_removed(fold.state, {server_source(name)})
        fold.tick(5.0 * n + 5.0, served(replace(half(Role.DECODE, 0), role=Role.ANY, server=name)))
    fold.state = forget_removed(fold.state, set())
    assert fold.state.pairs == {}


def test_an_slo_that_is_added_to_a_pair() -> None:
    """It knows nothing of the first tokens so far: each end that is still to be judged may have missed its TTFT."""
    fold = Fold(Policy())
    for n, ends in enumerate((0, 0, 2)):
        fold.tick(
            5.0 * n,
            served(half(Role.PREFILL, 5.0 * n, first=(2 * min(n, 1), 2 * min(n, 1)))),
            served(half(Role.DECODE, 5.0 * n, ends=(ends, ends))),
        )
    fold.state = apply_policy(fold.state, fold.policy, POLICY)
    fold.policy = POLICY
    for n in (3, 4):
        fold.tick(
            5.0 * n, served(half(Role.PREFILL, 5.0 * n, first=(2, 2))), served(half(Role.DECODE, 5.0 * n, ends=(2, 2)))
        )
    assert totals(fold.snapshots[-1]) == (2, 0, 2)
