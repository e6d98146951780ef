"""Explains one page: the detected engine and why, each signal with its metrics, and what is missing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from goodwatt.engines.page.samples import PageSamples
from goodwatt.engines.profile import Alternative, NameCondition, Profile, Term, sample_names
from goodwatt.engines.report.missing_signals import consequence
from goodwatt.model.engine import GAUGES, HISTOGRAMS, EngineReading, Moves, Outcome, Signal

_EXAMPLES = 2
COUNTED_AT_END_NOTE = "counted    tokens only when a request ends: live figures cover five times window_seconds"


@dataclass(frozen=True, slots=True)
class ReportedSignal:
    """One signal on the page: its total as text, and the metrics it was read from."""

    signal: Signal
    value: str
    metrics: tuple[str, ...]


def explain_page(profile: Profile, names: Iterable[str], page: PageSamples, reading: EngineReading) -> str:
    """The report, ending in a newline. `names` are the page's metric names and `name{label}` entries."""
    served = [_served(signal, profile, page, reading) for signal in Signal]
    present = [one for one in served if one is not None]
    lacking = [signal for signal, one in zip(Signal, served, strict=True) if one is None]
    lines = [
        f"engine     {profile.title} (profile {profile.name})",
        f"because    {match_explanation(profile.detect, frozenset(names))}",
        f"version    {reading.engine_version or 'not on the page'}",
        f"models     {', '.join(_models(reading)) or 'none yet: no request has been counted'}",
        f"dropped    {reading.dropped_lines} invalid lines",
        *([COUNTED_AT_END_NOTE] if reading.traits.tokens_move is Moves.FINISH else []),
        "",
        *_table(present),
        *(["", "missing"] if lacking else []),
        *(f"  {signal:<20}  {consequence(signal)}" for signal in lacking),
    ]
    return "\n".join(map(_visible, lines)) + "\n"


def _visible(line: str) -> str:
    """Escape control characters, since names come from the page and may hold newlines or terminal sequences."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def match_explanation(condition: NameCondition, names: frozenset[str]) -> str:
    """The part of a profile's detect condition that the page meets, with example names."""
    met = {pattern: _meeting(pattern, names) for pattern in (*condition.all_of, *condition.any_of)}
    shown = "; ".join(p if found == [p] else f"{p}: {_some(found)}" for p, found in met.items() if found)
    without = f"; and has no {' or '.join(condition.none_of)}" if condition.none_of else ""
    return f"the page has {shown}{without}"


def _meeting(pattern: str, names: frozenset[str]) -> list[str]:
    if pattern.endswith("*"):
        return sorted(name for name in names if name.startswith(pattern[:-1]) and "{" not in name)
    return [pattern] if pattern in names else []


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more


def _models(reading: EngineReading) -> list[str]:
    counted = (series.model for series in (*reading.counters, *reading.histograms))
    return list(dict.fromkeys([*counted, *(model for _, model in reading.gauges)]))


def _served(signal: Signal, profile: Profile, page: PageSamples, reading: EngineReading) -> ReportedSignal | None:
    value = _value(signal, reading)
    terms = _terms(signal, profile.signals.get(signal, ()), page)
    return (
        None if value is None or not terms else ReportedSignal(signal, value, tuple(dict.fromkeys(map(_metric, terms))))
    )


def _terms(signal: Signal, alternatives: Iterable[Alternative], page: PageSamples) -> list[Term]:
    """The terms on the page of the alternative that was used; empty if none applies."""
    for alternative in alternatives:
        present = [term for term in alternative.sum if _on_page(signal, term, page)]
        if all(term in present or term.optional for term in alternative.sum):
            return present
    return []


def _on_page(signal: Signal, term: Term, page: PageSamples) -> bool:
    return any(page.has(name) for name in sample_names(signal, term.metric))


def _metric(term: Term) -> str:
    return term.metric if term.less is None else f"{term.metric} (less {term.less})"


def _value(signal: Signal, reading: EngineReading) -> str | None:
    """The total over models and replicas as text; None if the page has no valid value."""
    if signal in HISTOGRAMS:
        seen = [histogram for series, histogram in reading.histograms.items() if series.signal is signal]
        return f"{_number(sum(one.count for one in seen))} observations" if seen else None
    if signal in GAUGES:
        levels = [value for (which, _), value in reading.gauges.items() if which is signal]
        level = max(levels, default=0.0) if signal is Signal.KV_CACHE_USAGE else sum(levels)
        return _number(level) if levels else None
    counted = [(series.outcome, value) for series, value in reading.counters.items() if series.signal is signal]
    outcomes = _by_outcome((outcome, value) for outcome, value in counted if outcome is not None)
    detail = ", ".join(f"{outcome} {_number(value)}" for outcome, value in outcomes.items())
    total = _number(sum(value for _, value in counted))
    return (f"{total} ({detail})" if detail else total) if counted else None


def _by_outcome(counted: Iterable[tuple[Outcome, float]]) -> Mapping[Outcome, float]:
    sums: dict[Outcome, float] = {}
    for outcome, value in counted:
        sums[outcome] = sums.get(outcome, 0.0) + value
    return sums


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def _table(served: Iterable[ReportedSignal]) -> Iterator[str]:
    rows = [("signal", "value", "from"), *((one.signal.value, one.value, " + ".join(one.metrics)) for one in served)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for signal, value, metrics in rows:
        yield f"  {signal:<{max(widths[0], 20)}}  {value:<{widths[1]}}  {metrics}"
