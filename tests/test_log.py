"""The two log formats, and what `configure` sets up."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.log import JsonFormatter, LineHandler, LogfmtFormatter, configure

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def written(style: str, message: str, name: str = "goodwatt.x", error: BaseException | None = None) -> str:
    record = logging.LogRecord(
        name, logging.WARNING, "f.py", 1, message, (), (type(error), error, None) if error else None
    )
    return (LogfmtFormatter() if style == "logfmt" else JsonFormatter()).format(record)


def test_a_logfmt_line() -> None:
    """A line has the time in UTC, level, logger and the message, always quoted."""
    line = written("logfmt", "server/a: answers again")
    assert re.fullmatch(rf'ts={STAMP} level=warning logger=goodwatt\.x msg="server/a: answers again"', line)


def test_a_json_line() -> None:
    """A JSON line has the same fields in one object."""
    fields = json.loads(written("json", 'a "b"\n'))
    assert re.fullmatch(STAMP, fields.pop("ts"))
    assert fields == {"level": "warning", "logger": "goodwatt.x", "msg": 'a "b"\n'}


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_an_exception_stays_on_its_line(style: str) -> None:
    """A traceback becomes one more field, not more lines."""
    line = written(style, "m", error=ValueError("a\nb"))
    assert "\n" not in line
    assert "ValueError: a\\nb" in line


def test_escapes() -> None:
    """Quotes, backslashes, newlines and control characters are escaped; printable text in any script is kept."""
    line = written("logfmt", 'é "x" \\ \r\n\x1b[31m\x85\u2028\ud800')
    assert line.endswith(r'msg="é \"x\" \\ \r\n\u001b[31m\u0085\u2028\ud800"')


def test_a_logger_name_with_spaces_is_quoted() -> None:
    """A logger's name cannot forge a field."""
    assert 'logger="a level=error"' in written("logfmt", "m", "a level=error")


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None), min_size=1))
def test_no_text_forges_a_line_or_a_field(message: str, name: str) -> None:
    """Any text is logged as one line of printable characters, and parsing the line returns the text."""
    assert json.loads(written("json", message, name))["msg"] == message
    line = written("logfmt", message, name)
    assert line.isprintable()
    fields = re.fullmatch(r'ts=\S+ level=warning logger=(\S+|"(?:[^"\\]|\\.)*") msg=("(?:[^"\\]|\\.)*")', line)
    assert fields is not None
    assert json.loads(fields[2]) == json.loads(json.dumps(message))


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_configure_twice_writes_once(style: str) -> None:
    """The second call replaces the first: each record is written once, in the new format, from the new level up."""
    first, second = io.StringIO(), io.StringIO()
    configure("debug", "logfmt", first)
    configure("warning", style, second)  # type: ignore[arg-type]
    log = logging.getLogger("goodwatt.test_log")
    log.info("quiet")
    log.warning("loud %s", 1)
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
    assert "loud 1" in second.getvalue()
    assert second.getvalue().startswith("{" if style == "json" else "ts=")


def test_configure_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines go to stderr; stdout belongs to the commands' output."""
    configure("info", "logfmt")
    logging.getLogger("goodwatt.test_log").info("here")
    out, err = capsys.readouterr()
    assert out == ""
    assert 'msg="here"' in err


def test_configure_keeps_the_handlers_of_others() -> None:
    """Only the handler of an earlier call is replaced."""
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure("info", "json", io.StringIO())
    configure("info", "json", io.StringIO())
    handlers = logging.getLogger().handlers
    assert other in handlers
    assert sum(isinstance(handler, LineHandler) for handler in handlers) == 1


@pytest.mark.parametrize(("level", "style"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_an_error(level: str, style: str) -> None:
    """The error lists the levels and formats that exist."""
    with pytest.raises(ValueError, match="debug, info, warning, error; log format one of logfmt, json"):
        configure(level, style)  # type: ignore[arg-type]
