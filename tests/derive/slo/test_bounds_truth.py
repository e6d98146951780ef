"""The central claim: published bounds contain the number of requests that really were good, request by request."""

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import assume, currently_in_test_context, given, note
from hypothesis import strategies as st

from goodwatt.derive.slo.bounds import bounds_over_range
from goodwatt.model.engine import OneToken, Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals
from goodwatt.model.ledger import Account, SloKey, SloTotals
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from tests.derive.laws import law
from tests.derive.simulated_engine import MODEL, Habits, Request, SimulatedEngine
from tests.fakes.readings import Fold, records_result, served, silent

EDGES = (0.5, 1.0, 2.0, 4.0)
LATENCIES = (Signal.TTFT, Signal.TPOT, Signal.E2E)
T = Signal.TTFT
KEY = SloKey(Account("s", MODEL), "slo")
NOTHING = ExactTotals(met=())


@dataclass(frozen=True)
class Story:
    """An engine, one SLO, the times of pages (None: the server does not answer), and the window."""

    engine: SimulatedEngine
    slo: Slo
    ticks: tuple[tuple[float, bool], ...]
    window: float
    other: SimulatedEngine | None = None  # takes over the address at `swap`
    swap: float = 1e9


def quarters(n):
    """Draw from a grid on which requests, ticks and edges often coincide."""
    return n / 4


def possible(request):
    """A request cannot succeed without a first token."""
    failed = request.first is None and request.outcome is Outcome.SUCCESS
    return replace(request, outcome=Outcome.ERROR) if failed else request


requests = st.lists(
    st.builds(
        Request,
        arrival=st.integers(0, 24).map(quarters),
        first=st.sampled_from([None, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0]),
        gaps=st.integers(0, 3),
        tpot=st.sampled_from([0.25, 0.5, 1.0, 2.5, 4.5]),
        outcome=st.sampled_from([*[Outcome.SUCCESS] * 6, None, Outcome.ERROR, Outcome.CANCELLED]),
        preempted=st.sampled_from([False, False, True]),
    ).map(possible),
    max_size=10,
).map(tuple)

habits = st.builds(
    Habits,
    edges=st.just(EDGES),
    one_token=st.sampled_from(OneToken),
    lazy=st.booleans(),
    counts_one_token=st.booleans(),
    failures_timed=st.booleans(),
    gauge=st.sampled_from(["current", "current", "missing", "stale"]),
    queue_gauges=st.booleans(),
    core_times=st.booleans(),
)

slos = st.builds(
    lambda signals, seconds, one_token, errors, cancelled: Slo(
        name="slo",
        thresholds=tuple(Threshold(s, t) for s, t in zip(signals, seconds, strict=False)),
        objective=0.9,
        models=("*",),
        servers=("*",),
        one_token_outputs=one_token,
        errors=errors,
        cancelled=cancelled,
    ),
    st.sampled_from(
        [[T], [T], [Signal.TPOT], [Signal.E2E], [T, Signal.TPOT], [T, Signal.TPOT], [Signal.E2E, T], list(LATENCIES)]
    ),
    st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 0.75, 1.0, 2.0, 3.0, 5.0])] * 3),
    st.sampled_from(OneTokenOutputs),
    st.sampled_from(Errors),
    st.sampled_from(Cancelled),
)


NEVER, NO_RESTART = st.just(None), st.just(())


@st.composite
def stories(draw, *, restarts=NO_RESTART, swap=NEVER, habits=habits, requests=requests, slos=slos):
    engine = SimulatedEngine(draw(requests), draw(restarts), draw(habits))
    times = sorted({*draw(st.lists(st.integers(0, 48).map(quarters), min_size=3, max_size=10)), *engine.restarts})
    answered = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(times), max_size=len(times)))
    ticks = tuple((at, ok or at in engine.restarts) for at, ok in zip(times, answered, strict=True))
    at = draw(swap)
    other = SimulatedEngine(draw(requests), (), replace(draw(habits), engine="sglang")) if at is not None else None
    return Story(engine, draw(slos), ticks, draw(st.sampled_from([0.25, 3.0, 7.0])), other, 1e9 if at is None else at)


