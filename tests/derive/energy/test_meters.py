"""Joules from raw energy counters: resets, glitches, changes of method, and boards that share one meter."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.energy.meters import (
    EnergyIncrease,
    EnergyMeter,
    energy_increase,
    gpus_by_meter,
    update_meter,
    update_meters,
)
from goodwatt.model.gpu import EnergyMethod, EnergyScope
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import Tariff
from tests.derive.laws import law
from tests.fakes.readings import Fold, gpu, gpus, tokens_page

MODULE = {"scope": EnergyScope.MODULE, "board": "board-0"}


def read(*meters, limit=None, **how):
    """Return millijoules and glitches counted over readings of one GPU 5 s apart."""
    fold = Fold()
    for n, millijoules in enumerate(meters):
        fold.tick(5.0 * n, gpus(gpu(0, 5.0 * n, millijoules, limit=limit, **how)))
    ledger = fold.state.ledger
    return ledger.gpu_energy_millijoules.get("GPU-0"), ledger.gpu_glitches.get("GPU-0")


def total(fold):
    return sum(fold.state.ledger.gpu_energy_millijoules.values())


def test_the_first_reading_is_a_baseline():
    """Energy used before the start is not counted."""
    assert read(9_000_000) == (0, 0)


def test_a_gpu_without_a_meter_has_no_energy():
    """A GPU that reports no energy is absent from the ledger, not 0."""
    assert energy_increase(None, gpu(0, 5.0, None)) is None
    assert read(None, None) == (None, None)


def test_a_lower_value_is_a_reset_to_zero():
    """After a driver reload the whole new count is added."""
    assert read(1000, 1700, 300, 400) == (700 + 300 + 100, 0)


def test_a_gap_is_bridged_by_the_counter():
    """Energy used while the GPU could not be read is counted when it can be read again."""
    assert read(1000, None, None, None, 9000) == (8000, 0)


@law(200)
@given(
    st.integers(0, 10**12),
    st.lists(st.tuples(st.integers(0, 3_500_000), st.sampled_from("....rg")), max_size=12),
)
def test_energy_is_exact_to_the_millijoule(start, steps):
    """A simulated GPU at up to 700 W, with driver reloads (r) and garbage (g).

    The ledger has the increase between valid readings, resets included, never more than was used, and every garbage
    reading is counted as a glitch.
    """
    fold, meter, good, used = Fold(), start, [start], 0
    fold.tick(0.0, gpus(gpu(0, 0.0, meter, limit=700.0)))
    for n, (energy, event) in enumerate(steps, start=1):
        meter, used = (0 if event == "r" else meter) + energy, used + energy
        good += [] if event == "g" else [meter]
        shown = meter + 10**13 * n if event == "g" else meter
        fold.tick(5.0 * n, gpus(gpu(0, 5.0 * n, shown, limit=700.0)))
    assert total(fold) == sum(now - before if now >= before else now for before, now in pairwise(good)) <= used
    assert fold.state.ledger.gpu_glitches["GPU-0"] == sum(event == "g" for _, event in steps)


def test_a_jump_above_twice_the_limit_is_a_glitch():
    """700 W for 5 s is 3.5 kJ: 7.28 kJ (with one counter refresh) still count, one millijoule more does not."""
    assert read(0, 7_280_000, limit=700.0) == (7_280_000, 0)
    assert read(0, 7_280_001, limit=700.0) == (0, 1)


def test_after_a_jump_and_back_nothing_is_lost_or_counted_twice():
    """One garbage reading costs nothing: the next one counts from the last accepted reading."""
    assert read(1000, 1500, 10**12, 2500, 3000, limit=700.0) == (2000, 1)


def test_after_a_lasting_jump_counting_continues_from_the_new_value():
    """A counter that moved permanently is counted from its new value."""
    assert read(1000, 10**12, 10**12 + 500, 10**12 + 700, limit=700.0) == (700, 1)


def test_a_reset_after_a_jump_counts_from_zero():
    """A value below the last accepted reading is a reset, regardless of rejected ones in between."""
    assert read(10_000, 10**12, 600, 700, limit=700.0) == (700, 1)


def test_repeated_garbage_is_rejected_each_time():
    """Every impossible reading is rejected and counted, and the next valid one counts in full."""
    assert read(1000, 10**12, 10**14, 10**13, 4000, limit=700.0) == (3000, 3)


def test_a_fall_to_an_impossible_value_is_a_glitch():
    """A lower value that exceeds what the interval allows is not a reset."""
    assert read(10**12, 10**11, 10**12 + 50, limit=700.0) == (50, 1)


def test_without_a_power_limit_nothing_is_a_glitch():
    """With no known power limit, or a limit of 0, every increase is accepted."""
    assert read(0, 10**12) == (10**12, 0)
    assert read(0, 10**12, limit=0.0) == (10**12, 0)


def test_a_lowered_limit_does_not_reject_earlier_use():
    """The higher of the two limits bounds the interval."""
    meter = EnergyMeter(gpu(0, 0.0, 0, limit=700.0))
    assert energy_increase(meter, gpu(0, 5.0, 3_400_000, limit=100.0)) == EnergyIncrease(3_400_000)
    assert energy_increase(meter, gpu(0, 5.0, 3_400_000)) == EnergyIncrease(3_400_000)


def test_a_change_of_method_or_scope_is_a_baseline():
    """Counters of two kinds are never subtracted from each other."""
    fold = Fold()
    fold.tick(0.0, gpus(gpu(0, 0.0, 50_000)))
    fold.tick(5.0, gpus(gpu(0, 5.0, 70_000, method=EnergyMethod.INTEGRATED)))
    fold.tick(10.0, gpus(gpu(0, 10.0, 70_300, method=EnergyMethod.INTEGRATED)))
    fold.tick(15.0, gpus(gpu(0, 15.0, 99_000, scope=EnergyScope.MODULE)))
    fold.tick(20.0, gpus(gpu(0, 20.0, 99_040, scope=EnergyScope.MODULE)))
    assert total(fold) == 340


def test_module_energy_is_not_bounded_by_one_gpus_limit():
    """A board's meter includes its CPU and all its GPUs."""
    assert read(0, 30_000_000, limit=700.0, **MODULE) == (30_000_000, 0)


