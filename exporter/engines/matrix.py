"""What each engine offers, as a table for people."""

from collections.abc import Mapping

from exporter.engines.profile import Alternative, Profile
from exporter.model.engine import Signal


def coverage_matrix(profiles: Mapping[str, Profile]) -> str:
    """A Markdown table: a row a signal, a column an engine, in each cell the metrics it is read from, best first."""
    head = ["signal", *(one.title for one in profiles.values())]
    body = [[f"`{signal}`", *(_cell(one, signal) for one in profiles.values())] for signal in Signal]
    return "".join(_line(row) for row in (head, ["---"] * len(head), *body))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cell(profile: Profile, signal: Signal) -> str:
    alternatives = profile.signals.get(signal, ())
    return " or ".join(dict.fromkeys(_metrics(one) for one in alternatives)) or "–"  # noqa: RUF001 - a dash in a table


def _metrics(alternative: Alternative) -> str:
    return " + ".join(
        f"`{term.metric}`" if term.less is None else f"`{term.metric}` (less `{term.less}`)" for term in alternative.sum
    )