def ticks_of(story, fold=None):
    """Run the real fold over a story; yield each tick's snapshot and the time of the latest page behind it."""
    fold = fold or Fold(Policy(window_seconds=story.window, slos=(story.slo,)))
    page_at = None
    for now, answers in story.ticks:
        engine = story.other if now >= story.swap else story.engine
        ended = ended_between(story, page_at, now) if answers and page_at is not None else []
        spans = records_result(now, *(request.record("s") for request in ended))
        snapshot = fold.tick(now, served(engine.page("s", now)) if answers else silent("s"), spans)
        page_at = now if answers else page_at
        yield now, page_at, snapshot


def ended_between(story, since, until):
    """Return every request that a page after `since` and up to `until` was the first to count."""
    pages = [at for at, answers in story.ticks if answers]
    ended = []
    for before, after in pairwise(pages):
        if since <= before and after <= until and (before < story.swap) == (after < story.swap):
            engine = story.other if after >= story.swap else story.engine
            ended += engine.seen_between(before, after)
    return ended


def last_page(story, now):
    """Return the time of the latest page at or before now."""
    return max((at for at, answers in story.ticks if answers and at <= now), default=None)


def eligible_of(ended, slo):
    return sum(not r.is_excluded(slo) for r in ended)


def assert_brackets(totals, ended, slo):
    """Assert lower <= good <= upper. Only successes that may be excluded one-token outputs can be counted too often,
    and only by the upper bound, so the bounds of the ratio are true as well."""
    succeeded = sum(r.outcome is Outcome.SUCCESS for r in ended)
    good = sum(r.is_good(slo) for r in ended)
    doubtful = totals.eligible - eligible_of(ended, slo)
    if currently_in_test_context():
        note(f"{totals} against {good} good of {ended}")
    assert doubtful >= 0
    if slo.one_token_outputs is not OneTokenOutputs.EXCLUDE:
        assert doubtful == 0
    assert totals.good_lower <= good <= totals.good_upper <= succeeded
    assert good + doubtful <= totals.good_upper
    assert totals.good_lower >= 0


def assert_tick_brackets(before, now, ended, slo):
    """Assert that method "tick" has the truth of a range within its bounds, without a charge for requests in flight."""
    if before is not None and now is not None:
        lower, upper = now.good_lower - before.good_lower, now.good_upper - before.good_upper
        bounds = SloTotals(eligible=now.eligible - before.eligible, good_lower=lower, good_upper=upper)
        assert_brackets(bounds, ended, slo)


def check_windows(story):
    """Check that the totals contain the truth over every range of ticks, once it is charged for what was in flight.

    Records of the same requests give the exact number of good requests, which is within the bounds.
    """
    seen = []
    fold = Fold(Policy(window_seconds=story.window, slos=(story.slo,)))
    for _, page_at, snapshot in ticks_of(story, fold):
        evidence, exact = snapshot.ledger.evidence.get(KEY), snapshot.ledger.exact.get(KEY, NOTHING)
        if evidence is None:
            continue
        for earlier, waiting, earlier_page, before in seen:
            ended, bounds = (
                ended_between(story, earlier_page, page_at),
                bounds_over_range(earlier.totals, waiting, evidence.totals),
            )
            assert_brackets(bounds, ended, story.slo)
            good, eligible = exact.good - before.good, exact.eligible - before.eligible
            truly = sum(request.is_good(story.slo) for request in ended)
            assert (eligible, good) == (eligible_of(ended, story.slo), truly)
            assert bounds.good_lower <= good <= bounds.good_upper
            assert_tick_brackets(earlier.tick, evidence.tick, ended, story.slo)
        since_start = evidence.totals
        assert_brackets(since_start, ended_between(story, first_page(story), page_at), story.slo)
        published = snapshot.ledger.slos.get(KEY)
        assert published in (None, since_start) and (published is not None or is_lazy(story))
        seen.append((evidence, fold.state.first_tokens[KEY], page_at, exact))


