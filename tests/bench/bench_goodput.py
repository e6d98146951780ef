"""Width of the bounds on goodput, from a simulated vLLM with real bucket edges: pages through the real fold.

Each load runs with an SLO on TTFT and TPOT. For ranges that begin all over the run, the bounds are compared with what
really happened to each request: a range whose truth lies outside counts as missed, and none may. The cases of method
"tick" read the page several times a tick.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from statistics import fmean

from goodwatt.derive.slo.bounds import bounds_over_range
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, FirstTokens, SloKey, SloTotals, TickTotals
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.bench.rows import Row
from tests.fakes.readings import Fold, served
from tests.fakes.simulated_vllm import MODEL, SERVER, Load, SimulatedRequest, pages, simulate

FULL_SECONDS, QUICK_SECONDS = 2.5 * 3600.0, 3600.0 + 600.0
WARM_UP_SECONDS = 300.0  # until the number of running requests is steady
RANGES = 200  # of each length, spread over the run
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A load, the SLO's thresholds in seconds, and the width that the bounds must stay below, by range in minutes."""

    name: str
    load: Load
    ttft: float
    tpot: float
    tick: float = 5.0
    reads: int = 1  # a tick
    by_tick: bool = False  # measure method "tick" instead of the histograms' bounds
    widths: dict[int, float | None] = field(default_factory=dict)

    @property
    def slo(self) -> Slo:
        """The SLO on both thresholds, with the default conventions."""
        return Slo(
            name="slo",
            thresholds=(Threshold(Signal.TTFT, self.ttft), Threshold(Signal.TPOT, self.tpot)),
            objective=0.95,
        )


