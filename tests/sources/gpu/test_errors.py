"""NVML return codes: each one when the driver is opened and when one quantity is read."""

from itertools import pairwise

import pytest

from goodwatt.model.gpu import GpuState
from goodwatt.model.gpu_driver import DriverError
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.gpu.errors import DriverFault, driver_fault
from goodwatt.sources.gpu.source import GpuSource
from tests.fakes.fake_driver import Clock, FakeDriver, FakeGpu

A, B = "GPU-aaaa", "GPU-bbbb"
QUANTITIES = {
    "power": "power_watts",
    "power_limit": "power_limit_watts",
    "utilization": "utilization_ratio",
    "memory": "memory_used_bytes",
    "temperature": "temperature_celsius",
    "sm_clock": "sm_clock_hertz",
    "throttle_reasons": "throttled",
    "energy_millijoules": "energy",
}


def figure(reading, name):
    """Return a figure of the reading, whether it is a quantity of the table or a field."""
    return reading.quantities.get(name, getattr(reading, name, None))


async def refused(source):
    """Read once, which must raise, and return the SourceUnavailable."""
    with pytest.raises(SourceUnavailable) as why:
        await source.read()
    assert "\n" not in why.value.detail
    assert why.value.detail.startswith("nvml: ")
    return why.value


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        *[(code, DriverFault.UNSUPPORTED) for code in (3, 13, 25, 26)],
        *[(code, DriverFault.DENIED) for code in (4, 17)],
        (7, DriverFault.RETRY_NOW),
        *[(code, DriverFault.DRIVER_GONE) for code in (1, 9, 12)],
        *[(code, DriverFault.GPU_LOST) for code in (15, 16)],
        *[(code, DriverFault.NEEDS_RESTART) for code in (18, 999)],
        *[(code, DriverFault.TRANSIENT) for code in (2, 6, 10, 14, 20, 27, 31, 4711)],
    ],
)
def test_every_code_has_one_meaning(code, fault):
    """Each return code maps to one fault; a code that is not listed is transient."""
    assert driver_fault(DriverError(code, "x")) is fault


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (12, Reason.LIBRARY_MISSING, "libnvidia-ml.so.1 not found; install the NVIDIA driver"),
        (9, Reason.DRIVER_MISSING, "driver not loaded; install or load the NVIDIA driver"),
        (4, Reason.PERMISSION, "let this user open /dev/nvidiactl"),
        (17, Reason.PERMISSION, "let this user open /dev/nvidiactl"),
        (18, Reason.DRIVER_ERROR, "reboot the machine or reload the kernel module"),
        (999, Reason.DRIVER_ERROR, "cannot open the driver: fake refusal of open (NVML code 999)"),
    ],
)
async def test_a_failed_open_says_what_to_do(code, reason, advice):
    """A driver that cannot be opened has its own reason and advice, and does not ask for a restart of goodwatt."""
    driver = FakeDriver(FakeGpu(A))
    driver.refuse["open"] = code
    source = GpuSource(driver, Clock())
    why = await refused(source)
    assert why.reason is reason
    assert advice in why.detail
    assert not source.needs_restart


