"""Parsing any file ends in a Config or a ConfigError, and never shows a secret."""

import json
from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError
from goodwatt.config.load import load, parse
from goodwatt.config.redacted import config_hash, redacted
from goodwatt.config.validation.shape import sections
from goodwatt.config.validation.urls import url_message

CORPUS = Path(__file__).parent / "corpus"
TEXTS = [path.read_bytes().decode("utf-8-sig") for path in sorted(CORPUS.glob("*/*.yaml"))]
KEYS = sorted({key for _, section in sections(Config) for key in section.model_fields})
SECRET = "hunter2hunter2"
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

yaml_words = st.lists(
    st.sampled_from(
        [
            *KEYS,
            ": ",
            ":\n",
            "\n",
            "\n  ",
            "\n- ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "&a ",
            "*a",
            "<<",
            "!!int ",
            "!x ",
            "'",
        ]
    )
    | st.sampled_from(
        [
            '"',
            "|\n",
            ">\n",
            "\t",
            "#",
            "---\n",
            "...",
            "%",
            "@",
            "\\",
            "? ",
            "1",
            "-1",
            ".inf",
            "true",
            "~",
            "\r",
            "\ufeff",
        ]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["all", "auto", "http://h"])
)
structures = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
)


def outcome(text: str) -> Config | str:
    try:
        return parse(text)
    except ConfigError as error:
        refused = error
    assert refused.errors
    assert len(str(refused).splitlines()) == len(refused.errors)
    return str(refused)


@FUZZ
@given(st.text() | yaml_words)
def test_any_text(text: str) -> None:
    """Arbitrary text gives a Config or a ConfigError of one line a problem, and nothing else."""
    outcome(text)


@FUZZ
@given(structures)
def test_any_structure(value: object) -> None:
    """Arbitrary nested values under known and unknown keys give a Config or a ConfigError."""
    outcome(json.dumps(value))
    outcome(yaml.safe_dump(value, allow_unicode=True))


@FUZZ
@given(st.sampled_from(TEXTS), st.data())
def test_any_mutation(text: str, data: st.DataObject) -> None:
    """A good or bad file with a piece cut out, doubled or replaced gives a Config or a ConfigError."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    piece = data.draw(st.sampled_from(["", text[start:end] * 2]) | yaml_words | st.text(max_size=3))
    outcome(text[:start] + piece + text[end:])


@FUZZ
@given(st.binary())
def test_any_bytes(content: bytes) -> None:
    """A file of arbitrary bytes gives a Config or a ConfigError that starts with the file's name."""
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            load(Path(file.name))
        except ConfigError as error:
            told = str(error)
        else:
            told = file.name
        assert told.startswith(file.name)


def test_any_depth() -> None:
    """Nesting of any depth and kind is rejected before the stack overflows."""
    for text in ("[" * 5000, "{a: " * 5000, "- " * 5000, "? " * 5000, "".join(" " * at + "a:\n" for at in range(900))):
        assert isinstance(outcome(text), str)


@FUZZ
@given(st.text(alphabet="abc.-_:/?[]%é0 ", max_size=12).map(lambda rest: "http://" + rest))
def test_an_accepted_url_can_be_requested(url: str) -> None:
    """A URL that is accepted is one that the HTTP client accepts, with the same host."""
    if url_message(url) is None:
        assert URL(url).host


SHAPES = (
    "servers: [{{name: a, url: 'http://h/?key={s}', headers: {{X-Key: {s}}}}}]",
    "servers: [{{name: a, url: 'http://u:{s}@h', headers: {{X-Key: [{s}]}}}}]",
    "servers: [{{name: a, url: '{s}', headers: {s}}}]",
    "servers: [{{name: a, url: {{u: {s}}}, headers: [{s}]}}]",
    "servers: [{{name: a, url: 'http://{s}@', headers: {{{s}: ~}}}}]",
    "servers: [{{name: a, url: 'http://h:{s}', headers: {{X-Key: {s}, X-Key: {s}}}}}]",
    "servers: [{{name: a, url: http://h/{s}#, headers: {{X-Key: *{s}}}}}]",
    "servers: [{{name: a, url: http://h, headers: {{X-Key: !{s} x}}}}]",
    "servers: [{{name: a, url: http://h, headers: {{X-Key: &{s} x, X-Other: &{s} y}}}}]",
    "servers: [{{name: a, url: http://h, headers: {{X-Key: !{s}!x y}}}}]",
    "servers: [{{name: a, url: http://h, bearer_token: {s}, basic_auth: {{username: u, password: {s}}}}}]",
    "servers: ['http://u:{s}@h']",
    "servers: [http://u:{s}@h: ]",
    "headers: {{X-Key: {s}}}",
    "servers:\n  - name: a\n    url: http://h\n    headers:\n    X-Key: {s}\n",
    "servers:\n  - name: a\n    headers:\n      X-Key: 'it's {s}'\n",
    'servers:\n  - name: a\n    headers:\n      X-Key: "\\q{s}"\n',
    "servers:\n  - name: a\n    headers: X-Key: {s}\n",
    "servers:\n  - name: a\n    headers:\n      X-Key: {s}\n      {s}\n      X: 1",
    "%TAG ! {s}\n--- {{servers: [!{s} x]}}",
)


def shown(text: str) -> str:
    found = outcome(text)
    return found if isinstance(found, str) else f"{found} {found!r} {redacted(found)} {config_hash(found)}"


def test_no_secret_is_shown() -> None:
    """A secret in a header, a URL or any likely wrong place is in no message, repr, str or redacted text."""
    for shape in SHAPES:
        assert SECRET not in shown(shape.format(s=SECRET)), shape


@FUZZ
@given(st.sampled_from(SHAPES), st.data())
def test_no_mutation_shows_a_secret(shape: str, data: st.DataObject) -> None:
    """Nor is it if the rest of the file is broken in any way but the key above it is intact."""
    text = shape.format(s=SECRET)
    at = data.draw(st.integers(0, len(text)))
    before, after = text[:at], text[at:]
    piece = data.draw(st.sampled_from(["\n", " ", "\t", "'", '"', "[", "}", "&a ", "#"]))
    assert SECRET not in shown(before + piece + after)


def test_a_secret_does_not_change_the_hash() -> None:
    """The hash changes with the settings, but not with a header value, a URL query, comments or layout."""
    text = "servers: [{{name: a, url: 'http://h/?k={}', headers: {{X-Key: {}}}}}]"
    assert config_hash(parse(text.format("a", "b"))) == config_hash(parse(text.format("c", "d") + " # moved"))
    assert config_hash(parse("interval_seconds: 5")) == config_hash(parse(""))
    assert config_hash(parse("interval_seconds: 6")) != config_hash(parse(""))
