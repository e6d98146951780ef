"""Observes another process: CPU time, memory, and scrape latency."""

import contextlib
import gzip
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench.rows import CannotRun
from tests.fakes.nvml_stub import build

ROOT = Path(__file__).parents[2]

# What Prometheus 2.42 sends.
PROMETHEUS_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "User-Agent": "Prometheus/2.42.0",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


def cpu_seconds(pid: int) -> float:
    """User plus system time of all threads the process has or had, to the nanosecond (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)  # the kernel's number for the CPU clock of another process


def event_loop_cpu_seconds(pid: int) -> float:
    """User plus system time of the process's main thread (Linux)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def waited_seconds(task: int | str) -> float:
    """Seconds a process's main thread ("thread-self": the caller) was runnable without a core (Linux)."""
    return int(Path(f"/proc/{task}/schedstat").read_text().split()[1]) / 1e9


def memory_bytes(pid: int, field: str = "VmRSS") -> int:
    """A line of the process's memory status; VmHWM is the peak VmRSS."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no {field}")


class Scraper:
    """Scrapes as Prometheus does, over one kept-alive connection."""

    def __init__(self, url: str, path: str = "/metrics") -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        self._path = path
        self.sent = b""  # of the last scrape, as it came over the wire

    def scrape(self) -> float:
        """Seconds from the request to the last byte."""
        began = time.perf_counter()
        self._connection.request("GET", self._path, headers=PROMETHEUS_HEADERS)
        answer = self._connection.getresponse()
        self.sent = answer.read()
        took = time.perf_counter() - began
        assert answer.status == 200 and self.sent, f"a scrape was answered with {answer.status}"
        return took

    def page(self) -> str:
        """The text of a new scrape."""
        self.scrape()
        return gzip.decompress(self.sent).decode()

    def close(self) -> None:
        self._connection.close()


class CpuShare:
    """The share of one core the process has used since this object was created."""

    def __init__(self, pid: int, clock: Callable[[int], float] = cpu_seconds) -> None:
        self._pid, self._clock = pid, clock
        self._cpu, self._wall = clock(pid), time.monotonic()

    def percent(self) -> float:
        return 100 * (self._clock(self._pid) - self._cpu) / (time.monotonic() - self._wall)


class PageServer:
    """An inference server's page in a separate process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()

    def hang(self) -> None:
        """From now on, accept requests and answer none."""
        assert self._process.stdin is not None
        self._process.stdin.write("hang\n")
        self._process.stdin.flush()


@contextlib.contextmanager
def page_server() -> Iterator[PageServer]:
    """A vLLM's 58 KB page that grows with every scrape."""
    with program([sys.executable, "-m", "tests.bench.page_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        yield PageServer(p)


@contextlib.contextmanager
def program(
    command: list[str],
    environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[str]]:
    """A running program, killed at the end."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=stdin, stdout=stdout, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def driver(folder: Path) -> Path:
    """The compiled stub driver. Raises CannotRun without a compiler."""
    try:
        return build(folder)
    except AssertionError as missing:
        raise CannotRun(str(missing)) from None