async def test_open_is_retried_after_1_2_4_up_to_60_seconds():
    """A missing driver is retried after 1, 2, 4 ... 60, 60 s, and not in between."""
    clock, driver = Clock(), FakeDriver(FakeGpu(A))
    driver.refuse["open"] = 9
    source, tried_at = GpuSource(driver, clock), []
    for _ in range(400):
        before = driver.calls["open"]
        assert (await refused(source)).reason is Reason.DRIVER_MISSING
        if driver.calls["open"] > before:
            tried_at.append(clock.now_seconds - 1000)
        clock.advance(0.5)
    waits = [later - earlier for earlier, later in pairwise(tried_at)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_driver_that_appears_is_read():
    """A driver loaded after the start is found at the next retry, which resets the backoff."""
    clock, gpu = Clock(), FakeGpu(A)
    driver = FakeDriver(gpu)
    driver.refuse["open"] = 9
    source = GpuSource(driver, clock)
    for _ in range(5):
        await refused(source)
        clock.advance(60)
    driver.refuse.clear()
    assert (await source.read()).gpus[0].state is GpuState.OK
    gpu.refuse["*"] = 9
    assert "the driver went away" in (await refused(source)).detail
    gpu.refuse.clear()
    clock.advance(1)
    assert (await source.read()).gpus[0].state is GpuState.OK
    assert driver.opened == 1


@pytest.mark.parametrize(("code", "reason"), [(1, "driver_missing"), (9, "driver_missing"), (12, "library_missing")])
async def test_a_driver_that_goes_away_is_closed(code, reason):
    """A driver unloaded while goodwatt runs is closed and unavailable, and reopened only after the wait."""
    clock, gpu = Clock(), FakeGpu(A)
    driver = FakeDriver(gpu)
    source = GpuSource(driver, clock)
    await source.read()
    gpu.refuse["utilization"] = code
    assert (await refused(source)).reason == reason
    assert driver.opened == 0
    gpu.refuse.clear()
    assert (await refused(source)).reason == reason
    assert driver.calls["open"] == 1


@pytest.mark.parametrize("method", ["count", "uuid", "driver_version", "product"])
async def test_a_driver_that_goes_away_while_it_is_opened(method):
    """A driver that goes away between its open and the first reading counts as missing, and is closed."""
    driver = FakeDriver(FakeGpu(A))
    driver.refuse[method] = 9
    if method in ("uuid", "product"):
        driver.gpus[0].refuse[method] = 9
    assert (await refused(GpuSource(driver, Clock()))).reason is Reason.DRIVER_MISSING
    assert driver.opened == 0


async def test_a_driver_that_opens_but_goes_away_at_once_keeps_the_backoff():
    """A driver that opens but answers no read is not reopened every second: the wait keeps doubling."""
    clock, gpu = Clock(), FakeGpu(A, refuse=dict.fromkeys(QUANTITIES, 9))
    driver = FakeDriver(gpu)
    source = GpuSource(driver, clock)
    for _ in range(100):
        await refused(source)
        clock.advance(1)
    assert driver.calls["open"] == 7  # at 0, 1, 3, 7, 15, 31 and 63 s


async def test_a_driver_without_gpus():
    """A driver that lists no GPU is NO_GPUS and closed, and is retried later."""
    clock, driver = Clock(), FakeDriver()
    source = GpuSource(driver, clock)
    assert (await refused(source)).reason is Reason.NO_GPUS
    assert driver.opened == 0
    driver.gpus.append(FakeGpu(A))
    clock.advance(1)
    assert len((await source.read()).gpus) == 1


@pytest.mark.parametrize(("code", "reason"), [(4, "permission"), (17, "permission"), (15, "driver_error")])
async def test_no_gpu_that_can_be_identified(code, reason):
    """If no GPU can be identified, the source is unavailable with the GPU's reason."""
    driver = FakeDriver(FakeGpu(A, refuse={"handle": code}))
    assert (await refused(GpuSource(driver, Clock()))).reason == reason


@pytest.mark.parametrize("method", QUANTITIES)
@pytest.mark.parametrize("code", [2, 3, 4, 7, 10, 13, 17, 18, 25, 26, 999])
async def test_one_refused_quantity_is_none_alone(code, method):
    """One refused quantity of one GPU, with any code, is absent and noted; all others are read."""
    whole = (await GpuSource(FakeDriver(FakeGpu(A), FakeGpu(B)), Clock()).read()).gpus
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu, FakeGpu(B)), Clock())
    gpu.refuse[method] = code
    answer = await source.read()
    one, other = answer.gpus
    assert other == whole[1]
    for name in QUANTITIES.values():
        expected = None if name == QUANTITIES[method] else figure(whole[0], name)
        if name == "energy" and method == "energy_millijoules" and code in (3, 4, 13, 17, 25, 26):
            continue  # energy is integrated from power instead
        assert figure(one, name) == expected, name
    assert any(f"(NVML code {code})" in note for note in answer.notes)
    assert not source.needs_restart
    await source.aclose()


