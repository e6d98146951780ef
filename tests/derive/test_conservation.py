"""Laws that the whole ledger obeys over any sequence of ticks."""

import math
from copy import deepcopy
from dataclasses import fields, is_dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.step import step
from goodwatt.model.gpu import GpusReading
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Ledger
from goodwatt.model.policy import Policy
from goodwatt.model.request import RequestsReading
from goodwatt.model.tariff import Carbon, Facility, Tariff
from tests.derive.laws import law
from tests.derive.worlds import lived, worlds
from tests.fakes.readings import Fold, gpu, gpus, no_gpus, silent, tokens_page


def measured(ledger):
    return sum(ledger.gpu_energy_millijoules.values())


def attributed(ledger):
    return sum(ledger.energy_millijoules.values())


def unattributed(ledger):
    return sum(ledger.gpu_unattributed_millijoules.values())


def spent(ledger):
    return math.fsum([*ledger.cost.values(), *ledger.unattributed_cost.values()])


def emitted(ledger):
    return math.fsum([*ledger.carbon_grams.values(), ledger.unattributed_carbon_grams or 0.0])


def close(one, other):
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


@law(150)
@given(worlds())
def test_energy_is_conserved(world):
    """Every millijoule that a meter accepted belongs to an account or is unattributed, and none is created."""
    for _, _, snapshot, _ in lived(world):
        ledger = snapshot.ledger
        assert attributed(ledger) + unattributed(ledger) == measured(ledger)


@law(150)
@given(worlds())
def test_cost_and_carbon_follow_price_and_energy(world):
    """All cost is price x GPU hours or price x facility kWh, and all carbon is grams x facility kWh, down to each
    share."""
    policy, _ = world
    gpu_seconds, known, before = 0.0, 0, None
    for _, tick, snapshot, _ in lived(world):
        read = next((r.outcome for r in tick.results if isinstance(r.outcome, GpusReading)), None)
        known = known if read is None else len(read.gpus)
        gpu_seconds += 0.0 if before is None else (tick.now - before) * known
        before, ledger = tick.now, snapshot.ledger
        kwh = measured(ledger) / 1000.0 * policy.facility.host_factor * policy.facility.pue / 3.6e6
        tariff = policy.tariff or Tariff("USD", price_per_kwh=0.0)
        price = tariff.price_per_gpu_hour
        owed = tariff.price_per_kwh * kwh if price is None else price * gpu_seconds / 3600.0
        assert close(spent(ledger), owed)
        assert close(emitted(ledger), kwh * policy.carbon.grams_per_kwh if policy.carbon else 0.0)


def numbers(thing, at=()):
    """Yield every number of a ledger except the in-flight gauges, with its place. Histograms yield their buckets."""
    if isinstance(thing, Histogram):
        yield from (((*at, edge), count) for edge, count in zip(thing.edges, thing.counts, strict=True))
        yield (*at, "count"), thing.count
        if thing.sum is not None:
            yield (*at, "sum"), thing.sum
    elif is_dataclass(thing):
        for field in fields(thing):
            if field.name != "in_flight":
                yield from numbers(getattr(thing, field.name), (*at, field.name))
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from numbers(value, (*at, key))
    elif isinstance(thing, tuple):
        for index, value in enumerate(thing):
            yield from numbers(value, (*at, index))
    elif thing is not None:
        yield at, thing


@law(200)
@given(worlds(ticks=8))
def test_no_number_in_the_ledger_ever_falls(world):
    """For any pages and meters, every number in the ledger only grows and is never negative, NaN or infinite."""
    before = {}
    for _, _, snapshot, _ in lived(world):
        now = dict(numbers(snapshot.ledger))
        assert all(math.isfinite(value) and value >= 0 for value in now.values())
        assert all(now[where] >= value for where, value in before.items() if where in now)
        gone = before.keys() - now.keys()
        assert all(where[0] == "histograms" for where in gone)  # an edge that replicas do not share
        before = now


@law(100)
@given(worlds(ticks=8))
def test_histograms_in_the_ledger_stay_cumulative(world):
    """Bucket counts ascend along the edges through any resets and changes of edges."""
    for _, _, snapshot, _ in lived(world):
        for histogram in snapshot.ledger.histograms.values():
            assert all(low <= high for low, high in pairwise((0.0, *histogram.counts, histogram.count)))
            assert all(low < high for low, high in pairwise(histogram.edges))


@law(100)
@given(worlds())
def test_bounds_stay_in_order_on_any_page(world):
    """0 <= lower <= upper <= eligible, live and in the totals, even for pages that no engine would write."""
    for _, _, snapshot, _ in lived(world):
        for totals in (*snapshot.ledger.slos.values(), *snapshot.slo_live.values()):
            assert 0.0 <= totals.good_lower <= totals.good_upper <= totals.eligible


@law(60)
@given(worlds())
def test_a_step_is_pure(world):
    """The same inputs give the same outputs, and a step changes neither its state nor its readings."""
    policy, _ = world
    for before, tick, snapshot, after in lived(world):
        kept, results = deepcopy(before), deepcopy(tick.results)
        again = step(before, tick.results, policy, tick.now, unix=1.7e9 + tick.now)
        assert again == (after, snapshot)
        assert before == kept
        assert tick.results == results


