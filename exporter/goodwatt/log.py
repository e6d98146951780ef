"""Logging to stderr, one line per record. No logged text can break a line or forge a field."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Literal, TextIO

LogFormat = Literal["logfmt", "json"]
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS: tuple[LogFormat, ...] = ("logfmt", "json")

_BARE = re.compile(r"[A-Za-z0-9_.:/+-]+")


def configure(level: str, format: LogFormat, stream: TextIO | None = None) -> None:  # noqa: A002 - the flag's name
    """Send every record at or above `level` to `stream`, by default stderr. A second call replaces the first.

    Raises ValueError for a level not in LOG_LEVELS or a format not in LOG_FORMATS.
    """
    if level not in LOG_LEVELS or format not in LOG_FORMATS:
        raise ValueError(
            f"log level must be one of {', '.join(LOG_LEVELS)}; log format one of {', '.join(LOG_FORMATS)}"
        )
    lines = LineHandler(stream)
    lines.setFormatter(LogfmtFormatter() if format == "logfmt" else JsonFormatter())
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known, LineHandler)]:
        root.removeHandler(earlier)
    root.addHandler(lines)
    root.setLevel(level.upper())


class LineHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure` installs, and the only one that it replaces."""


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, msg, and exc for an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as ASCII; json.dumps escapes everything else."""
        return json.dumps(self.fields(record))

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        """Return the record's fields as text, in output order."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = {
            "ts": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        return fields | ({"exc": self.formatException(record.exc_info)} if record.exc_info else {})


class LogfmtFormatter(JsonFormatter):
    """`key=value` pairs; values are quoted unless plain words, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as printable characters. msg and exc are always quoted."""
        fields = self.fields(record)
        return " ".join(f"{key}={_logfmt(value, key in ('msg', 'exc'))}" for key, value in fields.items())


def _logfmt(value: str, quoted: bool) -> str:
    if not quoted and _BARE.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)
