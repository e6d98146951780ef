"""Standard output for commands that print."""

import os
import sys

from goodwatt.runtime.errors import StartupError


def write_output(text: str) -> None:
    """Write `text` to stdout and flush, to report a write error here rather than at interpreter exit.

    Raises StartupError when stdout is closed or full, and BrokenPipeError when its reader has gone.
    """
    if sys.stdout is None:
        raise StartupError("cannot write to standard output: it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards the rest of the buffer
        if isinstance(error, BrokenPipeError):
            raise
        raise StartupError(f"cannot write to standard output: {error.strerror}") from None
