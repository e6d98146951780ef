"""Parses a configuration file into a `Config`, or reports every problem in it at once."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path as FilePath

from pydantic import ValidationError

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError, Problem, printable
from goodwatt.config.validation.file import rule_mistakes
from goodwatt.config.validation.messages import shape_mistakes, value_at
from goodwatt.config.validation.shape import display_path, section_at
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, UnreadableDocument, read_yaml
from goodwatt.engines import known_engines

MAX_CONFIG_BYTES = 1024 * 1024


def load(path: FilePath) -> Config:
    """Read and parse the file. Raises only ConfigError, if the file cannot be read or used.

    Files that it names (tokens, passwords, certificates) are not read: they may appear later, and change.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a valid file name"
        raise _whole_file("goodwatt", f"cannot read {printable(str(path), 4096)}: {reason}; check --config") from None
    try:
        return parse(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, "", "is not UTF-8 text; save the file as UTF-8")]) from None


def parse(text: str, file: str = "<config>") -> Config:
    """Parse `text`; an empty text means all defaults. Raises only ConfigError.

    `file` is used in messages only. No message contains a header value, a URL, or another value that may be secret.
    """
    if len(text.encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise _whole_file(file, "is larger than 1 MiB; it is not a goodwatt configuration")
    try:
        document = _mapping(read_yaml(text))
    except UnreadableDocument as unreadable:
        raise ConfigError([_problem(file, (), unreadable.mistake)]) from None
    config, refused = _validated(document)
    found = _kept(document, (*document.mistakes, *rule_mistakes(document, known_engines())), refused)
    if found or config is None:
        raise ConfigError(_problem(file, document.lines, mistake) for mistake in found)
    return config


def _whole_file(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, None, "", message)])


def _mapping(document: Document) -> Document:
    if document.value is None and not document.mistakes:
        return Document({}, document.lines, ())
    if not isinstance(document.value, dict):
        raise UnreadableDocument(
            document.line(()), "the file must be a mapping of `key: value` lines, such as `interval_seconds: 5`"
        )
    return document


def _validated(document: Document) -> tuple[Config | None, tuple[Mistake, ...]]:
    try:  # strict models accept a list for a tuple from JSON, but never text for a number
        return Config.model_validate_json(json.dumps(document.value)), ()
    except ValidationError as error:
        return None, tuple(shape_mistakes(error, document, Config))


def _kept(document: Document, ruled: Iterable[Mistake], refused: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes to report, in the order of the file: none inside an unknown key, and one for each cause."""
    reported = [mistake for mistake in ruled if not _inside_unknown(mistake)]
    reported += [mistake for mistake in refused if not any(_explains(document, one, mistake) for one in reported)]
    return sorted(dict.fromkeys(reported), key=lambda mistake: mistake.line or 0)


def _explains(document: Document, reported: Mistake, other: Mistake) -> bool:
    """Whether `reported` makes `other` redundant: the same place, or one inside a value that is rejected whole."""
    if reported.path == other.path[: len(reported.path)]:
        return reported.path == other.path or not isinstance(value_at(document.value, reported.path), dict)
    return False


def _inside_unknown(mistake: Mistake) -> bool:
    for at, key in enumerate(mistake.path):
        section = section_at(Config, mistake.path[:at])
        if section is not None and isinstance(key, str) and key not in section.model_fields:
            return True
    return False


def _problem(file: str, known: Collection[KeyPath], mistake: Mistake) -> Problem:
    place = mistake.path if mistake.path in known else mistake.path[:-1]  # a missing key is named in the message
    return Problem(file, mistake.line, display_path(Config, place), mistake.message)