def test_a_boards_energy_is_counted_once():
    """Two GPUs report one module: its energy is counted once, under the lowest index."""
    fold = Fold()
    for n in range(3):
        now = 5.0 * n
        fold.tick(now, gpus(gpu(1, now, 1000 * n + 7, **MODULE), gpu(0, now, 1000 * n, **MODULE)))
    assert fold.state.ledger.gpu_energy_millijoules == {"GPU-0": 2000}


def test_two_boards_and_gpus_with_their_own_meters_all_count():
    """Meters of two boards both count, and so do GPUs with their own meters on one board."""
    fold = Fold()
    for n in range(2):
        now, mj = 5.0 * n, 1000 * n
        fold.tick(
            now,
            gpus(
                gpu(0, now, mj, **MODULE),
                gpu(1, now, mj, scope=EnergyScope.MODULE, board="board-1"),
                gpu(2, now, mj, board="board-0"),
                gpu(3, now, mj, board="board-0"),
                gpu(4, now, mj, scope=EnergyScope.MODULE),
            ),
        )
    assert total(fold) == 5000


@law(150)
@given(st.lists(st.tuples(st.sampled_from(["both", "first", "second", "none"]), st.integers(0, 900)), max_size=12))
def test_a_boards_energy_is_counted_once_while_any_gpu_can_be_read(steps):
    """While at least one GPU of a board can be read, its meter is followed and no joule is counted twice.

    A board without a readable GPU, or passed between GPUs that were never read together, may lose an interval.
    """
    fold, meter, last = Fold(), 5000, "both"
    fold.tick(0.0, gpus(gpu(0, 0.0, meter, **MODULE), gpu(1, 0.0, meter + 40, **MODULE)))
    pending = seen = 0
    for n, (who, energy) in enumerate(steps, start=1):
        now = 5.0 * n
        meter, pending = meter + energy, pending + energy
        shown = (meter if who in ("both", "first") else None, meter + 40 if who in ("both", "second") else None)
        fold.tick(now, gpus(gpu(0, now, shown[0], **MODULE), gpu(1, now, shown[1], **MODULE)))
        if who != "none":
            seen += pending if last in ("both", who) or who == "both" else 0
            pending, last = 0, who
    assert total(fold) == seen


