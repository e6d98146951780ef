"""Logging to stderr, one line a record. No text that is logged can end a line or forge a field."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["logfmt", "json"]
LEVELS = ("debug", "info", "warning", "error")
FORMATS: tuple[Format, ...] = ("logfmt", "json")

_BARE = re.compile(r"[A-Za-z0-9_.:/+-]+")


def configure(level: str, format: Format, stream: TextIO | None = None) -> None:  # noqa: A002 - the flag's name
    """Sends every record at or above `level` to `stream` (stderr); a second call replaces the first.

    Raises ValueError for a level or a format that is not in LEVELS or FORMATS.
    """
    if level not in LEVELS or format not in FORMATS:
        raise ValueError(f"log level must be one of {', '.join(LEVELS)}; log format one of {', '.join(FORMATS)}")
    lines = Lines(stream)
    lines.setFormatter(Logfmt() if format == "logfmt" else Json())
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known, Lines)]:
        root.removeHandler(earlier)
    root.addHandler(lines)
    root.setLevel(level.upper())


class Lines(logging.StreamHandler[TextIO]):
    """The one output of `configure`."""


class Json(logging.Formatter):
    """One JSON object a line: ts, level, logger, msg, and exc where there is an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """ASCII only."""
        return json.dumps(self.fields(record))

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """The record's fields as text, in the order they are written."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = {
            "ts": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        return fields | ({"exc": self.formatException(record.exc_info)} if record.exc_info else {})


class Logfmt(Json):
    """`key=value` pairs; a value is quoted unless it is a plain word, and control characters are escaped in quotes."""

    def format(self, record: logging.LogRecord) -> str:
        """Printable characters only. msg and exc are always quoted."""
        fields = self.fields(record)
        return " ".join(f"{key}={_logfmt(value, key in ('msg', 'exc'))}" for key, value in fields.items())


def _logfmt(value: str, quoted: bool) -> str:
    if not quoted and _BARE.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)
