"""Live figures, freshness, and the contents of a snapshot."""

import pytest

from goodwatt.derive.source_state import is_fresh
from goodwatt.derive.source_state import update_source_state as fold_source
from goodwatt.derive.state import Mark
from goodwatt.derive.window.rates import FINISH_WINDOW_FACTOR, MAX_MARKS, add_mark, trim_marks
from goodwatt.model.engine import EngineTraits, Moves, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, CountKey, Ledger, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.snapshot import Live, SourceState, TokenRates
from goodwatt.model.source import Reason, server_source
from goodwatt.model.tariff import Tariff
from tests.fakes.readings import (
    MODEL,
    Fold,
    counter,
    finished,
    gpu,
    gpus,
    histogram,
    no_gpus,
    page,
    served,
    silent,
    tokens_page,
)

A, B = Account("a", MODEL), Account("b", MODEL)


def watts(now, power):
    """Return one GPU that has drawn `power` since 0."""
    return gpus(gpu(0, now, round(1000 * now * power)))


def test_the_first_tick_has_no_live_figures():
    """One reading is not an interval."""
    assert Fold().tick(0.0, watts(0.0, 100.0), tokens_page("a", 0.0, 9.0)).live == {}


def test_two_ticks_at_the_same_time_have_no_live_figures():
    """A zero-length interval gives no figures and no error."""
    fold = Fold()
    fold.tick(5.0, tokens_page("a", 5.0, 0.0))
    assert fold.tick(5.0, tokens_page("a", 5.0, 9.0)).live == {}
    assert fold.tick(6.0, tokens_page("a", 6.0, 9.0)).live[A].seconds == 1.0


