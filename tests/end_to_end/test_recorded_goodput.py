"""Recorded goodput against the truth, at every second of half an hour with restarts, outages and late spans."""

import pytest

from tests.end_to_end.programs import import_samples, prometheus
from tests.end_to_end.recorded_goodput import (
    GOOD,
    JITTERED,
    JOBS,
    PER_WINDOW,
    ROUNDING,
    SHARE,
    STEADY,
    Moment,
    expression_of,
    moments,
    samples,
    simulated,
)

UNCHARGED = "uncharged"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Moment]]:
    """Every moment of each job by the recording rule, and of one without a charge for requests in flight."""
    world, folder = simulated(), tmp_path_factory.mktemp("prometheus")
    import_samples(folder, samples(world))
    uncharged = expression_of(SHARE, **{GOOD: "rate(goodwatt_slo_good_requests_total[5m])"})
    with prometheus(folder, None) as server:
        found = {job: list(moments(world, server, job, expression_of(SHARE))) for job in JOBS}
        return found | {UNCHARGED: list(moments(world, server, STEADY, uncharged))}


@pytest.mark.parametrize("job", [STEADY, JITTERED])
def test_recorded_bounds_contain_the_share_that_the_pages_counted(seen, job):
    """At every second of half an hour, through restarts, outages and gaps, up to the extrapolation of `rate`."""
    assert len(seen[job]) > 5000
    for moment in seen[job]:
        assert moment.outside(moment.span.truth, moment.span.extrapolated) <= 0.0, moment


@pytest.mark.parametrize("job", [STEADY, JITTERED])
def test_the_recorded_exact_share_is_within_the_recorded_bounds(seen, job):
    """At every second, up to the requests that only the page or only the records have counted so far."""
    for moment in seen[job]:
        assert abs(moment.exact - moment.span.truth_of_records) <= moment.span.from_zero + ROUNDING, moment
        assert moment.outside(moment.exact, moment.span.extrapolated + moment.span.delay) <= 0.0, moment


@pytest.mark.parametrize("job", [STEADY, JITTERED])
def test_records_are_behind_the_pages_by_one_tick(seen, job):
    """While pages arrive, the two methods differ by no more requests than ended in one tick at an end of the window."""
    quiet = [moment for moment in seen[job] if moment.span.is_quiet]
    assert len(quiet) > 500
    for moment in quiet:
        assert moment.span.counted_by_one_only <= moment.span.at_ends, moment


@pytest.mark.parametrize("broken", [UNCHARGED, PER_WINDOW])
def test_bounds_of_another_range_are_caught(seen, broken):
    """Bounds without the charge, and bounds that move once a window instead of once a tick, miss the truth."""
    assert sum(moment.outside(moment.span.truth, moment.span.extrapolated) > 0.0 for moment in seen[broken]) > 10
