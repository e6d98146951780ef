"""Parses Prometheus text (0.0.4) and OpenMetrics for a given set of sample names and skips everything else.

This is the hot path: a line of another metric costs one search and one dictionary miss. `# TYPE` lines are ignored,
because the profile defines what each metric is.
"""

import re

from goodwatt.engines.page.samples import LabelPairs, PageSamples

MAX_LINE_CHARACTERS = 65_536  # no engine writes a series this long
MAX_EXACT_COUNT = 2.0**53  # above it a float cannot count by ones; no token or second count gets there
_MAX_CACHED_LABEL_SETS = 8192  # a vLLM page has about 200

_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.:]*)\s*=\s*"([^"\\]*(?:\\.[^"\\]*)*)"\s*(,|\})', re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*", re.ASCII)
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPED = re.compile(r'\\[\\"n]')


class ExpositionParser:
    """Parses successive pages of one server and caches their label sets in bounded memory."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._labels: dict[str, LabelPairs] = {}

    def parse(self, text: str) -> PageSamples:
        """The requested samples of a page. Never raises: an invalid line is dropped and counted."""
        if len(self._labels) > _MAX_CACHED_LABEL_SETS:
            self._labels.clear()
        samples: dict[str, dict[LabelPairs, float]] = {}
        damaged: list[str] = []
        repeated = 0
        for name, line, brace in _matching_lines(text, self._names):
            sample = self._sample(line, brace)
            if sample is None:
                damaged.append(name)
                continue
            series = samples.setdefault(name, {})
            if sample[0] in series:
                repeated += 1
            else:
                series[sample[0]] = sample[1]
        return PageSamples(samples, frozenset(damaged), repeated + len(damaged), _is_cut(text))

    def _sample(self, line: str, brace: int) -> tuple[LabelPairs, float] | None:
        """Labels and value of one line, or None. `brace` is where the labels start, or the name ends if it has none."""
        if len(line) > MAX_LINE_CHARACTERS:
            return None
        if line[brace : brace + 1] != "{":
            return _with_value((), line[brace:])
        end = line.rfind("}")
        known = self._labels.get(line[brace:end])
        if known is not None:
            return _with_value(known, line[end + 1 :])
        parsed = parse_labels(line, brace + 1)
        if parsed is None:
            return None
        labels, end = parsed
        self._labels[line[brace : end - 1]] = labels
        return _with_value(labels, line[end:])


def _matching_lines(text: str, names: frozenset[str]) -> list[tuple[str, str, int]]:
    """(sample name, line, index where its labels start or its name ends) of every line with a requested name."""
    found = []
    lines = text.split("\n")
    lines[-1] = _cut_short(lines[-1])
    for line in lines:
        brace = line.find("{", 0, MAX_LINE_CHARACTERS)
        head = line[:brace] if brace > 0 else line[:MAX_LINE_CHARACTERS]
        if head in names:
            found.append((head, line, len(head)))
        elif head[:1] != "#":
            name, _, blank_or_value = head.strip().replace("\t", " ").partition(" ")
            if name in names:
                found.append((name, line, line.index(name) + len(name) if blank_or_value or brace < 0 else brace))
    return found


def _is_cut(text: str) -> bool:
    """Whether a page ends in the middle of a line; OpenMetrics' `# EOF` needs no newline."""
    return text[text.rfind("\n") + 1 :].strip() not in ("", "# EOF")


def _cut_short(line: str) -> str:
    """Remove the value of a last line without a newline, since its number may lack digits."""
    return line[: line.find("{")] if "{" in line else line.split(" ", 1)[0]


def parse_labels(line: str, start: int) -> tuple[LabelPairs, int] | None:
    """The label set starting at `start`, just after `{`, and the index after its `}`; None if malformed."""
    found: dict[str, str] = {}
    at = start
    while True:
        match = _LABEL.match(line, at)
        if match is None:
            return _end_of_labels(found, line, at)
        name, value, closing = match.groups()
        if name in found:
            return None
        found[name] = _ESCAPED.sub(_unescape, value) if "\\" in value else value
        at = match.end()
        if closing == "}":
            return tuple(sorted(found.items())), at


def _end_of_labels(found: dict[str, str], line: str, at: int) -> tuple[LabelPairs, int] | None:
    """Accept `{}` and a trailing comma before `}`; anything else here is malformed."""
    rest = line[at:]
    stripped = rest.lstrip(" \t")
    if not stripped.startswith("}"):
        return None
    return tuple(sorted(found.items())), at + len(rest) - len(stripped) + 1


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES[match.group()]


def _with_value(labels: LabelPairs, rest: str) -> tuple[LabelPairs, float] | None:
    """The labels with a value from 0 to MAX_EXACT_COUNT, or None. Timestamp and exemplar are ignored."""
    words = rest.split(None, 1)
    if not words or _NUMBER.fullmatch(words[0]) is None:
        return None
    value = float(words[0])
    return (labels, value) if 0.0 <= value <= MAX_EXACT_COUNT else None


def metric_names(text: str) -> frozenset[str]:
    """Every sample name on a page, for engine detection. Lines that are not samples are skipped."""
    names = set()
    for line in text.split("\n"):
        name = _NAME.match(line)
        if name is not None and _is_sample(line[name.end() : name.end() + MAX_LINE_CHARACTERS]):
            names.add(name.group())
    return frozenset(names)


def labelled_names(text: str) -> frozenset[str]:
    """`name{label}` for every label of every metric on a page. Malformed lines are skipped."""
    found: set[str] = set()
    for line in text.split("\n"):
        name = _NAME.match(line)
        if name is not None and len(line) <= MAX_LINE_CHARACTERS and line[name.end() : name.end() + 1] == "{":
            parsed = parse_labels(line, name.end() + 1)
            found.update(f"{name.group()}{{{label}}}" for label, _ in (parsed[0] if parsed else ()))
    return frozenset(found)


def _is_sample(rest: str) -> bool:
    if rest[:1] == "{":
        return "}" in rest
    words = rest.split(None, 2)
    return rest[:1] in (" ", "\t") and bool(words) and _is_number(words[0])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
