"""Which goodwatt this is: its version, the commit it was built from, and the Python that runs it."""

import sys
from pathlib import Path

from goodwatt import __version__

COMMIT_FILE = Path(__file__).with_name("commit.txt")  # written when a wheel or an image is built


def version_line(commit_file: Path = COMMIT_FILE) -> str:
    """Return the line that `goodwatt --version` prints; it has no commit when goodwatt runs from a checkout."""
    commit = built_from(commit_file)
    python = f"Python {sys.version.split()[0]}"
    return f"goodwatt {__version__} ({python if commit is None else f'commit {commit}, {python}'})"


def built_from(commit_file: Path = COMMIT_FILE) -> str | None:
    """Return the short commit id that the build recorded, or None when it recorded none."""
    try:
        return commit_file.read_text(encoding="ascii").strip() or None
    except OSError:
        return None
