"""Parses target files in Prometheus's file_sd format: groups of `targets` with shared `labels`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

from goodwatt.config.errors import ConfigError, Problem
from goodwatt.config.file_sd.labels import (
    ENGINE,
    GPUS,
    NAME,
    ROLE,
    Gpus,
    RoleName,
    default_name,
    digest,
    gpus_of,
    url_of,
)
from goodwatt.config.file_sd.validation import SHOWN_LABEL, target_mistakes, texts_of
from goodwatt.config.validation.entries import MAX_NAME
from goodwatt.config.yaml.document import Document, Mistake, UnreadableDocument, YamlValue, read_yaml
from goodwatt.settings.sources import DiscoverySection, ServerSection


@dataclass(frozen=True, slots=True)
class FileSdTarget:
    """One server that a target file lists. `url` may contain a secret in its query."""

    name: str
    url: str = field(repr=False)
    engine: str = "auto"
    gpus: Gpus = "all"
    role: RoleName = "any"

    def section(self, reached: DiscoverySection) -> ServerSection:
        """Return the server's section, with timeout and credentials from the discovery section."""
        how = {key: getattr(reached, key) for key in DiscoverySection.model_fields if key != "files"}
        return ServerSection(name=self.name, url=self.url, engine=self.engine, gpus=self.gpus, role=self.role, **how)


def parse_targets(text: str, file: str) -> tuple[FileSdTarget, ...]:
    """Parse a target file: JSON if its name ends in .json, else YAML. Keeps its order; names are unique.

    Raises only ConfigError, with every mistake. No message contains a target or a label value.
    """
    try:
        document = _json(text) if file.lower().endswith(".json") else read_yaml(text)
    except UnreadableDocument as unreadable:
        raise ConfigError([_problem(file, unreadable.mistake)]) from None
    mistakes = [*document.mistakes, *target_mistakes(document)]
    if mistakes:
        raise ConfigError(
            _problem(file, mistake) for mistake in sorted(mistakes, key=lambda mistake: mistake.line or 0)
        )
    return tuple(dict.fromkeys(_distinct(list(_targets(document.value)))))


def _json(text: str) -> Document:
    try:
        return Document(json.loads(text), {}, ())
    except json.JSONDecodeError as error:
        raise UnreadableDocument(error.lineno, "is not valid JSON; check this line and the one above") from None
    except (ValueError, RecursionError):  # a number or a depth beyond Python's limits
        raise UnreadableDocument(None, "contains a number that is too long, or is nested too deeply") from None


def _problem(file: str, mistake: Mistake) -> Problem:
    """Show keys only while they look like labels: anything else may be a misplaced secret."""
    shown = ""
    for key in mistake.path:
        if isinstance(key, str) and not SHOWN_LABEL.fullmatch(key):
            break
        shown += f"[{key}]" if isinstance(key, int) else f".{key}"
    return Problem(file, mistake.line, shown, mistake.message)


def _targets(groups: list[dict[str, YamlValue]]) -> Iterator[tuple[FileSdTarget, bool]]:
    """Yield every target, and whether its name is from a label."""
    for group in groups:
        labels = texts_of(group.get("labels", {})) or {}
        for target in group["targets"]:
            url = url_of(target, labels)
            name = labels.get(NAME) or default_name(target, url)
            gpus, role = gpus_of(labels.get(GPUS, "all")), cast(RoleName, labels.get(ROLE, "any"))
            yield FileSdTarget(name, url, labels.get(ENGINE, "auto"), gpus, role), NAME in labels


def _distinct(named: list[tuple[FileSdTarget, bool]]) -> Iterator[FileSdTarget]:
    """Append a digest of the URL to a default name that is taken; the same URL twice is one server."""
    taken = {target.name: target.url for target, given in named if given}
    for target, given in named:
        if given or taken.setdefault(target.name, target.url) == target.url:
            yield target
        else:
            yield replace(target, name=f"{target.name[: MAX_NAME - 7]}-{digest(target.url)}")
