"""What must hold for an operator's own engine profiles beyond the shape that every profile has."""

from collections.abc import Iterator

from goodwatt.config.validation.entries import Check, list_entries, mistake, repeated, text_values
from goodwatt.config.validation.messages import did_you_mean
from goodwatt.config.yaml.document import Document, Mistake, YamlValue


def profile_rule(shipped: tuple[str, ...]) -> Check:
    """Names differ from one another, and from those shipped unless the profile says that it replaces one."""

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
        return "must not be auto, which stands for recognising the engine; choose another"
    if name in shipped and not replaces:
        return "is the name of a shipped profile; choose another, or add replaces_shipped: true to take its place"
    if name not in shipped and replaces:
        known = f"shipped: {', '.join(shipped)}"
        return f"replaces_shipped is true, but no shipped profile has this name; {known}{did_you_mean(name, shipped)}"
    return None
