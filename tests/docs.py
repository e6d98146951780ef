"""Write every generated page of docs/ anew: `make docs`. Tests compare the files with the same functions."""

from pathlib import Path

from exporter.config.reference import reference as configuration
from exporter.publish.reference import reference as metrics

DOCS = Path(__file__).parent.parent / "docs"

PAGES = {"metrics.md": metrics, "configuration.md": configuration}


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
