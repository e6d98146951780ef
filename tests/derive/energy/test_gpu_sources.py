"""Several GPU sources: every GPU is published and charged once, whichever source reports it."""

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.retention import forget_removed
from goodwatt.model.gpu import GpusReading
from goodwatt.model.policy import Policy
from goodwatt.model.source import NVML_SOURCE, Reason, SourceId, SourceKind, SourceResult, Unavailable, server_source
from goodwatt.model.tariff import Tariff
from goodwatt.publish.metrics.goodwatt import GOODWATT
from tests.derive.laws import law
from tests.derive.worlds import gpu_readings
from tests.fakes.readings import Fold, gpu, gpus, no_gpus, tokens_page

DCGM_SOURCE = SourceId(SourceKind.GPUS, "dcgm")


def dcgm(*readings, simulated=False):
    return SourceResult(DCGM_SOURCE, 0.001, GpusReading(readings, simulated=simulated, notes=("dcgm: a note",)))


def no_dcgm():
    return SourceResult(DCGM_SOURCE, 0.001, Unavailable(Reason.UNREACHABLE, "connection refused"))


def published(snapshot):
    return [] if snapshot.gpus is None else [g.gpu.uuid for g in snapshot.gpus.gpus]


def energy(snapshot):
    return dict(snapshot.ledger.gpu_energy_millijoules)


def test_a_second_gpu_source_is_published_and_charged():
    """GPUs of every source are in the snapshot, and their energy and rent are in the ledger."""
    fold = Fold(Policy(tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
    for n in range(2):
        now = 5.0 * n
        machine = (gpus(gpu(0, now, 1000 * n)), dcgm(gpu(7, now, 3000 * n), simulated=True))
        fold.tick(now, *machine, tokens_page("a", now, 10.0 * n))
    shown = fold.snapshots[-1]
    assert published(shown) == ["GPU-0", "GPU-7"] and shown.gpu_sources == {NVML_SOURCE, DCGM_SOURCE}
    assert energy(shown) == {"GPU-0": 1000, "GPU-7": 3000}
    assert sum(shown.ledger.cost.values()) == 10.0
    assert shown.gpus.simulated and shown.gpus.notes == ("dcgm: a note",)
    (source_info,) = (row for row in GOODWATT if row.name == "source_info")
    assert list(source_info.value(shown))[:2] == [(("nvml", "false"), 1), (("dcgm", "true"), 1)]


def test_a_lone_source_of_any_name_is_published():
    """Nothing depends on the GPUs being read through NVML."""
    fold = Fold()
    fold.tick(0.0, dcgm(gpu(0, 0.0, 0)))
    assert published(fold.tick(5.0, dcgm(gpu(0, 5.0, 500)))) == ["GPU-0"]
    assert energy(fold.snapshots[-1]) == {"GPU-0": 500}


def test_a_gpu_that_two_sources_report_counts_once():
    """The first source to report it owns it; the other's counter, which may start elsewhere, is never mixed in."""
    fold = Fold()
    for n in range(3):
        now = 5.0 * n
        fold.tick(now, gpus(gpu(0, now, 1000 * n)), dcgm(gpu(0, now, 900_000 + n), gpu(1, now, 10 * n)))
    assert published(fold.snapshots[-1]) == ["GPU-0", "GPU-1"]
    assert energy(fold.snapshots[-1]) == {"GPU-0": 2000, "GPU-1": 20}


def test_the_owner_keeps_a_gpu_while_it_fails():
    """No energy is made up from another source's counter; what the owner missed is counted when it returns."""
    fold = Fold()
    fold.tick(0.0, gpus(gpu(0, 0.0, 0)), dcgm(gpu(0, 0.0, 900_000), gpu(1, 0.0, 0)))
    fold.tick(5.0, no_gpus(), dcgm(gpu(0, 5.0, 905_000), gpu(1, 5.0, 10)))
    assert energy(fold.snapshots[-1]) == {"GPU-0": 0, "GPU-1": 10}
    fold.tick(10.0, gpus(gpu(0, 10.0, 2000)), dcgm(gpu(0, 10.0, 910_000), gpu(1, 10.0, 20)))
    assert energy(fold.snapshots[-1]) == {"GPU-0": 2000, "GPU-1": 20}


def test_a_stale_source_hides_its_own_gpus_and_live_energy():
    """GPUs of the source that still answers stay published, but watts that miss part of the GPUs are not."""
    fold = Fold()
    for n in range(2):
        now = 5.0 * n
        fold.tick(now, gpus(gpu(0, now, 1000 * n)), dcgm(gpu(1, now, 10 * n)), tokens_page("a", now, 10.0 * n))
    (live,) = fold.snapshots[-1].live.values()
    assert live.watts is not None
    for n in range(2, 5):
        now = 5.0 * n
        fold.tick(now, gpus(gpu(0, now, 1000 * n)), no_dcgm(), tokens_page("a", now, 10.0 * n))
    shown = fold.snapshots[-1]
    (live,) = shown.live.values()
    assert (published(shown), shown.gpu_sources, live.watts) == (["GPU-0"], {NVML_SOURCE}, None)


def test_after_the_owner_is_removed_the_other_source_starts_from_a_baseline():
    """The counter of the removed source is forgotten, so its last value is not subtracted from the other's."""
    fold = Fold()
    fold.tick(0.0, gpus(gpu(0, 0.0, 0)), dcgm(gpu(0, 0.0, 900_000)))
    fold.state = forget_removed(fold.state, {DCGM_SOURCE, server_source("a")})
    fold.tick(5.0, dcgm(gpu(0, 5.0, 905_000)))
    assert (published(fold.snapshots[-1]), energy(fold.snapshots[-1])) == (["GPU-0"], {"GPU-0": 0})
    assert energy(fold.tick(10.0, dcgm(gpu(0, 10.0, 905_500)))) == {"GPU-0": 500}


@law(100)
@given(st.lists(st.lists(gpu_readings, max_size=4), min_size=1, max_size=6))
def test_two_sources_charge_what_one_source_would(story):
    """Energy does not depend on how the GPUs of a machine are divided among sources."""
    one, two = Fold(), Fold()
    for n, makers in enumerate(story):
        now = 5.0 * n
        readings = list({r.gpu.uuid: r for r in (make(now) for make in makers)}.values())
        page = tokens_page("a", now, 10.0 * n)
        one.tick(now, gpus(*readings), page)
        two.tick(
            now, gpus(*(r for r in readings if r.gpu.index < 2)), dcgm(*(r for r in readings if r.gpu.index >= 2)), page
        )
    assert energy(one.snapshots[-1]) == energy(two.snapshots[-1])
    assert one.state.ledger.energy_millijoules == two.state.ledger.energy_millijoules
