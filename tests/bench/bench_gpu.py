"""The GPU part alone compared with nvitop-exporter, at the same time, on one stub driver of 8 GPUs, at a 1 s interval.

Both read the driver every second and keep the values for the next scrape. nvitop-exporter also reads fan speed, PCIe
and NVLink traffic and processes, most of which this stub does not offer.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.observed import Scraper, cpu_seconds, driver, memory_bytes, program
from tests.bench.others import installed
from tests.bench.rows import Row, median
from tests.end_to_end.programs import free_port, get, goodwatt, until
from tests.fakes.nvml_stub import stub_of

GPUS = 8
VERSION = "1.7.2"
CONFIG = "servers: []\ninterval_seconds: 1\n"
SETTLE_SECONDS = 3.0
RATIO = 1.0  # goodwatt to the other


def rows(quick: bool) -> list[Row]:
    """CPU of both without scrapes, scraped every 15 s and every second; and their memory."""
    seconds, rounds = (10.0, 1) if quick else (15.0, 3)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        path = Path(folder)
        environment = stub_of(path, GPUS).environ(driver(path))
        ours = running.enter_context(goodwatt(path, "run", config=CONFIG, environment=environment))
        port = free_port()
        command = [str(nvitop_exporter()), "--hostname", "bench", "--port", str(port), "--interval", "1"]
        theirs = running.enter_context(program(command, environment))
        pids, urls = (ours.process.pid, theirs.pid), (ours.url, f"http://127.0.0.1:{port}")
        scrapers = tuple(running.enter_context(contextlib.closing(Scraper(url))) for url in urls)
        until(lambda: get(f"{urls[1]}/")[0] == 200, seconds=20)
        time.sleep(SETTLE_SECONDS)
        # Before the first scrape, since goodwatt keeps rendering pages scraped in the last three minutes.
        found = _compared("not scraped", pids, rounds, lambda: time.sleep(seconds))
        _check(scrapers)
        if not quick:
            found += _compared("scraped every 15 s", pids, rounds, lambda: _scraped(scrapers, seconds, 15.0))
        found += _compared("scraped every second", pids, rounds, lambda: _scraped(scrapers, seconds, 1.0))
        memory = [memory_bytes(pid) / 2**20 for pid in pids]
    return [*found, Row("resident memory", memory[0], "MiB"), Row("nvitop-exporter's", memory[1], "MiB")]


def nvitop_exporter() -> Path:
    """The installed program. Raises CannotRun if it cannot be installed."""
    wanted = [f"nvitop-exporter=={VERSION}", f"nvitop=={VERSION}"]
    return installed("nvitop", VERSION, "nvitop-exporter", wanted)


def _check(scrapers: tuple[Scraper, ...]) -> None:
    """Check that both see every GPU's 400 W."""
    for scraper, name in zip(scrapers, ("goodwatt_gpu_power_watts", "gpu_power_usage_W"), strict=True):
        lines = [line for line in scraper.page().splitlines() if line.startswith(name + "{")]
        assert [float(line.rpartition(" ")[2]) for line in lines] == [400.0] * GPUS, lines


def _scraped(scrapers: tuple[Scraper, ...], seconds: float, every_seconds: float) -> None:
    began = time.monotonic()
    for number in range(round(seconds / every_seconds)):
        time.sleep(max(began + number * every_seconds - time.monotonic(), 0.0))
        for scraper in scrapers:
            scraper.scrape()
    time.sleep(max(began + seconds - time.monotonic(), 0.0))


def _compared(when: str, pids: tuple[int, int], rounds: int, pass_time: Callable[[], None]) -> list[Row]:
    spent = [_spent(pids, pass_time) for _ in range(rounds)]
    ours, theirs = (median(pair[which] for pair in spent) for which in (0, 1))
    return [
        Row(f"CPU to nvitop-exporter's, {when}", median(a / b for a, b in spent), "ratio", RATIO),
        Row(f"CPU, {when}", ours, "ms per s"),
        Row(f"nvitop-exporter's CPU, {when}", theirs, "ms per s"),
    ]


def _spent(pids: tuple[int, int], pass_time: Callable[[], None]) -> tuple[float, float]:
    began, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    pass_time()
    seconds = time.monotonic() - began
    first, second = (1000 * (cpu_seconds(pid) - cpu) / seconds for pid, cpu in zip(pids, before, strict=True))
    return first, second
