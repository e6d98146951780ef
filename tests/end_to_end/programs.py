"""Runs real programs on loopback for a test: goodwatt, Prometheus and Alertmanager."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")
Labels = tuple[tuple[str, str], ...]


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, headers: Mapping[str, str] | None = None, timeout: float = 5.0) -> tuple[int, str]:
    """Return the status and text of one GET; an error status does not raise."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def until(what: Callable[[], T | None], *, seconds: float, why: Callable[[], str] = lambda: "") -> T:
    """Poll until the answer is neither None nor False and return it; on timeout raise AssertionError with `why()`."""
    last: BaseException | None = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer = what()
        except OSError as refused:
            last, answer = refused, None
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s: {last or ''} {why()}")


@dataclass
class Page:
    """The samples of one scrape by name and labels."""

    samples: dict[str, dict[Labels, float]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Page":
        page = cls()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                page.samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return page

    def all(self, name: str, **labels: str) -> dict[Labels, float]:
        """Return the samples of this name that have these labels."""
        wanted = labels.items()
        return {key: value for key, value in self.samples.get(name, {}).items() if wanted <= dict(key).items()}

    def sum(self, name: str, **labels: str) -> float | None:
        """Return the sum of those samples, or None without any."""
        found = self.all(name, **labels)
        return sum(found.values()) if found else None


@dataclass
class Goodwatt:
    """A goodwatt process, its URL and its log file."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def page(self) -> Page:
        return Page.parse(get(f"{self.url}/metrics")[1])

    def logged(self) -> str:
        return self.log.read_text()

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds until exit."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        return code, time.monotonic() - began


@contextlib.contextmanager
def goodwatt(
    tmp_path: Path,
    *arguments: str,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Goodwatt]:
    """Run `goodwatt ARGUMENTS` on `port` or a free one, wait until it is ready, and end it afterwards."""
    port = port or free_port()
    command = [sys.executable, "-m", "goodwatt", *arguments, "--web.listen-address", f"127.0.0.1:{port}"]
    if config is not None:
        (tmp_path / "goodwatt.yaml").write_text(config)
        command += ["--config", str(tmp_path / "goodwatt.yaml")]
    log = tmp_path / "goodwatt.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, stderr=stderr, stdout=stderr, text=True, env={**os.environ, **(environment or {})}
        )
    running = Goodwatt(process, f"http://127.0.0.1:{port}", log)
    try:
        until(lambda: get(f"{running.url}/-/ready")[0] == 200, seconds=15, why=running.logged)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Prometheus:
    """A Prometheus server to query."""

    url: str

    def query(self, expression: str) -> list[Any]:
        """Return the result vector of an instant query."""
        text = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")[1]
        return _result(text)

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Any]:
        """Return the result matrix of a query at every `step` seconds from `start` to `end`, as Unix times."""
        asked = {"query": expression, "start": start, "end": end, "step": step}
        return _result(get(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(asked)}", timeout=30.0)[1])


def _result(text: str) -> list[Any]:
    answer = json.loads(text)
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


def import_samples(tmp_path: Path, openmetrics: str) -> None:
    """Write samples with timestamps to the storage that `prometheus(tmp_path, ...)` opens."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: apt-get install --no-install-recommends prometheus"
    samples = tmp_path / "samples.om"
    samples.write_text(openmetrics)
    command = [program, "tsdb", "create-blocks-from", "openmetrics", str(samples), str(tmp_path / "tsdb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def prometheus(tmp_path: Path, target: str | None, more: str = "") -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` (host:port), if any, every second. Fails when it is not installed.

    `more` is appended to its configuration.
    """
    program = shutil.which("prometheus")
    assert program, "Prometheus is missing: apt-get install --no-install-recommends prometheus"
    port = free_port()
    configuration = tmp_path / "prometheus.yml"
    scrape = f"scrape_configs:\n- job_name: goodwatt\n  static_configs: [{{targets: ['{target}']}}]\n" if target else ""
    configuration.write_text(
        f"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n{scrape}{more}"
    )
    log = tmp_path / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=output,
            stderr=output,
        )
    running = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: get(f"{running.url}/-/ready")[0] == 200, seconds=20, why=log.read_text)
        yield running
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def alertmanager(tmp_path: Path, configuration: str) -> Iterator[str]:
    """Run an Alertmanager and yield its host:port. Fails when it is not installed."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program, "Alertmanager is missing: apt-get install --no-install-recommends prometheus-alertmanager"
    (tmp_path / "alertmanager.yml").write_text(configuration)
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path / "alertmanager.log"
    command = [
        program,
        f"--config.file={tmp_path / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'alerts'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: get(f"http://{address}/-/ready")[0] == 200, seconds=20, why=log.read_text)
        yield address
    finally:
        process.kill()
        process.wait()


async def in_thread(what: Callable[[], T]) -> T:
    """Run a blocking function in a thread, without blocking the event loop."""
    return await asyncio.to_thread(what)
