"""What is wrong with an operator's file: every problem at once, each with its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_UNPRINTABLE = re.compile(r"[^ -~]")


def printable(text: str, limit: int = 120) -> str:
    """`text` on one line of visible ASCII, shortened to `limit` characters: no name can forge a line of output."""
    shown = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right. `line` counts from 1; `path` is like `servers[1].url`, empty for the whole file.

    str() is one line, `file:line: path: message`, leaving out the parts that are unknown. It never holds a secret.
    """

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = printable(self.file, 4096) + (f":{self.line}" if self.line is not None else "")
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(Exception):
    """A file that cannot be used. `errors` holds every problem found, in the order of the file; str() joins them."""

    def __init__(self, errors: Iterable[Problem]) -> None:
        self.errors: tuple[Problem, ...] = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))