CHAT = Load(requests_per_second=6, prompt_tokens=300, output_tokens=150, per_prompt_token=0.0001)
HEAVY = Load(requests_per_second=15, prompt_tokens=500, output_tokens=200, per_sequence=0.00012)
REASONING = Load(requests_per_second=3, prompt_tokens=200, output_tokens=2000, step=0.010, per_prompt_token=0.0001)
LARGE = Load(
    requests_per_second=2,
    prompt_tokens=600,
    output_tokens=300,
    step=0.025,
    per_sequence=0.0003,
    per_prompt_token=0.0002,
)
QUIET = Load(
    requests_per_second=1,
    prompt_tokens=600,
    output_tokens=300,
    step=0.020,
    per_sequence=0.0002,
    per_prompt_token=0.00015,
)
BUSY = replace(QUIET, requests_per_second=4, step=0.015, per_prompt_token=0.00005)
CASES = (
    Case(name="chat 6/s", load=CHAT, ttft=0.5, tpot=0.05, widths={5: 0.005, 60: 0.002}),
    Case(name="heavy 15/s", load=HEAVY, ttft=0.25, tpot=0.025, widths={5: 0.04, 60: 0.005}),
    Case(name="reasoning 3/s", load=REASONING, ttft=0.5, tpot=0.05, widths={5: 0.07, 60: 0.01}),
    Case(name="large model 2/s", load=LARGE, ttft=0.5, tpot=0.05, widths={5: None, 60: None}),
    Case(name="1/s off edges, 1 s ticks", load=QUIET, ttft=0.45, tpot=0.04, tick=1.0, widths={5: None, 30: 0.1}),
    Case(
        name="chat, 5 % hang-ups, 2 % errors",
        load=replace(CHAT, hang_ups=0.05, errors=0.02),
        ttft=0.5,
        tpot=0.05,
        widths={5: 0.005, 60: 0.002},
    ),
    Case(
        name="1/s off edges, method tick, reads every 0.2 s",
        load=QUIET,
        ttft=0.45,
        tpot=0.04,
        reads=25,
        by_tick=True,
        widths={5: None, 30: 0.04},
    ),
    Case(
        name="4/s off edges, method tick, reads every 0.2 s",
        load=BUSY,
        ttft=0.45,
        tpot=0.04,
        reads=25,
        by_tick=True,
        widths={5: None, 30: 0.05},
    ),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick: the totals and what was in flight, as the fold keeps them, and how many requests really were good."""

    totals: SloTotals
    tick: TickTotals
    in_flight: FirstTokens
    good: int
    eligible: int  # all that ended without a hang-up: errors count, by default


def moments(
    requests: Sequence[SimulatedRequest], slo: Slo, tick: float, seconds: float, reads: int = 1
) -> Iterator[Moment]:
    """Run every page of the requests through the fold, with so many reads in each tick."""
    ended = sorted((r.ended_at, r.is_good(slo)) for r in requests if r.ended_at is not None and r.outcome is not None)
    ends, good = [at for at, _ in ended], list(accumulate((is_good for _, is_good in ended), initial=0))
    fold, key = Fold(Policy(slos=(slo,))), SloKey(Account(SERVER, MODEL), slo.name)
    read = pages(requests, [tick / reads * number for number in range(1 - reads, int(seconds / tick) * reads + 1)])
    for *earlier, page in zip(*[read] * reads, strict=True):
        now = page.at_seconds
        evidence = fold.tick(now, served(replace(page, earlier=tuple(earlier)))).ledger.evidence[key]
        so_far = bisect_right(ends, now)
        yield Moment(evidence.totals, evidence.tick or TickTotals(), fold.state.first_tokens[key], good[so_far], so_far)


@dataclass(frozen=True, slots=True)
class Figures:
    """One range against its truth, as shares of its eligible requests."""

    truth: float
    lower: float
    upper: float
    missed: bool


def compare(start: Moment, end: Moment) -> Figures | None:
    """Bounds and truth of the requests that ended between two ticks. None without any."""
    bounds = bounds_over_range(start.totals, start.in_flight, end.totals)
    good, eligible = end.good - start.good, end.eligible - start.eligible
    if not eligible:
        return None
    missed = bounds.eligible != eligible or not bounds.good_lower <= good <= bounds.good_upper
    return Figures(good / eligible, bounds.good_lower / eligible, bounds.good_upper / eligible, missed)


def compare_tick(start: Moment, end: Moment) -> Figures | None:
    """The same by method "tick", which charges nothing for requests in flight."""
    good, eligible = end.good - start.good, end.eligible - start.eligible
    if not eligible:
        return None
    counted = end.tick.eligible - start.tick.eligible
    lower, upper = end.tick.good_lower - start.tick.good_lower, end.tick.good_upper - start.tick.good_upper
    missed = counted != eligible or not lower <= good <= upper
    return Figures(good / eligible, lower / eligible, upper / eligible, missed)


def rows(quick: bool) -> list[Row]:
    """Mean truth, bounds and width per load and range, and how many ranges missed the truth."""
    seconds = QUICK_SECONDS if quick else FULL_SECONDS
    return [row for case in CASES for row in _case(case, seconds)]


def _case(case: Case, seconds: float) -> Iterator[Row]:
    seen = list(moments(simulate(case.load, seconds, SEED), case.slo, case.tick, seconds, case.reads))
    missed = ranges = 0
    for minutes, target in case.widths.items():
        judge = compare_tick if case.by_tick else compare
        found = list(_ranges(seen[round(WARM_UP_SECONDS / case.tick) :], round(minutes * 60 / case.tick), judge))
        place = f"{case.name}, {minutes} min"
        yield Row(f"{place}: truth", fmean(f.truth for f in found), "share")
        yield Row(f"{place}: lower", fmean(f.lower for f in found), "share")
        yield Row(f"{place}: upper", fmean(f.upper for f in found), "share")
        yield Row(f"{place}: width", fmean(f.upper - f.lower for f in found), "share", target)
        missed, ranges = missed + sum(f.missed for f in found), ranges + len(found)
    yield Row(f"{case.name}: truth outside, of {ranges} ranges", missed, "ranges", 1)


def _ranges(seen: Sequence[Moment], ticks: int, judge: Callable[[Moment, Moment], Figures | None]) -> Iterator[Figures]:
    """Ranges of so many ticks that begin all over the run."""
    starts = range(len(seen) - ticks)
    for start in starts[:: max(1, len(starts) // RANGES)]:
        figures = judge(seen[start], seen[start + ticks])
        if figures is not None:
            yield figures
