"""`goodwatt check`: validate a configuration."""

import argparse

from goodwatt.commands import flags
from goodwatt.commands.output import write_output

HELP = "validate a configuration and give advice on it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and logging flags; the latter are accepted as by `run` and have no effect."""
    flags.add_config(parser, "; without it, the defaults")
    flags.add_logging(parser)


def run(options: argparse.Namespace) -> int:
    """Print advice, how narrow the bounds of each SLO will be, and `ok`. Raises ConfigError with every mistake."""
    from goodwatt.config.advice.config import config_advice, slo_widths
    from goodwatt.runtime.discovery.file_listing import target_file_problems

    config = flags.load_config(options)
    protobuf_problem = None if config.otlp is None else _protobuf_problem()
    found = (*config_advice(config, protobuf_problem=protobuf_problem), *target_file_problems(config.server_discovery))
    lines = [*(f"advice: {line}" for line in found), *slo_widths(config)]
    write_output("\n".join([*lines, f"{options.config or 'the default configuration'}: ok\n"]))
    return 0


def _protobuf_problem() -> str | None:
    from goodwatt.sources.otlp import protobuf_codec

    return protobuf_codec.PROTOBUF_MISSING if protobuf_codec.protobuf_missing() else None
