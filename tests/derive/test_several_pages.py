"""Several pages of a server in one tick: the same counts as one page a tick, and bounds at least as tight."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.model.engine import EngineReading, OneToken, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, CountKey, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.derive.laws import law
from tests.derive.simulated_engine import MODEL as SIMULATED
from tests.derive.simulated_engine import Habits, Request, SimulatedEngine
from tests.fakes.readings import MODEL, Fold, counter, gpu, gpus, histogram, page, served
from tests.fakes.simulated_vllm import SERVER, Load, pages, simulate

ACCOUNT = Account("a", MODEL)
GENERATED = CountKey(ACCOUNT, Signal.GENERATED_TOKENS)
SLO = Slo(name="slo", thresholds=(Threshold(Signal.TTFT, 0.45), Threshold(Signal.TPOT, 0.04)), objective=0.9)
POLICY = Policy(slos=(SLO,))


def together(*read: EngineReading) -> EngineReading:
    """The last of these pages, with the others as the earlier ones of its tick."""
    return replace(read[-1], earlier=tuple(read[:-1]))


def generated(at: float, value: float, **more) -> EngineReading:
    return page("a", at, counter(Signal.GENERATED_TOKENS, value), **more)


def folded(*ticks: tuple[EngineReading, ...]) -> Fold:
    """A fold in which each tick brought these pages."""
    fold = Fold(POLICY)
    for read in ticks:
        fold.tick(read[-1].at_seconds, served(together(*read)))
    return fold


def test_a_tick_of_several_pages_counts_what_single_pages_would():
    """Tokens and observations are those between the last page of one tick and the last page of the next."""
    ttft = SeriesId(Signal.TTFT, MODEL)
    read = [
        generated(1.0 * n, 10.0 * n, histograms={ttft: histogram([0.2] * n, (0.1, 0.5))}, dropped_lines=n)
        for n in range(6)
    ]
    one = folded((read[0],), tuple(read[1:])).state.ledger
    assert one == folded(*((each,) for each in read)).state.ledger
    assert one.counts[GENERATED] == 50.0
    assert one.dropped_lines == {"a": 15}


def test_energy_is_charged_once_a_tick():
    """However many pages a tick has, the joules of its interval are booked once, to its whole work."""
    fold = Fold(POLICY)
    fold.tick(0.0, served(generated(0.0, 0.0)), gpus(gpu(0, 0.0, 0)))
    several = together(*(generated(at, 100.0 * at) for at in (1.0, 2.0, 3.0, 4.0, 5.0)))
    ledger = fold.tick(5.0, served(several), gpus(gpu(0, 5.0, 1_000_000))).ledger
    assert sum(ledger.energy_millijoules.values()) == 1_000_000
    (activity,) = fold.state.activities["a"]
    assert activity.generated == 100.0


def test_a_restart_between_two_pages_loses_nothing():
    """A counter that fell between two pages of a tick is counted as it is when it falls between two ticks."""
    read = generated(0.0, 100.0), generated(1.0, 130.0), generated(2.0, 5.0), generated(3.0, 25.0)
    assert folded(read[:1], read[1:]).state.ledger.counts[GENERATED] == 30.0 + 5.0 + 20.0


def test_another_engine_between_two_pages_is_a_baseline():
    """Counts that another engine had before it took over the address are not counted; what it adds afterwards is."""
    read = (
        generated(0.0, 100.0),
        generated(1.0, 130.0),
        generated(2.0, 9000.0, engine="sglang"),
        generated(3.0, 9020.0, engine="sglang"),
    )
    fold = folded(read[:1], read[1:])
    assert fold.state.ledger.counts[GENERATED] == 30.0 + 20.0
    (activity,) = fold.state.activities["a"]
    assert activity.generated == 50.0 / 2.0, "the second that ended in the baseline shows no work"


def test_a_model_that_left_within_a_tick_keeps_what_it_did():
    """Work on an earlier page counts even if the last page of the tick does not list the model."""
    old, new = (Account("a", name) for name in ("old", "new"))
    read = [
        page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0, "old")),
        page("a", 1.0, counter(Signal.GENERATED_TOKENS, 45.0, "old")),
        page("a", 2.0, counter(Signal.GENERATED_TOKENS, 7.0, "new")),
    ]
    fold = folded((read[0],), tuple(read[1:]))
    counts = fold.state.ledger.counts
    assert [counts[CountKey(account, Signal.GENERATED_TOKENS)] for account in (old, new)] == [40.0, 7.0]
    assert [activity.account for activity in fold.state.activities["a"]] == [old, new]


def test_the_last_page_is_remembered_alone():
    """The pages of past ticks are not kept."""
    fold = folded((generated(0.0, 0.0),), (generated(1.0, 1.0), generated(2.0, 2.0)))
    assert fold.state.engines["a"] == generated(2.0, 2.0)
    assert fold.snapshots[-1].servers["a"].earlier == ()


def test_more_pages_give_tighter_bounds():
    """Thresholds inside a bucket: pages every 0.5 s prove more about the same requests than pages every 5 s."""
    load = Load(requests_per_second=1.0, prompt_tokens=600, output_tokens=100, step=0.02, per_prompt_token=0.00015)
    read = list(pages(simulate(load, 300.0, seed=3), [0.5 * n for n in range(601)]))
    ticks = [tuple(read[max(0, n - 9) : n + 1]) for n in range(0, 601, 10)]
    key = SloKey(Account(SERVER, MODEL), SLO.name)
    many, few = (folded(*each).state.ledger.slos[key] for each in (ticks, [(tick[-1],) for tick in ticks]))
    assert many.eligible == few.eligible > 200.0
    assert many.good_lower > few.good_lower
    assert many.good_upper - many.good_lower < 0.5 * (few.good_upper - few.good_lower)


requests = st.lists(
    st.builds(
        Request,
        arrival=st.integers(0, 24).map(lambda n: n / 4),
        first=st.sampled_from([0.25, 0.5, 1.0, 3.0]),
        gaps=st.integers(0, 3),
        tpot=st.sampled_from([0.25, 1.0]),
        outcome=st.sampled_from([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.ERROR, None]),
    ),
    max_size=8,
).map(tuple)


@law(200)
@given(
    requests,
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.sampled_from([(), (3.0,)]),
    st.sampled_from(OneToken),
)
def test_how_pages_are_grouped_into_ticks_changes_no_count(requests, ends_tick, restarts, one_token):
    """Totals, evidence and first tokens in flight depend on the pages alone, not on the ticks that brought them."""
    engine = SimulatedEngine(requests, restarts, Habits((0.5, 1.0, 2.0), one_token=one_token))
    read = [engine.page("s", 0.25 * n) for n in range(len(ends_tick))]
    groups, open_group = [], []
    for each, ends in zip(read, [*ends_tick[:-1], True], strict=True):
        open_group.append(each)
        if ends:
            groups.append(tuple(open_group))
            open_group = []
    grouped, single = folded(*groups).state, folded(*((each,) for each in read)).state
    assert grouped.ledger == single.ledger
    assert grouped.first_tokens == single.first_tokens
    assert SloKey(Account("s", SIMULATED), SLO.name) in grouped.ledger.slos
