"""The dashboards as JSON files in grafana/dashboards."""

import json
from pathlib import Path

from grafana import compare, economics, energy, goodput, health
from grafana.board import Board

FOLDER = Path(__file__).parent / "dashboards"
BOARDS: tuple[Board, ...] = tuple(module.BOARD for module in (economics, goodput, energy, compare, health))


def rendered() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{board.uid}.json": json.dumps(board.json(), indent=2, ensure_ascii=False) + "\n" for board in BOARDS}


def write() -> list[str]:
    """Write the files that differ and return their names."""
    FOLDER.mkdir(exist_ok=True)
    changed = []
    for name, text in rendered().items():
        file = FOLDER / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            changed.append(name)
    return changed