def is_lazy(story):
    return story.engine.habits.lazy or (story.other is not None and story.other.habits.lazy)


def first_page(story):
    return next(at for at, answers in story.ticks if answers)


def check_live(story):
    """Check that the live window contains its truth."""
    for now, page_at, snapshot in ticks_of(story):
        if KEY in snapshot.slo_live:
            figure = snapshot.slo_live[KEY]
            since = last_page(story, now - figure.seconds)
            totals = SloTotals(eligible=figure.eligible, good_lower=figure.good_lower, good_upper=figure.good_upper)
            ended = ended_between(story, since, page_at)
            assert_brackets(totals, ended, story.slo)
            exact = snapshot.exact_live.get(KEY)
            if exact is not None and exact.seconds == figure.seconds:
                good = sum(request.is_good(story.slo) for request in ended)
                assert (exact.eligible, exact.good) == (eligible_of(ended, story.slo), good)


@law(400)
@given(stories())
def test_closed_windows_contain_the_truth(story):
    """lower <= truly good <= upper <= succeeded, and eligible is exact, whatever the requests and the habits."""
    check_windows(story)


@law(250)
@given(stories())
def test_the_live_window_contains_the_truth(story):
    """The live bounds contain the truth of the same window."""
    check_live(story)


@law(250)
@given(stories(restarts=st.lists(st.integers(4, 40).map(quarters), min_size=1, max_size=2, unique=True).map(tuple)))
def test_bounds_hold_across_restarts(story):
    """A restart between pages loses running requests, and the bounds stay true of the observed ones."""
    check_windows(story)
    check_live(story)


@law(250)
@given(stories(swap=st.integers(4, 32).map(quarters)))
def test_bounds_hold_when_another_engine_takes_over_the_address(story):
    """Requests in flight on another engine's first page do not become evidence of this window."""
    assume(any(at >= story.swap and ok for at, ok in story.ticks))
    check_windows(story)
    check_live(story)


crowds = st.lists(
    st.builds(
        Request,
        arrival=st.integers(0, 12).map(quarters),
        first=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0]),
        gaps=st.just(1),
        tpot=st.sampled_from([0.25, 1.0, 2.5, 4.5]),
        outcome=st.sampled_from([*[Outcome.SUCCESS] * 4, None]),
        preempted=st.booleans(),
    ),
    min_size=3,
    max_size=8,
).map(tuple)
ttft_only = st.sampled_from([0.5, 1.0, 2.0]).map(
    lambda seconds: Slo(name="slo", thresholds=(Threshold(T, seconds),), objective=0.9)
)


@law(250)
@given(stories(habits=st.just(Habits(EDGES)), requests=crowds, slos=ttft_only))
def test_preempted_requests_are_still_in_flight(story):
    """Back in the queue, a request with a first token before the window can still finish in it."""
    check_windows(story)


@law(250)
@given(stories(habits=st.just(Habits(EDGES, gauge="stale")), requests=crowds, slos=ttft_only))
def test_a_lagging_running_gauge_is_not_used(story):
    """An engine that refreshes its gauge late is bounded by its first tokens without a success."""
    check_windows(story)


def test_the_upper_ratio_allows_for_uncounted_one_token_outputs():
    """An excluded one-token output that missed TTFT stays eligible where the page does not count such outputs.

    Two requests finish: the good one, and an excluded one. Their true ratio is 1 / 1, published is at most 1 / 2.
    """
    excluded = Request(arrival=0.0, first=0.75, gaps=0, tpot=0.25, outcome=Outcome.SUCCESS)
    good = Request(arrival=0.0, first=0.25, gaps=2, tpot=0.25, outcome=Outcome.SUCCESS)
    engine = SimulatedEngine([excluded, good], (), Habits(edges=(0.5, 1.0), queue_gauges=False))
    thresholds = Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.5)
    slo = Slo(name="slo", thresholds=thresholds, objective=0.9, one_token_outputs=OneTokenOutputs.EXCLUDE)
    check_windows(Story(engine=engine, slo=slo, ticks=((0.0, True), (0.75, True)), window=0.25))
