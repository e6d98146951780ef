"""Series from request records: exact figures next to the bounds, under method=exact."""

from dataclasses import replace

import pytest

from goodwatt.model.engine import Signal
from goodwatt.model.policy import Policy
from goodwatt.model.source import OTLP_SOURCE
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from tests.publish.pages import names, recorded, series, small, value

TINY = {"server": "vllm-0", "model": "tiny"}
EXACT = {"slo": "default", "method": "exact", **TINY}


def test_exact_totals_have_their_own_method():
    """Records are counted immediately, and do not change the histogram series of the same SLO."""
    s = recorded()
    assert value(s, "slo_requests_total", **EXACT) == 14 * 5
    assert value(s, "slo_good_requests_total", bound="exact", **EXACT) == 14 * 3
    before, now = series(small()), series(s)
    for name in ("slo_requests_total", "slo_good_requests_total"):
        found = {key: number for key, number in now.items() if key[0] == f"goodwatt_{name}"}
        bounds = {key: number for key, number in found.items() if ("method", "histogram") in key[1]}
        assert bounds == {key: number for key, number in before.items() if key[0] == f"goodwatt_{name}"} != {}
        assert len(found) - len(bounds) == 1


def test_thresholds_and_reasons_have_series_of_their_own():
    """The metrics show which threshold a request missed, or why it has no verdict."""
    s = recorded()
    assert value(s, "slo_threshold_met_requests_total", signal="ttft", bound="exact", **EXACT) == 14 * 3
    assert value(s, "slo_threshold_met_requests_total", signal="tpot", bound="exact", **EXACT) == 14 * 4
    assert value(s, "slo_unjudged_requests_total", reason="ttft_unknown", slo="default", **TINY) == 1


def test_a_threshold_alone_has_bounds_from_its_histogram():
    """Each threshold has bounds on the requests that met it, out of those in its own histogram."""
    s = small()
    met = [
        value(s, "slo_threshold_met_requests_total", signal="tpot", method="histogram", bound=bound, **TINY)
        for bound in ("lower", "upper")
    ]
    seen = value(s, "slo_threshold_requests_total", signal="tpot", method="histogram", **TINY)
    assert seen == value(s, "time_per_output_token_seconds_count", **TINY)
    assert met == [value(s, "time_per_output_token_seconds_bucket", le="0.1", **TINY)] * 2
    assert value(recorded(), "slo_threshold_requests_total", signal="ttft", **EXACT) == 14 * 5


def test_a_threshold_without_a_histogram_has_no_share():
    """A histogram that no page has shown gives no series, rather than 0 of 0."""
    s = small()
    histograms = {key: h for key, h in s.ledger.histograms.items() if key[1] is not Signal.TTFT}
    s = replace(s, ledger=replace(s.ledger, histograms=histograms))
    assert value(s, "slo_threshold_requests_total", signal="ttft") is None
    assert value(s, "slo_threshold_requests_total", signal="tpot") is not None


def test_good_tokens_have_a_denominator():
    """Both good tokens and the tokens of all eligible requests are published."""
    s = recorded()
    assert value(s, "slo_good_tokens_total", bound="exact", **EXACT) == 14 * 99
    assert value(s, "slo_tokens_total", **EXACT) == 14 * 199


def test_live_figures_are_exact():
    """Rates, shares, energy and cost are those of one window: 60 s with 12 ticks."""
    s, live = recorded(), {"slo": "default", "bound": "exact", **TINY}
    assert value(s, "goodput_requests_per_second", **live) == pytest.approx(36 / 60)
    assert value(s, "goodput_ratio", **live) == 0.6
    assert value(s, "good_requests_per_joule", **live) == pytest.approx(36 / 60 / 1228)
    assert value(s, "cost_per_good_request", currency="USD", **live) == pytest.approx(2 * 1.69 / 3600 / 0.6)
    assert value(s, "goodput_tokens_per_second", **live) == pytest.approx(12 * 99 / 60)
    assert value(s, "good_tokens_per_joule", **live) == pytest.approx(12 * 99 / 60 / 1228)
    per_million = 2 * 1.69 / 3600 / (12 * 99 / 60) * 1e6
    assert value(s, "cost_per_million_good_tokens", currency="USD", **live) == pytest.approx(per_million)
    assert value(s, "goodput_ratio", **{**live, "bound": "lower"}) is not None


