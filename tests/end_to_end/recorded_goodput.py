"""Half an hour of a faulty server in simulated time, and the goodput that a real Prometheus records of it.

Pages go through the real fold and the real writer; a real Prometheus evaluates the recording rules over scrapes every
15 s. The truth of a moment is the share of good requests among those that the scrapes in its window counted.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from goodwatt.model.alerting import Alerting
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, FirstTokens, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Bound, Slo, Threshold
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.collector import SnapshotCollector
from goodwatt.publish.exposition.writer import write_openmetrics
from goodwatt.publish.metrics.slo import SLOS as ROWS
from goodwatt.rules import rule_groups
from tests.end_to_end.programs import Prometheus
from tests.fakes.faulty_vllm import Ended, Faults, Run, live
from tests.fakes.readings import Fold, records_result, served, silent
from tests.fakes.simulated_vllm import MODEL, SERVER, Load

SEED = 1
SECONDS, TICK, SCRAPE, WINDOW = 1800.0, 5.0, 15.0, 300.0
UNIX = 1_699_999_200.0  # the start; the two hours from here are one block of the storage
ROUNDING = 1e-9

CHAT = Load(requests_per_second=4, prompt_tokens=300, output_tokens=150, hang_ups=0.05, errors=0.02)
LONG = Load(
    requests_per_second=2,
    prompt_tokens=600,
    output_tokens=800,
    step=0.01,
    per_sequence=0.0002,
    per_prompt_token=0.0001,
    hang_ups=0.05,
    errors=0.02,
)
RUNS = (Run(start=0.0, end=611.0, load=CHAT), Run(start=611.0, end=SECONDS + TICK, load=LONG))
FAULTS = Faults(
    preempted=0.1,
    span_delay=5.0,  # OpenTelemetry sends a batch of spans every 5 s by default
    unreadable=((640.0, 650.0), (700.0, 740.0), (1100.0, 1280.0)),
)
NO_SCRAPES = (1500.0, 1650.0)
OBJECTIVES = (
    Slo(name="ttft", thresholds=(Threshold(Signal.TTFT, 0.25),), objective=0.9),
    Slo(name="both", thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.05)), objective=0.9),
    Slo(name="inside", thresholds=(Threshold(Signal.TTFT, 0.4), Threshold(Signal.E2E, 4.0)), objective=0.9),
)
SHARE, GOOD = "server_model:goodwatt_goodput:ratio_rate5m", "instance_server_model:goodwatt_good_requests:rate5m"


METHODS = ("histogram", "exact")  # "tick" rests on a margin, not on a proof


def scrape_times(jitter: float) -> tuple[float, ...]:
    """Return the seconds of all scrapes, after the first tick and with a gap."""
    chance = random.Random(SEED)
    times = [round(3.0 + SCRAPE * n + chance.uniform(-jitter, jitter), 3) for n in range(1, int(SECONDS / SCRAPE))]
    return tuple(at for at in times if not NO_SCRAPES[0] <= at < NO_SCRAPES[1])


# In the third job, the good requests move once a minute and all others with every tick.
STEADY, JITTERED, PER_WINDOW = JOBS = ("steady", "jittered", "per-window")
SCRAPES = {STEADY: scrape_times(0.0), JITTERED: scrape_times(3.0), PER_WINDOW: scrape_times(0.0)}


def tick_before(at: float, grid: float = TICK) -> float:
    """Return the tick that a scrape reads."""
    return at // grid * grid


@dataclass(frozen=True)
class World:
    """What goodwatt published at each tick, and the requests that were eligible. Requests are known by their number."""

    snapshots: Mapping[float, Snapshot]
    ended: tuple[Ended, ...]

    @cached_property
    def good(self) -> dict[str, frozenset[int]]:
        """The good requests, by SLO."""
        return {s.name: frozenset(n for n, one in enumerate(self.ended) if one.is_good(s)) for s in OBJECTIVES}

    @cached_property
    def paged(self) -> dict[float, set[int]]:
        """The requests that a page counted, by its tick."""
        return _by_tick(self, lambda one: one.paged_at)

    @cached_property
    def recorded(self) -> dict[float, set[int]]:
        """The requests whose record was counted, by the tick."""
        return _by_tick(self, lambda one: one.recorded_at)

    def in_flight(self, slo: str, tick: float) -> FirstTokens:
        return self.snapshots[tick].slo_in_flight.get(SloKey(Account(SERVER, MODEL), slo), FirstTokens())


def _by_tick(world: World, counted_at: Callable[[Ended], float | None]) -> dict[float, set[int]]:
    found: dict[float, set[int]] = {tick: set() for tick in world.snapshots}
    for number, one in enumerate(world.ended):
        tick = counted_at(one)
        if tick is not None:
            found[tick].add(number)
    return found


def simulated() -> World:
    ticks, ended = live(RUNS, FAULTS, [TICK * n for n in range(int(SECONDS / TICK) + 1)], SEED)
    fold, snapshots = Fold(Policy(slos=OBJECTIVES)), {}
    for tick in ticks:
        page = silent(SERVER) if tick.page is None else served(tick.page)
        snapshots[tick.at] = fold.tick(tick.at, page, records_result(tick.at, *tick.records))
    return World(snapshots, tuple(one for one in ended if one.is_eligible))


def samples(world: World) -> str:
    """Return everything that the scrapes of all jobs read."""

    @lru_cache
    def page(tick: float) -> list[str]:
        text = write_openmetrics(SnapshotCollector(ROWS, lambda: world.snapshots[tick]).collect()).decode()
        return [line for line in text.splitlines() if line[0] != "#"]

    lines = []
    for job, scrapes in SCRAPES.items():
        for at in scrapes:
            target, stamp = f'{{job="{job}",instance="i",', f"{UNIX + at:.3f}"
            found = _mixed(page, at) if job == PER_WINDOW else page(tick_before(at))
            lines += [f"{line.replace('{', target, 1)} {stamp}" for line in found]
    return "\n".join([*lines, "# EOF", ""])


def _mixed(page: Callable[[float], list[str]], at: float) -> Iterator[str]:
    good = "goodwatt_slo_good_requests_total"
    yield from (line for line in page(tick_before(at)) if not line.startswith(good))
    yield from (line for line in page(tick_before(at, 60.0)) if line.startswith(good))


def expression_of(record: str, **instead: str) -> str:
    """Return a recording rule's expression, with the records that it reads replaced by their own expressions."""
    known: dict[str, str] = {}
    for rule in (rule for group in rule_groups(Alerting(), "recording") for rule in group["rules"]):
        expression = rule["expr"]
        for name, other in known.items():
            expression = expression.replace(name, f"({other})")
        known[rule["record"]] = instead.get(rule["record"], expression)
    return known[record]


