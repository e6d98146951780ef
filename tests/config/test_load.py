"""What a good file means."""

from pathlib import Path

import pytest

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError, Problem, printable
from goodwatt.config.load import load, parse
from goodwatt.config.plan import slo_models
from goodwatt.config.yaml.document import MAX_VALUES
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.tariff import Facility

GOOD = Path(__file__).parent / "corpus" / "good"


def messages(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "f")
    return [str(error) for error in raised.value.errors]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}"])
def test_an_empty_file_is_all_defaults(text: str) -> None:
    """An empty file means the same as no file: the documented defaults."""
    config = parse(text)
    assert config == Config()
    assert (config.interval_seconds, config.window_seconds, config.gpus.kind) == (5.0, 60.0, "auto")
    assert config.servers is None
    assert (config.cost, config.carbon, config.facility.to_model()) == (None, None, Facility(host_factor=1.0, pue=1.0))


def test_the_default_objective() -> None:
    """Without slos there is one objective, named default: TTFT 1 s, TPOT 0.1 s, 95 %."""
    thresholds = (Threshold(Signal.TTFT, 1.0), Threshold(Signal.TPOT, 0.1))
    expected = Slo(name="default", thresholds=thresholds, objective=0.95, is_default=True)
    assert slo_models(parse("")) == (expected,)


def test_absent_and_empty_lists_differ() -> None:
    """`[]` means none; an absent key means the default: local ports, the default objective."""
    config = load(GOOD / "nothing-to-read.yaml")
    assert (config.servers, config.slos, config.gpus.kind) == ((), (), "none")


def test_anchors_and_merges_share_settings() -> None:
    """A merge adds missing keys and never overrides existing ones, in nested mappings too."""
    servers = load(GOOD / "shared-by-anchor.yaml").servers or ()
    assert [(server.name, server.timeout_seconds) for server in servers] == [
        ("vllm-0", 1.0),
        ("vllm-1", 1.0),
        ("vllm-2", 2.0),
    ]
    assert [server.headers for server in servers] == [
        {"X-Team": "inference"},
        {"X-Team": "inference"},
        {"X-Zone": "b", "X-Team": "inference"},
    ]


def test_text_stays_text() -> None:
    """`no` and `yes` are text, quotes and !!str make a number text, and `017` is seventeen."""
    first, second = load(GOOD / "text-that-looks-otherwise.yaml").servers or ()
    assert (first.name, second.name) == ("no", "017")
    assert first.headers == {"X-A": "yes", "X-B": "5", "X-C": "null", "X-D": "7"}
    assert parse("interval_seconds: 017").interval_seconds == 17.0
    assert parse("interval_seconds: 0x10").interval_seconds == 16.0


def test_a_mistake_in_an_anchor_is_reported() -> None:
    """A mistake in an anchored mapping is reported on its line, for every place that uses it."""
    assert messages("facility: &a {pue: .inf}\ncarbon: {<<: *a, grams_per_kwh: 1}") == [
        "f:1: facility.pue: must be a finite number",
        "f:1: carbon: unknown key 'pue' here; it belongs under 'facility'",
    ]


def test_a_file_over_the_limit_is_refused() -> None:
    """A text over 1 MiB is rejected before YAML parsing."""
    assert messages("#" * (1024 * 1024 + 1)) == ["f: is larger than 1 MiB; it is not a goodwatt configuration"]


def test_many_values_are_refused() -> None:
    """A text with more values than any configuration needs is rejected, aliases counted at each use."""
    [message] = messages("servers: [" + "a," * MAX_VALUES + "]")
    assert message == f"f:1: contains more than {MAX_VALUES} values, counting each use of an alias; make it smaller"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file, a directory and an invalid name each have their own message."""
    for path, reason in (
        (tmp_path / "no.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("a\0b"), "it is not a valid file name"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(path)
        assert str(raised.value) == f"goodwatt: cannot read {printable(str(path))}: {reason}; check --config"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is rejected with the line of the first invalid byte."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"interval_seconds: 5\n# caf\xe9\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value) == f"{path}:2: is not UTF-8 text; save the file as UTF-8"


def test_a_problem_is_one_line() -> None:
    """No file name or word of the file can break or forge a line of output; unknown parts are left out."""
    assert str(Problem("a\nb", 3, "x.y", "m")) == "a\\nb:3: x.y: m"
    assert str(Problem("a", None, "", "m")) == "a: m"
    assert printable("é\x1b" + "x" * 200, 12) == "\\xe9\\x1bx..."


def test_several_problems_are_joined() -> None:
    """str() of the error has every problem on its own line, and `errors` holds them apart."""
    problems = [Problem("a", 1, "", "m"), Problem("a", 2, "", "n")]
    assert ConfigError(problems).errors == tuple(problems)
    assert str(ConfigError(problems)) == "a:1: m\na:2: n"
