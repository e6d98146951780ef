"""Write every generated page of docs/ anew: `make docs`. Tests compare the files with the same functions."""

from pathlib import Path

from exporter.config.reference import reference as configuration
from exporter.engines import load_profiles
from exporter.engines.matrix import coverage_matrix
from exporter.publish.reference import reference as metrics

DOCS = Path(__file__).parent.parent / "docs"

BEGIN, END = "<!-- made by `make docs` -->\n\n", "\n<!-- end -->"


def engines() -> str:
    """docs/engines.md with its tables made anew and every other word as it stands."""
    before, _, rest = (DOCS / "engines.md").read_text().partition(BEGIN)
    return before + BEGIN + coverage_matrix(load_profiles()) + END + rest.partition(END)[2]


PAGES = {"metrics.md": metrics, "configuration.md": configuration, "engines.md": engines}


def main() -> None:
    """Write the pages that differ and say which."""
    for name, make in PAGES.items():
        page = DOCS / name
        text = make()
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
            print(f"written: docs/{name}")


if __name__ == "__main__":
    main()