@dataclass(frozen=True)
class Between:
    """The first and the last scrape of a series in one window, in seconds and by the tick that they read."""

    first: float
    last: float
    scrapes: int

    @property
    def ticks(self) -> tuple[float, float]:
        return tick_before(self.first), tick_before(self.last)

    @property
    def outside(self) -> float:
        """The greatest share of the window that `rate` extrapolates: 1.1 mean intervals between scrapes at each end."""
        sampled = self.last - self.first
        interval = sampled / max(1, self.scrapes - 1)
        return 1.0 - sampled / min(WINDOW, sampled + 2.2 * interval)

    def counted(self, by_tick: Mapping[float, set[int]]) -> set[int]:
        """The requests that are part of the increase between the scrapes."""
        first, last = (round(tick / TICK) for tick in self.ticks)
        return set().union(*(by_tick[TICK * tick] for tick in range(first + 1, last + 1)))


@dataclass(frozen=True)
class Span:
    """What one window contains: the eligible requests that the pages and that the records counted in it."""

    world: World = field(repr=False)
    slo: Slo
    pages: Between
    records: Between
    is_start: bool  # the window contains the first scrape

    @cached_property
    def paged(self) -> set[int]:
        return self.pages.counted(self.world.paged)

    @cached_property
    def recorded(self) -> set[int]:
        return self.records.counted(self.world.recorded)

    @cached_property
    def truth(self) -> float:
        """The share of good requests that the pages counted."""
        return self._share(self.paged)

    @cached_property
    def truth_of_records(self) -> float:
        """The share of good requests that the records counted."""
        return self._share(self.recorded)

    def _share(self, requests: set[int]) -> float:
        return len(requests & self.world.good[self.slo.name]) / len(requests)

    @property
    def is_quiet(self) -> bool:
        """Whether every page was read, and the server did not restart."""
        restart = RUNS[1].start, RUNS[1].start + TICK
        first, last = self.records.first, self.records.last
        return all(last < start or end + TICK < first for start, end in (*FAULTS.unreadable, restart))

    @cached_property
    def at_ends(self) -> int:
        """How many requests the last page at an end of the window counted; the more of the two."""
        return max(len(self.world.paged[tick]) for tick in self.pages.ticks)

    @cached_property
    def counted_by_one_only(self) -> int:
        """Requests that only the pages, or only the records, counted in this window; the more of the two."""
        return max(len(self.paged - self.recorded), len(self.recorded - self.paged))

    @cached_property
    def delay(self) -> float:
        """How far apart they can move two shares."""
        return self.counted_by_one_only / min(len(self.paged), len(self.recorded))

    @cached_property
    def extrapolated(self) -> float:
        """How far `rate` can move a bound, as a share.

        It scales all counters of a window by the same factor, but not the charge, which is therefore too small by the
        part of the window outside its first and last scrape.
        """
        waiting = self.world.in_flight(self.slo.name, self.pages.ticks[0])
        charge = max(waiting.bad_charge, waiting.good_charge) / len(self.paged)
        return self.from_zero + charge * self.pages.outside

    @property
    def from_zero(self) -> float:
        """`rate` does not extrapolate a counter below zero, so that at first, two counters can differ by a scrape."""
        return 1.1 * SCRAPE / (self.pages.last - self.pages.first) if self.is_start else 0.0