@pytest.mark.parametrize("code", [3, 13, 25, 26])
async def test_an_unsupported_call_is_never_repeated(code):
    """A call that one GPU does not support is made once for it, and at every read for the other GPU."""
    gpu, other = FakeGpu(A, refuse={"sm_clock": code}), FakeGpu(B)
    source = GpuSource(FakeDriver(gpu, other), Clock())
    for _ in range(30):
        await source.read()
    assert (gpu.calls["sm_clock"], other.calls["sm_clock"]) == (1, 30)


@pytest.mark.parametrize("code", [2, 4, 10, 17, 999])
async def test_a_transient_failure_is_retried_at_the_next_read(code):
    """A quantity that fails is read again at the next read, and its note disappears when it succeeds."""
    gpu = FakeGpu(A, refuse={"power_limit": code})
    source = GpuSource(FakeDriver(gpu), Clock())
    assert (await source.read()).notes
    gpu.refuse.clear()
    answer = await source.read()
    assert (answer.gpus[0].power_limit_watts, answer.notes) == (700.0, ())


async def test_code_7_is_retried_once():
    """A buffer that was too small is retried immediately; twice in a row is a missing figure."""
    driver = FakeDriver(FakeGpu(A))
    source = GpuSource(driver, Clock())
    driver.stutter["utilization"] = 1
    assert (await source.read()).gpus[0].utilization_ratio == 0.57
    driver.stutter["utilization"] = 2
    assert (await source.read()).gpus[0].utilization_ratio is None


@pytest.mark.parametrize("code", [4, 17])
async def test_every_call_denied_is_unavailable_for_permission(code):
    """If every call is denied the source is unavailable with PERMISSION, and it reads again once access is granted."""
    gpu = FakeGpu(A, refuse=dict.fromkeys(QUANTITIES, code))
    source = GpuSource(FakeDriver(gpu), Clock())
    assert (await refused(source)).reason is Reason.PERMISSION
    assert not source.needs_restart
    gpu.refuse.clear()
    answer = (await source.read()).gpus[0]
    assert answer.energy is not None
    assert answer.energy.millijoules == 5_000_000


@pytest.mark.parametrize("code", [18, 999])
async def test_a_dead_driver_needs_a_restart(code):
    """If every call fails with 18 or 999 the source asks for a restart, until a call succeeds again."""
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    gpu.refuse["*"] = code
    why = await refused(source)
    assert (why.reason, source.needs_restart) == (Reason.DRIVER_ERROR, True)
    assert "only a restart helps: restart goodwatt" in why.detail
    gpu.refuse.clear()
    await source.read()
    assert not source.needs_restart


@pytest.mark.parametrize("code", [15, 16])
async def test_every_gpu_lost_is_still_a_reading(code):
    """If every GPU is lost there is still a reading that lists each one as LOST."""
    one, two = FakeGpu(A), FakeGpu(B)
    source = GpuSource(FakeDriver(one, two), Clock())
    await source.read()
    one.refuse["*"] = two.refuse["*"] = code
    assert [reading.state for reading in (await source.read()).gpus] == [GpuState.LOST, GpuState.LOST]


async def test_a_gpu_that_supports_nothing_is_still_listed():
    """A GPU that supports no quantity is listed without figures."""
    gpu = FakeGpu(A, refuse=dict.fromkeys(QUANTITIES, 3))
    (reading,) = (await GpuSource(FakeDriver(gpu), Clock()).read()).gpus
    assert (reading.state, reading.power_watts, reading.energy) == (GpuState.OK, None, None)
