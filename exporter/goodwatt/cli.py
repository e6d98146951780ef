"""The command line. `main(argv)` answers an exit code: 0 done, 1 failed while running, 2 wrong use.

A command imports its part of the application when it runs: the short ones answer in half the time.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from goodwatt import __version__, log
from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError
from goodwatt.config.load import load
from goodwatt.runtime.errors import StartupError, UsageError

DEFAULT_PORT = 17077
USAGE_ERROR = 2
INTERRUPTED = 130  # what a shell makes of SIGINT
_ALONE = "defaults and local ports"  # what is used without a configuration


def entry() -> None:
    """The installed command."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command. Everything that goes wrong in an expected way is one line on stderr."""
    options = _options(argv)
    try:
        return int(options.command(options))
    except ConfigError as wrong:
        print(wrong, file=sys.stderr)
        return USAGE_ERROR
    except UsageError as wrong:
        print(f"goodwatt: {wrong}", file=sys.stderr)
        return USAGE_ERROR
    except StartupError as wrong:
        print(f"goodwatt: {wrong}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output left, as `head` does
        return 0
    except KeyboardInterrupt:  # while nothing is served yet, or during `once`
        return INTERRUPTED


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest:
        a_file = "; a file is named by --config FILE" if rest[0].endswith((".yaml", ".yml")) else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{a_file}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goodwatt", description="Tokens per watt, cost per token and goodput of LLM inference servers."
    )
    parser.add_argument("--version", action="version", version=f"goodwatt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _serving(commands.add_parser("run", help="read this machine and serve the metrics"), _run)
    demo = commands.add_parser("demo", help="the same over simulated GPUs and servers")
    _breaking(_serving(demo, _demo, "objectives and prices of its own"))
    _configured(commands.add_parser("check", help="validate a configuration"), _check)
    _configured(commands.add_parser("once", help="read everything once, print the metrics"), _once)
    _plain(commands.add_parser("metrics", help="print the reference of every metric"), _metrics)
    _ruling(commands.add_parser("rules", help="print recording rules and alerts for Prometheus"))
    _inspecting(commands.add_parser("engines", help="print which engine offers which signal, or look at one server"))
    return parser


def _plain(parser: argparse.ArgumentParser, command: object) -> None:
    parser.set_defaults(command=command)


def _inspecting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with engine profiles of your own")
    parser.add_argument("--url", metavar="URL", help="read this server's metrics page once and explain it")
    parser.add_argument("--engine", metavar="NAME", default="auto", help="profile to read it with; default: auto")
    parser.set_defaults(command=_engines)


def _ruling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with objectives and targets of your own")
    parser.add_argument("--kind", choices=("recording", "alerts", "all"), default="all", help="default: all")
    parser.add_argument(
        "--runbook-url",
        dest="runbook_url",
        metavar="URL",
        default="docs/runbooks.md",
        help="page that the alerts link to, each to its own section; default: docs/runbooks.md",
    )
    parser.set_defaults(command=_rules)


def _configured(parser: argparse.ArgumentParser, command: object, without: str = _ALONE) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"YAML file; without it, {without}")
    parser.add_argument("--log.level", dest="level", choices=log.LEVELS, default="info", help="default: info")
    parser.add_argument("--log.format", dest="format", choices=log.FORMATS, default="logfmt", help="default: logfmt")
    parser.set_defaults(command=command)


def _breaking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fault",
        dest="faults",
        metavar="KIND[:SERVER]@START[+LENGTH]",
        action="append",
        default=[],
        help="break simulated servers: slow, hang, down or restart, START seconds on, for LENGTH; may be repeated",
    )


def _serving(parser: argparse.ArgumentParser, command: object, without: str = _ALONE) -> argparse.ArgumentParser:
    _configured(parser, command, without)
    parser.add_argument(
        "--web.listen-address",
        dest="address",
        metavar="ADDR",
        default=f":{DEFAULT_PORT}",
        help=f"[HOST]:PORT to serve on; default: :{DEFAULT_PORT}",
    )
    parser.add_argument(
        "--web.telemetry-path", dest="path", metavar="PATH", default="/metrics", help="default: /metrics"
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="lifecycle",
        action="store_true",
        help="let POST and PUT of /-/reload read the configuration again, as SIGHUP does",
    )
    return parser


def _print(text: str) -> None:
    """Write to stdout, at once, so that an output that takes nothing is met here and not when the interpreter ends."""
    if sys.stdout is None:
        raise StartupError("cannot write to standard output: it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        if isinstance(error, BrokenPipeError):
            raise
        raise StartupError(f"cannot write to standard output: {error.strerror}") from None


def _config(options: argparse.Namespace) -> Config:
    return Config() if options.config is None else load(options.config)


def _run(options: argparse.Namespace) -> int:
    from goodwatt.runtime import serve, web_options

    web = web_options.web(options.address, options.path, lifecycle=options.lifecycle)
    config = _config(options)
    log.configure(options.level, options.format)
    return asyncio.run(serve.run(config, web, options.config))


def _demo(options: argparse.Namespace) -> int:
    from goodwatt.commands.demo import faults
    from goodwatt.runtime import serve, web_options

    web = web_options.web(options.address, options.path, lifecycle=options.lifecycle)
    plan = faults(options.faults)
    config = _config(options) if options.config else None
    log.configure(options.level, options.format)
    return asyncio.run(serve.demo(config, web, plan))


def _check(options: argparse.Namespace) -> int:
    from goodwatt.config.advice.config import advice
    from goodwatt.runtime.discovery.target_files import discovery_faults
    from goodwatt.sources.otlp import protobuf_codec

    config = _config(options)
    protobuf_problem = protobuf_codec.MISSING if protobuf_codec.missing() else None
    lines = [
        f"advice: {line}" for line in (*advice(config, protobuf_problem=protobuf_problem), *discovery_faults(config))
    ]
    _print("\n".join([*lines, f"{options.config or 'the default configuration'}: ok\n"]))
    return 0


def _once(options: argparse.Namespace) -> int:
    from goodwatt.runtime import serve

    config = _config(options)
    log.configure(options.level, options.format)
    _print(asyncio.run(serve.once(config)))
    return 0


def _metrics(_: argparse.Namespace) -> int:
    from goodwatt.publish.reference import reference

    _print(reference())
    return 0


def _rules(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from goodwatt.rules import rules_text

    alerting = replace(_config(options).alerting(), runbook_url=options.runbook_url)
    sys.stdout.write(rules_text(alerting, options.kind))
    return 0


def _engines(options: argparse.Namespace) -> int:
    from goodwatt.commands import engines

    config = _config(options)
    if options.url is None:
        if options.engine != "auto":
            raise UsageError("--engine needs --url: it says how to read that server's page")
        _print(engines.engines_reference(config))
    else:
        _print(asyncio.run(engines.inspect(config, options.url, options.engine)))
    return 0
