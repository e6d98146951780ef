"""How the process ends."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter import app
from exporter.model.rules import Rules
from exporter.model.source import Reading
from exporter.sources.sampler import Sampler


class Broken:
    """A source with a bug."""

    name = "nvml"
    deadline_seconds = 1.0

    async def read(self) -> Reading:
        raise ZeroDivisionError

    async def aclose(self) -> None:
        pass


async def test_a_bug_ends_the_process_instead_of_being_swallowed() -> None:
    """What no source may raise leaves the task group, and with it `run`."""
    with pytest.raises(ExceptionGroup) as left:
        await app._until_told(Sampler([Broken()], Rules(), lambda _: None), None, "")
    assert left.value.subgroup(ZeroDivisionError) is not None


def test_nothing_that_hangs_keeps_the_process() -> None:
    """Once it was told to leave, the process ends within two seconds although a thread of it never comes back."""
    script = (
        "import threading, time\n"
        "from exporter import app\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('told', flush=True)\n"
        "app._leave_soon()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        began = time.monotonic()
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 2.0


def test_an_interrupt_of_once_is_no_traceback(tmp_path: Path) -> None:
    """Control-C while `once` waits for a server ends it with 130, and without a word about Python."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "c.yaml").write_text(
            f"gpus: {{kind: none}}\nservers: [{{name: a, url: 'http://127.0.0.1:{port}', timeout_seconds: 60}}]\n"
            "interval_seconds: 30\n"
        )
        command = [sys.executable, "-m", "exporter", "once", "--config", str(tmp_path / "c.yaml")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        asked, _ = silent.accept()
        with asked:
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == 130
