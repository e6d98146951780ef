"""Files of Prometheus's file_sd format as servers to read: groups of `targets` with the `labels` that they share."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from goodwatt.config.errors import ConfigError, Problem
from goodwatt.config.file_sd.labels import ENGINE, GPUS, NAME, Gpus, default_name, digest, gpus_of, url_of
from goodwatt.config.file_sd.validation import SHOWN_LABEL, target_mistakes, texts_of
from goodwatt.config.validation.entries import MAX_NAME
from goodwatt.config.yaml.document import Document, Mistake, UnreadableDocument, YamlValue, read_yaml
from goodwatt.settings.sources import DiscoverySection, ServerSection


@dataclass(frozen=True, slots=True)
class FileSdTarget:
    """One server that a file lists. `url` may hold a secret in its query."""

    name: str
    url: str = field(repr=False)
    engine: str = "auto"
    gpus: Gpus = "all"

    def section(self, reached: DiscoverySection) -> ServerSection:
        """The server as if the configuration had named it, reached as the discovery's section says."""
        how = {key: getattr(reached, key) for key in DiscoverySection.model_fields if key != "files"}
        return ServerSection(name=self.name, url=self.url, engine=self.engine, gpus=self.gpus, **how)


def parse_targets(text: str, file: str) -> tuple[FileSdTarget, ...]:
    """What a file lists, in its order; it is JSON where its name ends in .json, else YAML. Names in it differ.

    Raises ConfigError with every fault, and nothing else. No message holds a target or a label's value.
    """
    try:
        document = _json(text) if file.lower().endswith(".json") else read_yaml(text)
    except UnreadableDocument as unreadable:
        raise ConfigError([_problem(file, unreadable.fault)]) from None
    faults = [*document.faults, *target_mistakes(document)]
    if faults:
        raise ConfigError(_problem(file, fault) for fault in sorted(faults, key=lambda fault: fault.line or 0))
    return tuple(dict.fromkeys(_distinct(list(_targets(document.value)))))


def _json(text: str) -> Document:
    try:
        return Document(json.loads(text), {}, ())
    except json.JSONDecodeError as error:
        raise UnreadableDocument(error.lineno, "is not valid JSON; see this place and the one before it") from None
    except (ValueError, RecursionError):  # a number or a depth beyond what Python reads
        raise UnreadableDocument(None, "holds a number that is too long, or is nested too deep") from None


def _problem(file: str, fault: Mistake) -> Problem:
    """Keys are shown as long as they look like labels: anything else may be a secret in the wrong place."""
    shown = ""
    for key in fault.path:
        if isinstance(key, str) and not SHOWN_LABEL.fullmatch(key):
            break
        shown += f"[{key}]" if isinstance(key, int) else f".{key}"
    return Problem(file, fault.line, shown, fault.message)


def _targets(groups: list[dict[str, YamlValue]]) -> Iterator[tuple[FileSdTarget, bool]]:
    """Every target, and whether it was given its name."""
    for group in groups:
        labels = texts_of(group.get("labels", {})) or {}
        for target in group["targets"]:
            url = url_of(target, labels)
            name = labels.get(NAME) or default_name(target, url)
            yield FileSdTarget(name, url, labels.get(ENGINE, "auto"), gpus_of(labels.get(GPUS, "all"))), NAME in labels


def _distinct(named: list[tuple[FileSdTarget, bool]]) -> Iterator[FileSdTarget]:
    """A default name that is taken gets a digest of the address; the same address twice is one server."""
    taken = {target.name: target.url for target, given in named if given}
    for target, given in named:
        if given or taken.setdefault(target.name, target.url) == target.url:
            yield target
        else:
            yield replace(target, name=f"{target.name[: MAX_NAME - 7]}-{digest(target.url)}")
