"""Configurations in files: every bad one with its exact messages, every good one without a complaint."""

from pathlib import Path

import pytest

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError
from goodwatt.config.load import load, parse
from goodwatt.config.redacted import redacted
from goodwatt.engines import known_engines

CORPUS = Path(__file__).parent / "corpus"
BAD = sorted(CORPUS.glob("bad/*.yaml"))
GOOD = sorted(CORPUS.glob("good/*.yaml"))
ROOT = Path(__file__).parents[2]


def expected(path: Path) -> str:
    return path.with_suffix(".txt").read_text().replace("{engines}", ", ".join(known_engines()))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_gives_exactly_its_messages(path: Path) -> None:
    """A bad file reports every problem at once, in the order of the file, word for word as in its .txt."""
    with pytest.raises(ConfigError) as raised:
        parse(path.read_bytes().decode(), path.name)
    assert str(raised.value) + "\n" == expected(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_message_mentions_the_implementation_or_a_secret(path: Path) -> None:
    """Messages are for operators: one line each, no validator jargon, none of the planted secrets."""
    for line in expected(path).splitlines():
        assert line.startswith(f"{path.name}:")
        assert not any(word in line.lower() for word in ("pydantic", "input", "tuple", "literal", "nonetype", "s3cret"))


def test_the_corpus_is_whole() -> None:
    """Every expectation has its file, and the corpus has not shrunk."""
    assert {path.stem for path in CORPUS.glob("bad/*.txt")} == {path.stem for path in BAD}
    assert len(BAD) >= 75
    assert len(GOOD) >= 8


@pytest.mark.parametrize("path", [*GOOD, ROOT / "deploy" / "goodwatt.yaml"], ids=lambda path: path.stem)
def test_a_good_file_loads_and_its_redacted_text_too(path: Path) -> None:
    """A good file loads, and so does its redacted text, which redacts to itself."""
    config = load(path)
    assert redacted(parse(redacted(config))) == redacted(config)


def test_the_example_names_every_key() -> None:
    """deploy/goodwatt.yaml mentions every key of every section, so that it can be edited without the reference."""
    from goodwatt.config.validation.shape import sections

    text = (ROOT / "deploy" / "goodwatt.yaml").read_text()
    keys = {key for _, section in sections(Config) for key in section.model_fields}
    assert {key for key in keys if f"{key}:" not in text} == set()
