"""The command line: exit codes, and one clear line for each expected error."""

import pytest

from goodwatt.cli import main


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


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--log.level", "loud"]])
def test_a_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or unknown command and a wrong choice print the usage and exit with 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: goodwatt" in capsys.readouterr().err
