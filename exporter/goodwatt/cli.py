"""The command line: parses the arguments, runs one command and turns expected errors into exit codes.

0: done. 1: failed while running. 2: wrong arguments or configuration. 130: interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from goodwatt.commands import command_modules
from goodwatt.config.errors import ConfigError
from goodwatt.runtime.errors import StartupError, UsageError
from goodwatt.version import version_line

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130  # the shell's code for SIGINT


def entry() -> None:
    """Run the installed command and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code. Prints each expected error as one line on stderr."""
    options = _parse(argv)
    try:
        return int(options.run(options))
    except ConfigError as error:
        return _fail(str(error), USAGE_ERROR)
    except UsageError as error:
        return _fail(f"goodwatt: {error}", USAGE_ERROR)
    except StartupError as error:
        return _fail(f"goodwatt: {error}", FAILED)
    except BrokenPipeError:  # the reader of our output has gone, as in `goodwatt metrics | head`
        return 0
    except KeyboardInterrupt:  # before serving has begun, or during a command that prints
        return INTERRUPTED


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest:
        hint = "; name a file with --config FILE" if rest[0].endswith((".yaml", ".yml")) else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goodwatt", description="Tokens per watt, cost per token and goodput of LLM inference servers."
    )
    parser.add_argument("--version", action="version", version=version_line())
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in command_modules().items():
        description = f"{command.HELP[0].upper()}{command.HELP[1:]}."
        subparser = subparsers.add_parser(name, help=command.HELP, description=description)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
