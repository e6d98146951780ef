"""Standard output of the commands that print."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", [["metrics"], ["engines"], ["check"], ["rules"], ["dashboards"], ["once", "--config", "nothing.yaml"]]
)
def test_an_unwritable_stdout_is_one_line(tmp_path: Path, command: list[str]) -> None:
    """With a full disk or a closed stdout, every command that prints gives one line and exit code 1, no traceback."""
    (tmp_path / "nothing.yaml").write_text("servers: []\ngpus: {kind: none}\n")
    for redirection, why in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        shell = f"exec {shlex.join([sys.executable, '-m', 'goodwatt', *command])} {redirection}"
        ended = subprocess.run(["sh", "-c", shell], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
        assert ended.stderr == f"goodwatt: cannot write to standard output: {why}\n"
        assert ended.returncode == 1


def test_a_closed_pipe_is_not_an_error() -> None:
    """`goodwatt metrics | head` exits with 0 and prints nothing on stderr."""
    command = [sys.executable, "-m", "goodwatt", "metrics"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0