@law(150)
@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 2000)), min_size=3, max_size=3), min_size=1, max_size=10))
def test_gpu_energy_is_the_sum_of_accepted_increases(rows):
    """A GPU's energy is the increase between its own readings, resets included, to the millijoule."""
    fold = Fold()
    for n, row in enumerate(rows):
        fold.tick(5.0 * n, gpus(*(gpu(i, 5.0 * n, mj) for i, mj in enumerate(row))), tokens_page("a", 5.0 * n, 7.0 * n))
    for i in range(3):
        seen = [row[i] for row in rows if row[i] is not None]
        expected = sum(now - before if now >= before else now for before, now in pairwise(seen))
        assert fold.state.ledger.gpu_energy_millijoules.get(f"GPU-{i}", 0) == expected


@law(60)
@given(st.data())
def test_a_missing_driver_stops_energy_but_not_tokens(data):
    """Tokens are counted while the GPU source is down, and energy while every server is down."""
    fold = Fold()
    fold.tick(0.0, gpus(gpu(0, 0.0, 0)), tokens_page("a", 0.0, 0.0))
    for n in range(1, 5):
        now, gpu_up, server_up = 5.0 * n, data.draw(st.booleans()), data.draw(st.booleans())
        before = fold.state.ledger
        fold.tick(
            now,
            gpus(gpu(0, now, 1000 * n)) if gpu_up else no_gpus(),
            tokens_page("a", now, 10.0 * n) if server_up else silent("a"),
        )
        ledger = fold.state.ledger
        assert (measured(ledger) > measured(before)) == gpu_up
        assert (sum(ledger.counts.values()) > sum(before.counts.values())) == server_up


def test_rental_continues_while_the_driver_fails():
    """A GPU that cannot be read is still rented: its hours are charged from its first reading on."""
    fold = Fold(Policy(tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
    fold.tick(0.0, no_gpus())
    assert spent(fold.state.ledger) == 0.0
    fold.tick(5.0, gpus(gpu(0, 5.0, 0)))
    fold.tick(10.0, no_gpus())
    fold.tick(15.0, gpus(gpu(0, 15.0, None)))
    assert spent(fold.state.ledger) == pytest.approx(15.0)


def test_electricity_is_charged_on_facility_energy():
    """At 0.10 per kWh, host factor 1.5 and PUE 1.2, 3.6 MJ at the GPU cost 0.18, and no rental is added."""
    fold = Fold(
        Policy(
            tariff=Tariff("EUR", price_per_kwh=0.10), facility=Facility(host_factor=1.5, pue=1.2), carbon=Carbon(400.0)
        )
    )
    fold.tick(0.0, gpus(gpu(0, 0.0, 0)))
    fold.tick(5.0, gpus(gpu(0, 5.0, 3_600_000_000)))
    assert spent(fold.state.ledger) == pytest.approx(0.18)
    assert emitted(fold.state.ledger) == pytest.approx(720.0)


def test_without_energy_there_is_no_electricity_cost_and_no_carbon():
    """Unknown is never zero: without a meter both are absent, not 0."""
    fold = Fold(Policy(tariff=Tariff("EUR", price_per_kwh=0.10), carbon=Carbon(400.0)))
    fold.tick(0.0, gpus(gpu(0, 0.0, None)), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, gpus(gpu(0, 5.0, None)), tokens_page("a", 5.0, 9.0))
    ledger = fold.state.ledger
    assert (ledger.cost, ledger.unattributed_cost, ledger.carbon_grams) == ({}, {}, {})
    assert ledger.unattributed_carbon_grams is None


def test_a_tick_without_sources_is_valid():
    """Without any source, GPU or server the ledger stays empty and a snapshot is still made."""
    fold = Fold()
    snapshot = fold.tick(0.0)
    assert (snapshot.ledger, snapshot.gpus, snapshot.servers, snapshot.ticks) == (Ledger(), None, {}, 1)


def newly_dropped(before, sources):
    """Count the records dropped in a tick, from the states of its sources before and after."""
    known = {(name, why): number for name, state in before.items() for why, number in state.dropped.items()}
    return sum(number - known.get((s.source, why), 0) for s in sources for why, number in s.dropped.items())


@law(100)
@given(worlds(ticks=8))
def test_every_record_is_counted_once_or_dropped(world):
    """Every record is counted or dropped. Under an SLO each counted record is judged once or reported unjudged, and
    good <= eligible."""
    came = 0
    for before, tick, shown, _ in lived(world):
        came += sum(len(r.outcome.records) for r in tick.results if isinstance(r.outcome, RequestsReading))
        came -= newly_dropped(before.sources, shown.sources)
        assert sum(shown.ledger.records.values()) == came
        for (account, _), totals in shown.ledger.exact.items():
            known = sum(number for key, number in shown.ledger.records.items() if key.account == account)
            assert totals.eligible + sum(totals.unjudged.values()) == known
            assert totals.good <= min(totals.met) <= max(totals.met) <= totals.eligible
        assert all(live.good <= live.eligible for live in shown.exact_live.values())
