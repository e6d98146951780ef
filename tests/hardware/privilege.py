"""What the driver allows root and user nobody to read: GPM, Xid events, processes. Under a steady load."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pynvml

from tests.hardware.answers import gpu, said
from tests.hardware.load import ROOT, Load

NOBODY = 65534
METRICS = {"graphics_util": 1, "sm_util": 2, "sm_occupancy": 3, "any_tensor_util": 5, "dram_bw_util": 10}


def compared() -> dict[str, Any]:
    """Questions 5, 6 and the first half of 8, as this user and as nobody."""
    with Load() as load:
        load.begin("steady", 18)
        time.sleep(2)
        mine = _asked(load.pid)
        command = [sys.executable, "-m", "tests.hardware.privilege", str(load.pid)]
        other = subprocess.run(
            command,
            cwd=ROOT,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        load.wait()
    nobody = json.loads(other.stdout) if other.returncode == 0 else {"failed": other.stderr[-800:]}
    return {f"uid_{os.getuid()}": mine, "nobody": nobody}


def _asked(load_pid: int) -> dict[str, Any]:
    handle = gpu()
    return {
        "gpm_supported": _supported(handle),
        "gpm": {str(seconds): _gpm(handle, seconds) for seconds in (0.1, 1.0)},
        "utilization_percent": said(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "xid_events": _events(handle),
        "compute_processes": _known(said(pynvml.nvmlDeviceGetComputeRunningProcesses, handle), load_pid),
        "process_utilization": _known(said(pynvml.nvmlDeviceGetProcessUtilization, handle, 0), load_pid),
        "energy": said(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle),
    }


def _supported(handle: Any) -> Any:
    support = said(pynvml.nvmlGpmQueryDeviceSupport, handle)
    return support if isinstance(support, dict) else support.isSupportedDevice


def _gpm(handle: Any, seconds: float) -> Any:
    try:
        return [_gpm_once(handle, seconds) for _ in range(3)]
    except pynvml.NVMLError as refused:
        return {"refused": refused.value, "text": str(refused)}


def _gpm_once(handle: Any, seconds: float) -> dict[str, Any]:
    first, second = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
    try:
        pynvml.nvmlGpmSampleGet(handle, first)
        time.sleep(seconds)
        pynvml.nvmlGpmSampleGet(handle, second)
        wanted = pynvml.c_nvmlGpmMetricsGet_t()
        wanted.version, wanted.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(METRICS)
        wanted.sample1, wanted.sample2 = first, second
        for at, metric in enumerate(METRICS.values()):
            wanted.metrics[at].metricId = metric
        pynvml.nvmlGpmMetricsGet(wanted)
        got = zip(METRICS, wanted.metrics, strict=False)
        return {
            name: metric.value if metric.nvmlReturn == 0 else {"refused": metric.nvmlReturn} for name, metric in got
        }
    finally:
        pynvml.nvmlGpmSampleFree(first)
        pynvml.nvmlGpmSampleFree(second)


def _events(handle: Any) -> Any:
    events = said(pynvml.nvmlEventSetCreate)
    if isinstance(events, dict):
        return events
    registered = said(pynvml.nvmlDeviceRegisterEvents, handle, pynvml.nvmlEventTypeXidCriticalError, events)
    pynvml.nvmlEventSetFree(events)
    return {
        "supported_mask": said(pynvml.nvmlDeviceGetSupportedEventTypes, handle),
        "registered": registered is None or registered,
    }


def _known(processes: Any, load_pid: int) -> Any:
    """Return how many processes are listed, and whether the load's process id in this container is among them."""
    if isinstance(processes, dict):
        return processes
    return {"processes": len(processes), "load_by_its_own_pid": load_pid in {process.pid for process in processes}}


if __name__ == "__main__":
    pynvml.nvmlInit()
    print(json.dumps(_asked(int(sys.argv[1]))))