def test_a_recovered_gpu_does_not_count_what_its_board_mate_counted():
    """GPU 0 is lost for a tick while GPU 1 reports the board: the board used 300, and 300 are counted."""
    fold = Fold()
    for n, first in enumerate([0, 100, None, 300]):
        now = 5.0 * n
        fold.tick(now, gpus(gpu(0, now, first, **MODULE), gpu(1, now, 100 * n, **MODULE)))
    assert total(fold) == 300


def test_board_energy_is_shared_by_the_board_and_rental_by_gpu():
    """Three servers on a two-GPU board: energy follows tokens over the board, each GPU's rental its own servers."""
    on = {"both": (0, 1), "first": (0,), "second": (1,)}
    fold = Fold(Policy(server_gpus=on, tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
    for n in range(2):
        now, tokens = 5.0 * n, 100.0 * n
        fold.tick(
            now,
            tokens_page("both", now, tokens),
            tokens_page("first", now, tokens),
            tokens_page("second", now, 2 * tokens),
            gpus(gpu(0, now, 4000 * n, **MODULE), gpu(1, now, 4000 * n, **MODULE)),
        )
    ledger = fold.state.ledger
    by_server = {key[0].server: mj for key, mj in ledger.energy_millijoules.items() if mj}
    assert by_server == {"both": 1000, "first": 1000, "second": 2000}
    rent = {account.server: paid for (account, _), paid in ledger.cost.items()}
    assert rent == pytest.approx({"both": 5 / 3 + 1, "first": 10 / 3, "second": 4.0})


def test_the_lowest_index_with_a_known_meter_reports_the_board():
    """A GPU without a known meter does not take over from one that has one."""
    readings = (gpu(1, 0.0, 5, **MODULE), gpu(0, 0.0, 5, **MODULE))
    assert {u: [r.gpu.index for r in rs] for u, rs in gpus_by_meter(readings).items()} == {"GPU-0": [0, 1]}
    assert {u: [r.gpu.index for r in rs] for u, rs in gpus_by_meter(readings, {"GPU-1"}).items()} == {"GPU-1": [1, 0]}


def test_a_meter_is_kept_while_its_gpu_cannot_be_read():
    """Only a board mate that was read replaces a meter."""
    own, mate = gpu(0, 0.0, 5), gpu(1, 0.0, 5, **MODULE)
    meters = update_meters({}, (own, mate))
    assert update_meters(meters, (gpu(0, 5.0, None), gpu(1, 5.0, None))) == meters
    assert set(update_meters(meters, (gpu(2, 5.0, 5, **MODULE),))) == {"GPU-0", "GPU-2"}


@pytest.mark.parametrize("shown", [10**12, 900])
def test_a_rejected_reading_is_remembered_with_the_accepted_one(shown):
    """The meter keeps its accepted reading until another one is accepted."""
    start, current = gpu(0, 0.0, 1000, limit=700.0), gpu(0, 5.0, shown, limit=700.0)
    expected = EnergyMeter(start, rejected=current) if shown > 10**9 else EnergyMeter(current)
    assert update_meter(EnergyMeter(start), current) == expected
