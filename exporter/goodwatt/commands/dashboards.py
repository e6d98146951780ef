"""`goodwatt dashboards`: list, print or write the Grafana dashboards."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from goodwatt.commands.output import write_output
from goodwatt.runtime.errors import StartupError, UsageError

HELP = "list, print or write the Grafana dashboards"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NAME and --output."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this dashboard's JSON; without it, list all")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write the dashboards (or only NAME) to this directory, replacing files of the same name",
    )


def run(options: argparse.Namespace) -> int:
    """List, print or write. Raises UsageError for an unknown NAME, StartupError when a file cannot be written."""
    from goodwatt.shipped_files import dashboards

    known = dashboards()
    if options.name is not None and options.name not in known:
        raise UsageError(f"unknown dashboard {options.name[:80]!r}; known: {', '.join(known)}")
    chosen = known if options.name is None else {options.name: known[options.name]}
    if options.output is not None:
        write_output("".join(f"{written}\n" for written in write_files(chosen.values(), options.output)))
    elif options.name is not None:
        write_output(chosen[options.name].read_text(encoding="utf-8"))
    else:
        write_output("".join(f"{name:20} {_title(file)}\n" for name, file in chosen.items()))
    return 0


def write_files(files: Iterable[Path], folder: Path) -> list[Path]:
    """Copy `files` into `folder`, creating it if missing, and return the copies. Raises StartupError."""
    copies = []
    target = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            target = folder / file.name
            target.write_bytes(file.read_bytes())
            copies.append(target)
    except OSError as error:
        raise StartupError(f"cannot write {target}: {error.strerror}; choose another --output") from None
    return copies


def _title(file: Path) -> str:
    import json

    return str(json.loads(file.read_text(encoding="utf-8"))["title"])