@dataclass(frozen=True)
class Moment:
    """The recorded share at one second, by bound."""

    at: float
    span: Span
    shares: Mapping[str, float]

    @property
    def lower(self) -> float:
        return self.shares[Bound.LOWER]

    @property
    def upper(self) -> float:
        return self.shares[Bound.UPPER]

    @property
    def exact(self) -> float:
        return self.shares[Bound.EXACT]

    def outside(self, share: float, tolerance: float) -> float:
        """Return by how much a share misses the bounds; 0 or less within them."""
        return max(self.lower - share, share - self.upper) - tolerance - ROUNDING


def moments(world: World, server: Prometheus, job: str, expression: str) -> Iterator[Moment]:
    """Yield every second at which both methods counted requests in the window, for each SLO."""
    found: dict[str, dict[float, dict[str, float]]] = {slo.name: {} for slo in OBJECTIVES}
    for series in server.query_range(expression, UNIX, UNIX + SECONDS, 1.0):
        labels = series["metric"]
        shown = labels["job"] == job and labels["method"] in METHODS
        for at, value in series["values"] if shown else ():
            found[labels["slo"]].setdefault(float(at) - UNIX, {})[labels["bound"]] = float(value)
    scrapes = SCRAPES[job]
    readable = [at for at in scrapes if SERVER in world.snapshots[tick_before(at)].servers]
    for slo in OBJECTIVES:
        spans: dict[tuple[Between, Between], Span] = {}
        for at, shares in sorted(found[slo.name].items()):
            pages, records = in_window(readable, at), in_window(scrapes, at)
            span = spans.setdefault((pages, records), Span(world, slo, pages, records, records.first == scrapes[0]))
            if span.paged and span.recorded and Bound.LOWER in shares:
                yield Moment(at, span, shares)


def in_window(scrapes: Sequence[float], at: float) -> Between:
    first, last = bisect_left(scrapes, at - WINDOW), bisect_right(scrapes, at) - 1
    return Between(scrapes[min(first, len(scrapes) - 1)], scrapes[last], last - first + 1)
