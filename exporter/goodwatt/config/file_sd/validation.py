"""Checks a target file. Finds every mistake at once; no message contains a target or a label value."""

import re
from collections.abc import Iterator, Mapping

from goodwatt.config.file_sd.labels import METRICS_PATH, NAME, SCHEME, label_message, url_of
from goodwatt.config.validation.entries import mistake
from goodwatt.config.validation.messages import kind_of
from goodwatt.config.validation.urls import url_message
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue

SHOWN_LABEL = re.compile(r"[A-Za-z0-9_]{1,40}")


def target_mistakes(document: Document) -> Iterator[Mistake]:
    """Find every mistake in the file."""
    if not isinstance(document.value, list):
        what = "is empty" if document.value is None else f"holds {kind_of(document.value)}"
        yield mistake(document, (), f"{what}, not a list of `targets` with `labels`; write [] for no server")
        return
    for at, group in enumerate(document.value):
        if isinstance(group, dict):
            yield from _group(document, (at,), group)
        else:
            yield mistake(document, (at,), "must be a mapping with the keys `targets` and `labels`")
    yield from _repeated_names(document)


def _group(document: Document, path: KeyPath, group: Mapping[str, YamlValue]) -> Iterator[Mistake]:
    if group.keys() - {"targets", "labels"}:
        yield mistake(document, path, "contains an unknown key; a group has only `targets` and `labels`")
    labels, targets = texts_of(group.get("labels", {})), group.get("targets")
    if labels is None:
        yield mistake(document, (*path, "labels"), "must map names to text; put values in quotes")
    else:
        yield from _labels(document, (*path, "labels"), labels)
    if not isinstance(targets, list):
        yield mistake(document, path, "lacks `targets`, a list such as ['10.0.0.1:8000']")
        return
    for at, target in enumerate(targets):
        message = _target_message(target)
        if message:
            yield mistake(document, (*path, "targets", at), message)
    if labels is not None and NAME in labels and len(targets) > 1:
        message = f"names one server, but the group has {len(targets)} targets; give each target its own group"
        yield mistake(document, (*path, "labels", NAME), message)


def texts_of(labels: YamlValue) -> dict[str, str] | None:
    """Return labels as text, converting whole numbers; None if it is not a mapping to text."""
    if not isinstance(labels, dict) or any(type(value) not in (str, int) for value in labels.values()):
        return None
    return {name: str(value) for name, value in labels.items()}


def _labels(document: Document, path: KeyPath, labels: Mapping[str, str]) -> Iterator[Mistake]:
    for name, value in labels.items():
        message = label_message(name, value)
        if message:
            yield mistake(document, (*path, name), message)


def _target_message(target: YamlValue) -> str | None:
    if not isinstance(target, str):
        return f"must be text such as '10.0.0.1:8000', not {'nothing' if target is None else kind_of(target)}"
    if "/" in target or "?" in target:
        return f"must be host:port only; scheme and path are the labels {SCHEME} and {METRICS_PATH}"
    return url_message(url_of(target, {}))


def _repeated_names(document: Document) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for at, group in enumerate(document.value):
        name = (texts_of(group.get("labels")) or {}).get(NAME) if isinstance(group, dict) else None
        if name in first:
            message = f"is already the name of [{first[name]}]; each must be different"
            yield mistake(document, (at, "labels", NAME), message)
        elif name is not None:
            first[name] = at