def test_rates_are_over_the_latest_window():
    """After many ticks the window is window_seconds long: 20 tokens/s and 300 W now, regardless of earlier rates."""
    fold = Fold(Policy(window_seconds=20.0, tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
    tokens = millijoules = 0
    for n in range(12):
        now, fast = 5.0 * n, n >= 8
        tokens += (100 if fast else 5) if n else 0
        millijoules += (1_500_000 if fast else 10_000) if n else 0
        snapshot = fold.tick(now, gpus(gpu(0, now, millijoules)), tokens_page("a", now, float(tokens)))
    assert snapshot.live == {
        A: Live(seconds=20.0, tokens=TokenRates(20.0), watts=300.0, busy_watts=300.0, cost_per_second=1.0)
    }


def test_before_the_window_is_full_it_covers_what_there_is():
    """`seconds` is the actual length."""
    fold = Fold()
    fold.tick(100.0, tokens_page("a", 100.0, 0.0))
    assert fold.tick(105.0, tokens_page("a", 105.0, 50.0)).live[A] == Live(seconds=5.0, tokens=TokenRates(10.0))


def test_a_later_server_is_measured_from_its_first_page():
    """Its rates are not diluted by the time before."""
    fold = Fold()
    for n in range(5):
        now = 5.0 * n
        late = [tokens_page("b", now, 100.0 * n)] if n >= 3 else []
        snapshot = fold.tick(now, tokens_page("a", now, 10.0 * n), *late)
    assert (snapshot.live[A].seconds, snapshot.live[A].tokens.generated) == (20.0, 2.0)
    assert (snapshot.live[B].seconds, snapshot.live[B].tokens.generated) == (5.0, 20.0)


def test_no_tokens_is_a_rate_of_zero_and_no_counter_is_none():
    """A measured standstill is 0; a counter that the engine lacks is unknown."""
    fold = Fold()
    for n in range(3):
        snapshot = fold.tick(
            5.0 * n,
            served(page("a", 5.0 * n, counter(Signal.GENERATED_TOKENS, 7.0), counter(Signal.PROMPT_TOKENS, 5.0 * n))),
        )
    assert snapshot.live[A].tokens == TokenRates(generated=0.0, prompt=1.0, cached_prompt=None)


def test_unknown_energy_and_price_are_none():
    """Watts need GPUs, and cost needs a tariff."""
    fold = Fold()
    for n in range(2):
        snapshot = fold.tick(5.0 * n, no_gpus(), tokens_page("a", 5.0 * n, 9.0 * n))
    assert snapshot.live[A] == Live(seconds=5.0, tokens=TokenRates(1.8))


def test_an_idle_account_has_idle_watts_only():
    """Idle energy is in the total and not in the busy figure, which is 0 before any work."""
    fold = Fold()
    for n, tokens in enumerate([0.0, 0.0, 50.0]):
        snapshot = fold.tick(5.0 * n, watts(5.0 * n, 100.0), tokens_page("a", 5.0 * n, tokens))
    assert [(s.live[A].watts, s.live[A].busy_watts) for s in fold.snapshots[1:]] == [(100.0, 0.0), (100.0, 50.0)]
    assert snapshot.live[A].tokens.generated == 5.0


def test_watts_are_absent_once_the_gpu_source_is_stale():
    """Stale energy is not shown as a draw of 0."""
    fold = Fold()
    fold.tick(0.0, watts(0.0, 100.0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, watts(5.0, 100.0), tokens_page("a", 5.0, 9.0))
    shown = [fold.tick(5.0 * n, no_gpus(), tokens_page("a", 5.0 * n, 9.0)).live[A].watts for n in (2, 3, 4)]
    assert shown == [pytest.approx(50.0), pytest.approx(100.0 / 3), None]


def test_marks_are_kept_as_far_back_as_the_window_needs():
    """All but the last mark at or before the window's start are dropped."""
    marks = tuple(Mark(float(t), Ledger()) for t in (0, 5, 10, 15))
    assert [m.at_seconds for m in trim_marks(marks, 20.0, 10.0)] == [10.0, 15.0]
    assert [m.at_seconds for m in trim_marks(marks, 19.0, 10.0)] == [5.0, 10.0, 15.0]
    assert [m.at_seconds for m in trim_marks(marks, 9.0, 10.0)] == [0.0, 5.0, 10.0, 15.0]
    assert trim_marks((), 9.0, 10.0) == ()


def test_a_long_window_of_short_ticks_keeps_a_few_hundred_marks():
    """Ticks much shorter than the window share marks: an hour at 0.2 s needs no more memory."""
    marks: tuple[Mark, ...] = ()
    for n in range(20_000):
        now = n * 0.2
        marks = add_mark(trim_marks(marks, now, 3600.0), Mark(now, Ledger()), 3600.0)
    assert 200 < len(marks) <= MAX_MARKS + 2
    assert marks[0].at_seconds <= 20_000 * 0.2 - 3600.0 < marks[1].at_seconds


def test_the_state_does_not_grow_with_time():
    """After any run time only one window of marks is kept."""
    fold = Fold(Policy(window_seconds=20.0))
    for n in range(50):
        fold.tick(5.0 * n, tokens_page("a", 5.0 * n, float(n)))
    assert len(fold.state.marks) == 5


def test_three_missed_ticks_drop_a_server_and_it_recovers_its_counts():
    """For two missed ticks its last page is shown, at the third it is gone; when it recovers no count is lost."""
    fold = Fold()
    fold.tick(0.0, tokens_page("a", 0.0, 100.0))
    fold.tick(5.0, tokens_page("a", 5.0, 150.0))
    shown = [fold.tick(5.0 * n, silent("a")) for n in (2, 3, 4)]
    assert [set(s.servers) for s in shown] == [{"a"}, {"a"}, set()]
    assert [set(s.live) for s in shown] == [{A}, {A}, set()]
    back = fold.tick(25.0, tokens_page("a", 25.0, 180.0))
    assert (set(back.servers), set(back.live)) == ({"a"}, set())  # live figures restart after the outage
    assert back.ledger.counts[CountKey(A, Signal.GENERATED_TOKENS)] == 80.0


def test_three_missed_ticks_drop_the_gpus_and_they_recover_their_energy():
    """GPU series are dropped, never frozen, and energy continues from the last reading when they recover."""
    fold = Fold()
    fold.tick(0.0, watts(0.0, 100.0))
    shown = [fold.tick(5.0 * n, no_gpus()).gpus is None for n in (1, 2, 3)]
    assert shown == [False, False, True]
    back = fold.tick(20.0, watts(20.0, 100.0))
    assert back.gpus is not None
    assert back.ledger.gpu_energy_millijoules == {"GPU-0": 2_000_000}


def test_a_server_that_was_never_read_is_not_shown():
    """Its source is shown, with the reason."""
    snapshot = Fold().tick(0.0, silent("a", Reason.AUTH_REFUSED))
    assert (snapshot.servers, snapshot.gpus) == ({}, None)
    assert snapshot.sources == (
        SourceState(
            source=server_source("a"),
            up=False,
            misses=1,
            duration_seconds=0.002,
            last_success_seconds=None,
            reason=Reason.AUTH_REFUSED,
            detail="connection refused",
            failures={Reason.AUTH_REFUSED: 1},
        ),
    )


def test_a_source_is_up_again_at_its_first_good_read_and_keeps_its_failures():
    """Misses restart at 0; failures by reason never do."""
    state = None
    for now, result in enumerate(
        [silent("a"), silent("a", Reason.TIMEOUT), tokens_page("a", 2.0, 0.0), silent("a", Reason.TIMEOUT)]
    ):
        state = fold_source(state, result, float(now))
    assert (state.up, state.misses, state.reason, state.last_success_seconds) == (False, 1, Reason.TIMEOUT, 2.0)
    assert state.failures == {Reason.UNREACHABLE: 1, Reason.TIMEOUT: 2}
    good = fold_source(state, tokens_page("a", 4.0, 0.0), 4.0)
    assert (good.up, good.misses, good.reason, good.detail, good.last_success_seconds) == (True, 0, None, "", 4.0)
    assert good.failures == state.failures


def test_freshness_needs_one_success_and_few_misses():
    """A fresh source was read at least once and has fewer misses in a row than the limit."""
    states = {
        server_source("a"): SourceState(
            source=server_source("a"), up=False, misses=2, duration_seconds=0.1, last_success_seconds=5.0
        ),
        server_source("b"): SourceState(
            source=server_source("b"), up=False, misses=3, duration_seconds=0.1, last_success_seconds=5.0
        ),
        server_source("c"): SourceState(source=server_source("c"), up=False, misses=1, duration_seconds=0.1),
    }
    assert [is_fresh(states, server_source(name), 3) for name in "abcd"] == [True, False, False, False]


def test_a_snapshot_has_its_times():
    """Times, tick count and the last tick's duration are the caller's."""
    fold = Fold()
    fold.tick(7.0)
    snapshot = fold.tick(12.0, served(page("a", 12.0, finished(Outcome.SUCCESS, 1.0))))
    assert (snapshot.at_seconds, snapshot.unix_seconds, snapshot.ticks, snapshot.tick_seconds) == (
        12.0,
        1.7e9 + 12.0,
        2,
        None,
    )
    assert snapshot.policy is fold.policy


def test_the_live_window_restarts_after_an_outage():
    """After three missed ticks the tokens of the outage are counted, but their energy was unattributed: live figures
    start at the recovery."""
    fold = Fold()
    for n in range(3):
        fold.tick(5.0 * n, watts(5.0 * n, 100.0), tokens_page("a", 5.0 * n, 50.0 * n))
    for n in range(3, 7):
        fold.tick(5.0 * n, watts(5.0 * n, 100.0), silent("a"))
    back = fold.tick(35.0, watts(35.0, 100.0), tokens_page("a", 35.0, 350.0))
    assert A not in back.live
    assert back.ledger.counts[CountKey(A, Signal.GENERATED_TOKENS)] == 350.0
    after = fold.tick(40.0, watts(40.0, 100.0), tokens_page("a", 40.0, 400.0)).live[A]
    assert (after.seconds, after.tokens.generated, after.watts) == (5.0, 10.0, pytest.approx(100.0))


FINISH = EngineTraits(tokens_move=Moves.FINISH)


def lumpy_page(now, tokens, server="a"):
    return served(page(server, now, counter(Signal.GENERATED_TOKENS, tokens), traits=FINISH))


def test_counters_that_grow_at_the_end_of_a_request_get_a_wider_window():
    """A request of 100 s adds all its tokens in one tick: the window covers several, and `seconds` is its length."""
    fold, joules = Fold(Policy(window_seconds=60.0)), 0
    rates, seconds = [], []
    for n in range(201):
        now, joules = 5.0 * n, joules + 500_000 * (n > 0)
        snapshot = fold.tick(now, gpus(gpu(0, now, joules)), lumpy_page(now, 1000.0 * (now // 100)))
        if n > 120:
            rates.append(snapshot.live[A].tokens.generated)
            seconds.append(snapshot.live[A].seconds)
    assert set(seconds) == {FINISH_WINDOW_FACTOR * 60.0} == {300.0}
    assert set(rates) == {10.0}, "a window of 60 s would show 0 most of the time"
    assert snapshot.live[A].watts == 100.0


def test_a_lumpy_engine_does_not_widen_the_window_of_others():
    """Only engines that count at the end get the wider window; marks cover the longest one and no more."""
    fold = Fold(Policy(window_seconds=60.0))
    for n in range(200):
        now = 5.0 * n
        snapshot = fold.tick(now, lumpy_page(now, 5.0 * now), tokens_page("b", now, 7.0 * now))
    assert (snapshot.live[A].seconds, snapshot.live[B].seconds) == (300.0, 60.0)
    assert (snapshot.live[A].tokens.generated, snapshot.live[B].tokens.generated) == (5.0, 7.0)
    assert len(fold.state.marks) == 60 + 1


def test_good_requests_and_energy_of_a_lumpy_engine_cover_the_same_window():
    """An SLO's live figures use the same window as the tokens and energy they are divided by."""
    slo = Slo(name="slo", thresholds=(Threshold(Signal.E2E, 2.0),), objective=0.9)
    fold = Fold(Policy(window_seconds=20.0, slos=(slo,)))
    for n in range(60):
        now = 5.0 * n
        timed = {SeriesId(signal=Signal.E2E, model=MODEL): histogram([1.0] * n, (2.0,))}
        snapshot = fold.tick(now, served(page("a", now, finished(Outcome.SUCCESS, n), histograms=timed, traits=FINISH)))
    assert snapshot.slo_live[SloKey(A, "slo")].seconds == snapshot.live[A].seconds == 100.0
