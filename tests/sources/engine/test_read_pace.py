"""How often a server is read between two ticks."""

import pytest

from goodwatt.model.engine import EngineReading, EngineTraits, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.settings.sources import ReadInterval
from goodwatt.sources.engine.read_pace import MAX_READS_PER_TICK, ReadPace, TickOfReads, automatic_interval

TICK, CPU = 5.0, 0.0  # besides the 2 ms that any read is assumed to cost


def automatic(ended: float, *, seconds: float = TICK, working: bool = True, cpu: float = CPU) -> float | None:
    return automatic_interval(TickOfReads(seconds=seconds, ended=ended, is_working=working), cpu)


def page(at: float, ended: float, *, running: float = 1, from_histogram: bool = False) -> EngineReading:
    e2e = Histogram(edges=(1.0,), counts=(ended,), count=ended, sum=ended)
    done = {} if from_histogram else {SeriesId(Signal.REQUESTS, "m", outcome=Outcome.SUCCESS): ended}
    return EngineReading(
        server="s",
        at_seconds=at,
        engine="toy",
        traits=EngineTraits(),
        counters=done,
        gauges={(Signal.REQUESTS_RUNNING, "m"): running},
        histograms={SeriesId(Signal.E2E, "m"): e2e},
    )


def reads(interval: ReadInterval, ended: float = 5, **more: float) -> tuple[int, float]:
    """The reads after the second tick."""
    pace = ReadPace(interval)
    assert pace.reads_until_next_tick(page(10.0, 100), CPU) == (0, 0.0)
    return pace.reads_until_next_tick(page(10.0 + TICK, 100 + ended, **more), CPU)


def test_the_shortest_interval_is_a_fifth_of_a_second() -> None:
    """A page that costs little is read every 0.2 s."""
    assert automatic(ended=5) == 0.2


def test_reading_takes_at_most_a_hundredth_of_a_core() -> None:
    """A page that costs 8 ms, and 2 ms of HTTP and folding, is read once a second."""
    assert automatic(ended=2, cpu=0.008) == pytest.approx(1.0)


def test_many_servers_share_a_budget() -> None:
    """Up to four servers take 1 % of a core each; more share 4 %."""
    tick = TickOfReads(seconds=TICK, ended=0.0, is_working=True)
    assert [automatic_interval(tick, 0.008, servers) for servers in (1, 4, 8, 64)] == pytest.approx([1, 1, 2, 16])
    pace = ReadPace("auto", lambda: ["s"] * 64)
    pace.reads_until_next_tick(page(0.0, 0), CPU)
    assert pace.reads_until_next_tick(page(TICK, 1), CPU) == (1, pytest.approx(2.5))


def test_faster_reads_pay_below_one_and_a_half_ends() -> None:
    """Where 1.5 requests or more end between two reads, the server is read once a tick."""
    assert automatic(ended=7.4 * TICK) == 0.2
    assert automatic(ended=7.5 * TICK) is None


def test_an_idle_server_is_read_once_a_tick() -> None:
    """Nothing in progress and nothing finished: nothing to prove."""
    assert automatic(ended=0, working=False) is None
    assert automatic(ended=0) == 0.2
    assert automatic(ended=1, working=False) == 0.2


def test_reads_are_spread_over_the_tick() -> None:
    """Reads between two ticks of 5 s at 0.2 s are 24, and the 25th is the tick's own."""
    assert reads("auto") == (24, pytest.approx(0.2))
    assert reads(1.0) == (4, pytest.approx(1.0))
    assert reads(2.0) == (1, pytest.approx(2.5))


@pytest.mark.parametrize("interval", ["tick", 5.0, 60.0])
def test_off(interval: ReadInterval) -> None:
    """With `tick`, and with an interval that is not below the tick's, only ticks read."""
    assert reads(interval) == (0, 0.0)


def test_the_operators_interval_is_not_questioned() -> None:
    """A configured number is used for an idle server and at any rate, but never more than 50 reads a tick."""
    assert reads(1.0, ended=0, running=0) == (4, pytest.approx(1.0))
    assert reads(1.0, ended=1000) == (4, pytest.approx(1.0))
    slow = ReadPace(0.2)
    slow.reads_until_next_tick(page(0.0, 0), CPU)
    assert slow.reads_until_next_tick(page(300.0, 9), CPU)[0] == MAX_READS_PER_TICK - 1


def test_engines_that_count_no_requests() -> None:
    """Where the page counts no finished requests, those of its E2E histogram count."""
    pace = ReadPace("auto")
    pace.reads_until_next_tick(page(0.0, 0, from_histogram=True), CPU)
    busy = page(TICK, 100 * TICK, from_histogram=True)
    assert pace.reads_until_next_tick(busy, CPU) == (0, 0.0)
    restarted = page(2 * TICK, 2, from_histogram=True)
    assert pace.reads_until_next_tick(restarted, CPU)[0] == 24


def test_two_readings_of_one_moment() -> None:
    """Two ticks at the same moment give no tick length, and so no reads."""
    pace = ReadPace("auto")
    for _ in range(2):
        assert pace.reads_until_next_tick(page(7.0, 0), CPU) == (0, 0.0)
