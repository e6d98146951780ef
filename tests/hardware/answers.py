"""Questions that need no load: what fields return, what a read costs, whether closing the library resets anything."""

import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pynvml

from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.source import gpu_source

ROOT = Path(__file__).parents[2]
SCOPED = {83: (0,), 191: (0, 1), 185: (0, 1, 2), 186: (0, 1, 2)}
PLAIN = (74, 75, 76, 77, 78, 79, 187, 188, 189, 190, 192, 269, 270, 271)
ASKED = tuple((field, scope) for field, scopes in SCOPED.items() for scope in scopes) + tuple((f, 0) for f in PLAIN)
_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


def gpu() -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def said(question: Callable[..., Any], *arguments: Any) -> Any:
    """Return the answer, or the code of the refusal."""
    try:
        answer = question(*arguments)
    except pynvml.NVMLError as refused:
        return {"refused": refused.value, "text": str(refused)}
    return answer.decode() if isinstance(answer, bytes) else answer


def fields() -> dict[str, Any]:
    """Question 1, and the unit of the throttle counters' wall clock reference."""
    return {"at_unix_seconds": time.time(), "rows": field_rows(ASKED)}


def field_rows(asked: tuple[tuple[int, int], ...]) -> list[dict[str, int | float | None]]:
    return [
        {
            "field": value.fieldId,
            "scope": value.scopeId,
            "return": value.nvmlReturn,
            "value_type": value.valueType,
            "value": getattr(value.value, _MEMBERS[value.valueType]) if value.nvmlReturn == 0 else None,
            "latency_usec": value.latencyUsec,
            "timestamp_usec": value.timestamp,
        }
        for value in pynvml.nvmlDeviceGetFieldValues(gpu(), list(asked))
    ]


def identity() -> dict[str, Any]:
    handle = gpu()
    return {
        "driver": said(pynvml.nvmlSystemGetDriverVersion),
        "nvml": said(pynvml.nvmlSystemGetNVMLVersion),
        "product": said(pynvml.nvmlDeviceGetName, handle),
        "architecture": said(pynvml.nvmlDeviceGetArchitecture, handle),
        "has_serial": isinstance(said(pynvml.nvmlDeviceGetSerial, handle), str),
        "persistence_mode": said(pynvml.nvmlDeviceGetPersistenceMode, handle),
        "mig_mode": said(pynvml.nvmlDeviceGetMigMode, handle),
        "power_limit_milliwatts": said(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
        "virtualization_mode": said(pynvml.nvmlDeviceGetVirtualizationMode, handle),
        "throttle_mask": said(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle),
        "violations": {
            str(policy): _violation(handle, policy) for policy in range(4)
        },  # power, thermal, sync boost, board limit
    }


def _violation(handle: Any, policy: int) -> Any:
    status = said(pynvml.nvmlDeviceGetViolationStatus, handle, policy)
    return status if isinstance(status, dict) else {"time": status.violationTime, "at_usec": status.referenceTime}


def cost() -> dict[str, Any]:
    """Question 7: cost of goodwatt's full read, a batch, and each single call; microseconds, wall clock and CPU."""
    handle = gpu()
    batch = [(83, 0), (185, 0), (186, 0)]
    events = pynvml.nvmlEventSetCreate()
    pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
    singles: dict[str, Callable[[], Any]] = {
        "total_energy": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
        "power_usage": lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        "utilization": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle),
        "memory_v2": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
        "temperature": lambda: pynvml.nvmlDeviceGetTemperature(handle, 0),
        "sm_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, 1),
        "event_reasons": lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        "xid_events_waiting": lambda: _nothing_waits(events),
        "power_limit": lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle),
        "batch_of_3_fields": lambda: pynvml.nvmlDeviceGetFieldValues(handle, batch),
    }
    before = _resident_kib()
    timed = {name: _timed(call) for name, call in singles.items()}
    cold = {name: _timed(call, rounds=6, pause_seconds=0.5) for name, call in singles.items()}
    return {
        "calls": timed,
        "calls_after_a_pause": cold,
        "cycle": asyncio.run(_cycles()),
        "resident_kib": [before, _resident_kib()],
    }


def _nothing_waits(events: Any) -> None:
    with suppress(pynvml.NVMLError):
        pynvml.nvmlEventSetWait_v2(events, 0)


def _timed(call: Callable[[], Any], rounds: int = 200, pause_seconds: float = 0.0) -> dict[str, float]:
    call()
    wall, began = [], time.thread_time()
    for _ in range(rounds):
        time.sleep(pause_seconds)
        start = time.perf_counter()
        call()
        wall.append(time.perf_counter() - start)
    ordered = sorted(wall)
    return {
        "median": 1e6 * statistics.median(wall),
        "p99": 1e6 * ordered[int(0.99 * rounds)],
        "cpu": 1e6 * (time.thread_time() - began) / rounds,
    }


async def _cycles(rounds: int = 100) -> dict[str, float]:
    source = gpu_source(GpusSection())
    assert source is not None
    await source.read()
    before, began, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), []
    for _ in range(rounds):
        start = time.perf_counter()
        await source.read()
        wall.append(time.perf_counter() - start)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
    await source.aclose()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "median": 1e6 * statistics.median(wall),
        "p99": 1e6 * sorted(wall)[int(0.99 * rounds)],
        "cpu": 1e6 * cpu / rounds,
        "seconds": seconds,
    }


def _resident_kib() -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))


def xid() -> dict[str, Any]:
    """Whether a faulting program is counted in `goodwatt_gpu_xid_errors_total`, and its Xid number."""
    return asyncio.run(_xid())


async def _xid() -> dict[str, Any]:
    source = gpu_source(GpusSection())
    assert source is not None
    before = (await source.read()).gpus[0]
    command = [sys.executable, "-m", "tests.hardware.faulty"]
    fault = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, error = await fault.communicate()
    await asyncio.sleep(1)
    after = (await source.read()).gpus[0]
    await source.aclose()
    return {
        "program": error.decode()[-200:],
        "before": [before.xid_errors, before.last_xid],
        "after": [after.xid_errors, after.last_xid],
        "state": after.state.value,
    }


def reopened() -> dict[str, Any]:
    """Question 8, second half: whether the counter continues after 3 s without any client of the driver."""
    before = {"energy": said(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu()), "at": time.monotonic()}
    processes = len(said(pynvml.nvmlDeviceGetComputeRunningProcesses, gpu()))
    pynvml.nvmlShutdown()
    time.sleep(3)
    pynvml.nvmlInit()
    after = {"energy": said(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu()), "at": time.monotonic()}
    mode = said(pynvml.nvmlDeviceGetPersistenceMode, gpu())
    return {"persistence_mode": mode, "other_processes": processes, "before": before, "after": after}