def test_unknown_tokens_energy_or_prices_remove_their_figures():
    """An unknown value is absent, never 0."""
    s = recorded()
    (key,) = s.exact_live
    lost = {"slo_tokens_total", "slo_good_tokens_total", "goodput_tokens_per_second", "good_tokens_per_joule"}
    lost |= {"cost_per_million_good_tokens"}
    totals = replace(s.ledger.exact[key], tokens=None, good_tokens=None)
    blind = replace(
        s,
        ledger=replace(s.ledger, exact={key: totals}),
        exact_live={key: replace(s.exact_live[key], tokens=None, good_tokens=None)},
    )
    assert names(s) - names(blind) == lost
    live = s.exact_live[key]
    cold = replace(s, exact_live={key: replace(live, rates=replace(live.rates, watts=None, cost_per_second=None))})
    assert value(cold, "good_requests_per_joule", bound="exact") is None
    assert value(cold, "good_requests_per_joule", bound="upper") is not None
    assert names(s) - names(cold) == {"good_tokens_per_joule", "cost_per_million_good_tokens"}
    assert value(cold, "cost_per_good_request", bound="exact") is None
    free = replace(s, policy=replace(s.policy, tariff=None))
    assert "cost_per_million_good_tokens" not in names(free)


def test_records_and_dropped_records_are_counted():
    """Both are counted by source; records also by account, outcome and token count."""
    s = recorded()
    kinds = {"source": "otlp", **TINY}
    assert value(s, "request_records_total", outcome="success", tokens="reported", **kinds) == 14 * 3 + 1
    assert value(s, "request_records_total", outcome="success", tokens="estimated", **kinds) == 14
    assert value(s, "request_records_total", outcome="error", tokens="unknown", **kinds) == 14
    assert value(s, "request_records_dropped_total", source="otlp", reason="duplicate") == 28


def test_slo_thresholds_are_bucket_boundaries():
    """The share of requests within a threshold can be read from its bucket."""
    s = recorded()
    name = "exact_time_to_first_token_seconds"
    assert value(s, f"{name}_bucket", le="1.0", **TINY) == 14 * 3
    assert value(s, f"{name}_count", **TINY) == 14 * 4
    assert value(s, f"{name}_sum", **TINY) == pytest.approx(14 * (3 * 0.4 + 1.5))
    assert value(s, "exact_time_per_output_token_seconds_bucket", le="0.1", **TINY) == 14 * 4 + 1
    assert value(s, "exact_request_duration_seconds_count", **TINY) == 14 * 4 + 1


def test_exact_series_end_with_their_record_source():
    """Without a fresh record source there are no exact series; dropped records belong to the source and stay."""
    s = recorded()
    gone = replace(s, record_sources={})
    lost = set(series(s).keys() - series(gone).keys())
    assert {name for name, _ in lost} >= {"goodwatt_request_records_total", "goodwatt_slo_good_tokens_total"}
    assert not any("exact" in name or ("method", "exact") in labels for name, labels in series(gone))
    assert not any(("bound", "exact") in labels for _, labels in series(gone))
    assert value(gone, "request_records_dropped_total", source="otlp") == 28


def test_a_record_source_reports_whether_it_is_simulated():
    """source_info of a record source has the label `simulated`."""
    s = recorded()
    assert value(s, "source_info", source="otlp", simulated="false") == 1
    sources = tuple(replace(one, simulated=one.source == OTLP_SOURCE) for one in s.sources)
    made_up = replace(s, sources=sources)
    assert value(made_up, "source_info", source="otlp", simulated="true") == 1
    assert is_simulated(made_up, About()) and not is_simulated(s, About())


def test_records_count_without_slos():
    """Latencies and records are published even if no SLO is configured."""
    s = recorded()
    bare = replace(s, policy=Policy(), exact_live={}, ledger=replace(s.ledger, exact={}))
    assert value(bare, "exact_request_duration_seconds_count", **TINY) == 57
    assert value(bare, "slo_requests_total", method="exact") is None
