"""How the process shuts down."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import make_plan
from goodwatt.model.policy import Policy
from goodwatt.publish.metrics.row import About
from goodwatt.runtime.reload import Reloader
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.serve import tick_until_signal
from goodwatt.runtime.source_set import SourceSet
from goodwatt.sources.open import SourceContext
from tests.fakes.fake_driver import FakeDriver


class Broken(FakeDriver):
    """A driver whose call raises what no source expects."""

    def open(self) -> None:
        raise ZeroDivisionError


async def test_a_bug_ends_the_process_instead_of_being_swallowed() -> None:
    """An unexpected exception propagates out of the task group, and so ends `goodwatt run`."""
    plan = make_plan(parse("servers: []\ngpus: {kind: nvml}\n"))
    sampler = Sampler((), Policy(), lambda _: None)
    source_set = SourceSet(sampler, plan, SourceContext(driver=Broken()))
    with pytest.raises(ExceptionGroup) as left:
        await tick_until_signal(sampler, source_set, Reloader(plan, About(), None), "")
    await sampler.aclose()
    assert left.value.subgroup(ZeroDivisionError) is not None


def seconds_to_exit(script: str, line: str, sent: signal.Signals | None = None) -> float:
    """Return the time from the line that the script prints, and the signal `sent`, to its exit with 0."""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{line}\n"
        began = time.monotonic()
        if sent is not None:
            process.send_signal(sent)
        assert process.wait(timeout=10) == 0
    return time.monotonic() - began


def test_a_hung_thread_does_not_block_shutdown() -> None:
    """The process exits within two seconds even though one of its threads never returns."""
    script = (
        "import threading, time\n"
        "from goodwatt.runtime.serve import exit_within_timeout\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('stopping', flush=True)\n"
        "exit_within_timeout()\n"
    )
    assert seconds_to_exit(script, "stopping") < 2.0


def test_interrupting_once_prints_no_traceback(tmp_path: Path) -> None:
    """Ctrl-C while `once` waits for a server exits with 130 and prints nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "c.yaml").write_text(
            f"gpus: {{kind: none}}\nservers: [{{name: a, url: 'http://127.0.0.1:{port}', timeout_seconds: 60}}]\n"
            "interval_seconds: 30\n"
        )
        command = [sys.executable, "-m", "goodwatt", "once", "--config", str(tmp_path / "c.yaml")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        asked, _ = silent.accept()
        with asked:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == 130


def test_a_hung_start_does_not_block_shutdown() -> None:
    """SIGTERM during the first, hung discovery of servers also ends the process within two seconds."""
    script = (
        "import asyncio\n"
        "from goodwatt.runtime.serve import tick_until_signal\n"
        "class Hanging:\n"
        "    async def refresh(self):\n"
        "        print('looking', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "class Reloads:\n"
        "    async def reload(self): ...\n"
        "asyncio.run(tick_until_signal(None, Hanging(), Reloads(), ''))\n"
    )
    assert seconds_to_exit(script, "looking", signal.SIGTERM) < 2.0
