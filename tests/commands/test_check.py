"""`goodwatt check`: errors, advice and exit codes."""

from pathlib import Path

import pytest

from goodwatt.cli import main

ROOT = Path(__file__).parents[2]


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


def test_check_says_how_wide_the_bounds_will_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each SLO has a line for each named engine of its servers, on its edges and off; unknown engines have none."""
    file = tmp_path / "slo.yaml"
    file.write_text(
        "servers:\n"
        "  - {name: a, url: 'http://127.0.0.1:8000', engine: vllm}\n"
        "  - {name: b, url: 'http://127.0.0.1:8001'}\n"
        "slos:\n"
        "  - {name: on, ttft_seconds: 0.5, tpot_seconds: 0.05}\n"
        "  - {name: 'off', ttft_seconds: 0.45, tpot_seconds: 0.04}\n"
        "  - {name: other, ttft_seconds: 0.5, servers: [b]}\n"
    )
    assert main(["check", "--config", str(file)]) == 0
    on, off, ok = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("advice: ")]
    assert on.startswith("slo on on vllm: on bucket edges; where most requests meet it, bounds within 5 %")
    assert off.startswith("slo off on vllm: ttft and tpot inside a bucket; bounds within 10 % at 1 request/s")
    assert ok.endswith("slo.yaml: ok")


def test_check_advises_on_the_files_that_list_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or broken file under `server_discovery` gets advice and is not an error, since it may appear later."""
    (tmp_path / "s.yaml").write_text("- targets: [")
    (tmp_path / "g.yaml").write_text(f"server_discovery: [{{files: ['{tmp_path}/s.yaml', '{tmp_path}/none.json']}}]\n")
    assert main(["check", "--config", str(tmp_path / "g.yaml")]) == 0
    out = capsys.readouterr().out
    assert "none.json; it lists no server" in out and "s.yaml:1: " in out and out.endswith("g.yaml: ok\n")
