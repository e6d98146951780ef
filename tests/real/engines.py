"""Real inference servers and the goodwatt command as child processes on free loopback ports."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.real.pages import Page, fetch

CACHE = Path(os.environ.get("GOODWATT_CACHE") or Path.home() / ".cache" / "goodwatt")
INSTALL = "run tests/real/install-engines.sh (make test-engines does); the first run takes about 15 minutes and 4.5 GB"

LLAMA_MODEL = "gemma3-270m"
VLLM = CACHE / "vllm" / "bin" / "vllm"
VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # The default closes idle connections after 5 s, possibly just as a client reuses one.
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
    "VLLM_NO_USAGE_STATS": "1",
}
START_SECONDS = 240.0  # vLLM takes 25 s on an idle machine, llama-server 2 to 5 s
STOP_SECONDS = 20.0
POLITE = ("nice", "-n", "10")


@dataclass
class Child:
    """A server process and its children, in a separate process group. Its output is in `log`."""

    url: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def ready(self, path: str, within_seconds: float = START_SECONDS) -> None:
        """Wait until the path returns 200."""
        end = time.monotonic() + within_seconds
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while not await _answers(session, self.url + path):
                assert self.popen.poll() is None, f"ended with {self.popen.returncode} at start:\n{self.tail()}"
                assert time.monotonic() < end, f"not ready after {within_seconds:g} s:\n{self.tail()}"
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        """kill -9 the whole group, then clean up what it left behind."""
        self._end(_shared_memory(self.popen.pid))

    def stop(self, within_seconds: float = STOP_SECONDS) -> int:
        """Send SIGTERM and return the exit code; kill it if it does not exit."""
        shared = _shared_memory(self.popen.pid)
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(within_seconds)
        self._end(shared)
        return self.popen.returncode

    def _end(self, shared: set[Path]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        for segment in shared:
            segment.unlink(missing_ok=True)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.output.splitlines()[-lines:])


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _shared_memory(group: int) -> set[Path]:
    """The shared memory files of a process group: a killed vLLM leaves them behind."""
    found: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # already gone
            if os.getpgid(int(process.name)) == group:
                fields = (line.split() for line in (process / "maps").read_text().splitlines())
                found |= {Path(f[5]) for f in fields if len(f) == 6 and f[5].startswith("/dev/shm/")}
    return found


def free_port() -> int:
    """A loopback port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(path: Path) -> Path:
    """The path. Fails the test if the engines are not fully installed."""
    part = path.relative_to(CACHE).parts[0]
    if not (CACHE / part / ".complete").exists() or not path.exists():
        pytest.fail(f"{part} is not installed in {CACHE}: {INSTALL}", pytrace=False)
    return path


def spawn(command: list[str | Path], port: int, log: Path, environment: Mapping[str, str] | None = None) -> Child:
    """Start a process in a new process group and append its output to the log."""
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    return Child(f"http://127.0.0.1:{port}", log, popen)


@asynccontextmanager
async def _engine(child: Child) -> AsyncIterator[Child]:
    try:
        await child.ready("/health")
        yield child
    finally:
        child.stop()


@asynccontextmanager
async def llama_server(folder: Path, *options: str, port: int = 0) -> AsyncIterator[Child]:
    """A llama-server with real weights, ready to serve. Pass `--metrics` if needed."""
    port = port or free_port()
    binary, weights = installed(CACHE / "llama" / "llama-server"), installed(CACHE / "llama" / f"{LLAMA_MODEL}.gguf")
    command = [*POLITE, binary, "-m", weights, "--host", "127.0.0.1", "--port", str(port), "--alias", LLAMA_MODEL]
    # Without repacking it does not use AMX, which some virtual CPUs announce but their kernels deny.
    limits = ["-np", "4", "-c", "8192", "-t", "2", "--no-repack"]
    async with _engine(spawn([*command, *limits, *options], port, folder / "llama-server.log")) as child:
        yield child


def vllm_model(name: str) -> Path:
    """The folder of a model with random weights: `fast` or `slow`."""
    return installed(CACHE / "models" / name)


def number_format() -> str:
    """bfloat16 where the processor has instructions for it; emulated it is 20 times slower than float32."""
    return "bfloat16" if re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", Path("/proc/cpuinfo").read_text()) else "float32"


@asynccontextmanager
async def vllm(
    folder: Path, model: str, *options: str, port: int = 0, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """A vLLM on the CPU, ready to serve the model under its own name."""
    port = port or free_port()
    command = [*POLITE, installed(VLLM), "serve", vllm_model(model), "--host", "127.0.0.1", "--port", str(port)]
    shape = [
        "--served-model-name",
        model,
        "--dtype",
        number_format(),
        "--max-model-len",
        "2048",
        "--max-num-seqs",
        "16",
    ]
    quick = ["--enforce-eager"]  # compiling takes longer than it saves here
    log = folder / f"vllm-{model}.log"
    own = {**VLLM_ENVIRONMENT, **(environment or {})}
    async with _engine(spawn([*command, *shape, *quick, *options], port, log, own)) as child:
        yield child


@dataclass
class Goodwatt(Child):
    """The goodwatt command with a configuration file."""

    config: Path

    async def reloaded(self, config: str) -> None:
        """Apply another configuration with SIGHUP."""
        self.config.write_text(config)
        before = self.output.count("is in force")
        self.popen.send_signal(signal.SIGHUP)
        end = time.monotonic() + 15
        while self.output.count("is in force") == before:
            assert time.monotonic() < end, f"not taken up:\n{self.tail()}"
            await asyncio.sleep(0.1)

    async def page(self) -> Page:
        """The page it publishes now."""
        return await fetch(f"{self.url}/metrics")

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Inside this context it neither ticks nor responds, so everything happens between two reads."""
        self.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.popen.send_signal(signal.SIGCONT)


@asynccontextmanager
async def goodwatt(config: str, folder: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[Goodwatt]:
    """The full command with a configuration. It must exit with 0 after SIGTERM."""
    port = free_port()
    file, log = folder / f"goodwatt-{port}.yaml", folder / f"goodwatt-{port}.log"
    file.write_text(config)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "goodwatt", "run", "--config", file, "--web.listen-address", address]
    child = spawn(command, port, log, environment)
    watch = Goodwatt(child.url, child.log, child.popen, file)
    try:
        await watch.ready("/-/ready", within_seconds=30)
        yield watch
    except BaseException as error:
        error.add_note(f"goodwatt said:\n{watch.tail()}")
        watch.kill()
        raise
    assert watch.stop(within_seconds=5) == 0, f"SIGTERM did not end goodwatt well:\n{watch.tail()}"
