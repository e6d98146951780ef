"""The words of the project: one word has one meaning, and texts are plain English."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "exporter" / "goodwatt"
COMMAND_PROTOCOL = {"HELP", "add_arguments", "run"}  # every module of commands/ defines these three

# Private words of this project's past, each with what to say instead.
PRIVATE = {
    "told": "reported, or known",
    "teller": "record source",
    "tellers": "record sources",
    "anew": "again, or restarts",
    "whoever": "anyone who, or anything that",
    "nobody": "no server, or no one",
    "shed": "dropped",
    "desk": "context",
    "tally": "counters, or outbox",
    "tallies": "counters",
    "promise": "objective, or policy",
    "promises": "objectives",
    "promised": "configured",
    "departure": "removal",
    "departures": "removals",
    "departed": "removed",
    "crowded": "capped",
    "roster": "selection",
    "hence": "so",
    "thereof": "of it",
}
# Names that say nothing about what is in them.
EMPTY = {"manager", "helper", "util", "handler", "data", "info", "process"}
PHRASES = (
    r"for ever\b",
    r"beside one another",
    r"what is there\b",
    r"\bis told\b",
    r"\btells? (?:of|that)\b",
    r"\bis said\b",
    r"\bmay be had\b",
)


# Since Python 3.12 the text of an f-string has a token type of its own.
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def defined(tree: ast.Module) -> Iterator[str]:
    """Public top-level functions, classes and constants."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_") and name not in {"log", "T"})


def names_of(tree: ast.Module) -> Iterator[str]:
    """Everything that the module itself names: functions, methods, classes, parameters and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words_of(name: str) -> set[str]:
    """`RecordSource` and `record_source` are the words record and source."""
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments, and strings that are sentences, with their lines; every line of a text file."""
    text = path.read_text()
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type in _STRINGS and " " in token.string):
            yield token.start[0], token.string


def test_a_public_name_is_defined_in_one_module() -> None:
    """A reader who searches for a name finds one definition; only commands share their three names."""
    places = defaultdict(list)
    for path in modules():
        for name in defined(ast.parse(path.read_text())):
            if not (path.parent.name == "commands" and name in COMMAND_PROTOCOL):
                places[name].append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(set(found)) > 1} == {}


def test_no_name_is_a_private_word() -> None:
    """Functions, classes, parameters and variables are named with the field's terms."""
    found = {
        (str(path.relative_to(ROOT)), name): PRIVATE[word]
        for path in (*modules(), *sorted((ROOT / "grafana").glob("*.py")))
        for name in names_of(ast.parse(path.read_text()))
        for word in words_of(name) & PRIVATE.keys()
    }
    assert found == {}


def test_no_module_function_or_class_has_an_empty_name() -> None:
    """`data`, `info` or `helper` alone say nothing about what is in a module or a definition."""
    found = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in modules()
        for name in (path.stem, *defined(ast.parse(path.read_text())))
        if {name.lower(), name.lower().removesuffix("s")} & EMPTY or re.search(r"(Manager|Helper|Util)s?$", name)
    ]
    assert found == []


def test_texts_are_free_of_private_words() -> None:
    """Comments, docstrings, messages and documents say it in plain English."""
    pattern = re.compile("|".join([rf"\b(?:{'|'.join(PRIVATE)})\b", *PHRASES]), re.IGNORECASE)
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    profiles = sorted((PACKAGE / "engines").glob("*.yaml"))
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in (*modules(), *sorted((ROOT / "grafana").glob("*.py")), *documents, *profiles)
        for line, text in prose(path)
        for match in pattern.finditer(text)
    ]
    assert found == []
