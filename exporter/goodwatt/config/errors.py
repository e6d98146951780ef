"""The error that lists every problem of a file at once, each with its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_UNPRINTABLE = re.compile(r"[^ -~]")


def printable(text: str, limit: int = 120) -> str:
    """Return `text` as one line of visible ASCII, at most `limit` characters long: no name can forge a log line."""
    shown = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct. `line` starts at 1; `path` is like `servers[1].url`, empty for the whole file.

    str() is one line, `file:line: path: message`, without the parts that are unknown. It never contains a secret.
    """

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = printable(self.file, 4096) + (f":{self.line}" if self.line is not None else "")
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(Exception):
    """A file cannot be used. `errors` lists every problem in the order of the file; str() joins them with newlines."""

    def __init__(self, errors: Iterable[Problem]) -> None:
        self.errors: tuple[Problem, ...] = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))
