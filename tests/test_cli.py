"""The command line: exit codes, and one clear line for each expected error."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from goodwatt.cli import main
from tests.fakes.http_server import unused_port

ROOT = Path(__file__).parents[1]


def test_check_accepts_the_shipped_example(capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt check` prints `ok` and exits with 0 for deploy/goodwatt.yaml."""
    assert main(["check", "--config", str(ROOT / "deploy" / "goodwatt.yaml")]) == 0
    assert capsys.readouterr().out.endswith("goodwatt.yaml: ok\n")


def test_check_without_a_file_checks_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """Running without a configuration file is valid."""
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "the default configuration: ok\n"


def test_check_reports_every_mistake_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All errors are printed together, on stderr, as file:line: path: message."""
    file = tmp_path / "bad.yaml"
    file.write_text("intervall_seconds: 5\nwindow_seconds: -1\n")
    assert main(["check", "--config", str(file)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{file}:1: ") and "did you mean 'interval_seconds'" in first
    assert second.startswith(f"{file}:2: window_seconds: ")


def test_check_gives_advice_on_thresholds_inside_a_bucket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid threshold that makes the bounds wide gets advice, and the file is still ok."""
    file = tmp_path / "slo.yaml"
    file.write_text(
        "servers: [{name: a, url: 'http://127.0.0.1:8000', engine: vllm}]\n"
        "slos: [{name: interactive, ttft_seconds: 0.45}]\n"
    )
    assert main(["check", "--config", str(file)]) == 0
    assert "0.45 s lies inside the bucket (0.25, 0.5]" in capsys.readouterr().out


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration file that cannot be read gives one line and exit code 2."""
    assert main(["run", "--config", "/nowhere.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "goodwatt: cannot read /nowhere.yaml: No such file or directory; check --config"
    ]


def test_a_file_without_its_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """For `goodwatt check FILE` the error mentions --config; other unknown arguments are just repeated."""
    for argument, message in (
        ("goodwatt.yaml", "goodwatt.yaml; name a file with --config FILE"),
        ("--confg", "--confg"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["check", argument])
        assert ended.value.code == 2
        assert capsys.readouterr().err.endswith(f"unrecognized arguments: {message}\n")


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--web.listen-address", "nonsense", "lacks a port"),
        ("--web.listen-address", "localhost:99999", "no port"),
        ("--web.telemetry-path", "metrics", "must begin with '/'"),
        ("--web.telemetry-path", "/-/ready", "taken by goodwatt"),
    ],
)
def test_a_wrong_flag_is_one_line(flag: str, value: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unusable address or path is rejected before anything starts, with the form that is expected."""
    assert main(["run", flag, value]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("goodwatt: ") and word in lines[0]


@pytest.mark.parametrize(
    ("fault", "word"), [("slow", "such as slow:chat@60+120"), ("slow:nobody@1", "knows the servers chat, batch")]
)
def test_an_unusable_fault_is_one_line(fault: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo rejects it before anything starts, with the form that is expected."""
    assert main(["demo", "--fault", "restart@1", "--fault", fault]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("goodwatt: --fault ") and word in lines[0]


def test_metrics_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt metrics` prints docs/metrics.md."""
    assert main(["metrics"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "metrics.md").read_text()


def test_engines_prints_the_coverage_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt engines` prints the tables of docs/engines.md."""
    assert main(["engines"]) == 0
    out = capsys.readouterr().out
    assert "vLLM" in out and "`ttft`" in out
    assert out in (ROOT / "docs" / "engines.md").read_text()


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--log.level", "loud"]])
def test_a_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or unknown command and a wrong choice print the usage and exit with 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: goodwatt" in capsys.readouterr().err


def test_check_advises_on_the_files_that_list_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or broken file under `server_discovery` gets advice and is not an error, since it may appear later."""
    (tmp_path / "s.yaml").write_text("- targets: [")
    (tmp_path / "g.yaml").write_text(f"server_discovery: [{{files: ['{tmp_path}/s.yaml', '{tmp_path}/none.json']}}]\n")
    assert main(["check", "--config", str(tmp_path / "g.yaml")]) == 0
    out = capsys.readouterr().out
    assert "none.json; it lists no server" in out and "s.yaml:1: " in out and out.endswith("g.yaml: ok\n")


def test_engines_with_a_url_reads_that_server(capsys: pytest.CaptureFixture[str]) -> None:
    """An unreachable server gives one line and exit code 1, a malformed URL exit code 2."""
    assert main(["engines", "--url", f"http://127.0.0.1:{unused_port()}"]) == 1
    assert capsys.readouterr().err.startswith("goodwatt: cannot reach http://127.0.0.1")
    assert main(["engines", "--url", "nowhere"]) == 2
    assert capsys.readouterr().err == "goodwatt: --url must begin with http:// or https://\n"


def test_engines_includes_the_profiles_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --config the table has a column for each of the operator's own engines."""
    (tmp_path / "g.yaml").write_text(
        "profiles: [{name: toy, title: Toy Engine, ports: [], detect: {any_of: [toy]}, "
        "traits: {tokens_move: step, one_token_tpot: zero}, signals: {ttft: [{sum: [{metric: toy}]}]}}]\n"
    )
    assert main(["engines", "--config", str(tmp_path / "g.yaml")]) == 0
    assert "Toy Engine" in capsys.readouterr().out


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


def test_an_engine_without_a_url_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """--engine has no effect without --url, and the error says so."""
    assert main(["engines", "--engine", "vllm"]) == 2
    assert capsys.readouterr().err == "goodwatt: --engine needs --url: it says how to read that server's page\n"
