"""Checks the names of the operator's engine profiles."""

from collections.abc import Iterator

from goodwatt.config.validation.entries import Check, list_entries, mistake, repeated, text_values
from goodwatt.config.validation.messages import did_you_mean
from goodwatt.config.yaml.document import Document, Mistake, YamlValue


def profile_check(shipped: tuple[str, ...]) -> Check:
    """Make a check that names are unique and differ from shipped ones unless the profile replaces one."""

    def check(document: Document) -> Iterator[Mistake]:
        yield from repeated(document, text_values(document, "profiles", "name"), "name")
        for path, profile in list_entries(document, "profiles"):
            message = _message(profile.get("name"), profile.get("replaces_shipped") is True, shipped)
            if message:
                yield mistake(document, (*path, "name"), message)

    return check


def _message(name: YamlValue, replaces: bool, shipped: tuple[str, ...]) -> str | None:
    if not isinstance(name, str):
        return None
    if name == "auto":
        return "must not be auto, which means that the engine is detected; choose another"
    if name in shipped and not replaces:
        return "is the name of a shipped profile; choose another, or add replaces_shipped: true to take its place"
    if name not in shipped and replaces:
        known = f"shipped: {', '.join(shipped)}"
        return f"replaces_shipped is true, but no shipped profile has this name; {known}{did_you_mean(name, shipped)}"
    return None
