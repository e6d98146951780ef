"""`goodwatt rules`: print recording rules and alerts for Prometheus."""

import argparse

from goodwatt.commands import flags
from goodwatt.commands.output import write_output

HELP = "print recording rules and alerts for Prometheus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config, --kind and --runbook-url."""
    flags.add_config(parser, " for your own SLOs and alert thresholds")
    parser.add_argument("--kind", choices=("recording", "alerts", "all"), default="all", help="default: all")
    parser.add_argument(
        "--runbook-url",
        dest="runbook_url",
        metavar="URL",
        default="docs/runbooks.md",
        help="page that each alert links to, with the alert's own section; default: docs/runbooks.md",
    )


def run(options: argparse.Namespace) -> int:
    """Print one rule file. Raises ConfigError."""
    from dataclasses import replace

    from goodwatt.config.plan import alerting
    from goodwatt.rules import rules_text

    targets = replace(alerting(flags.load_config(options)), runbook_url=options.runbook_url)
    write_output(rules_text(targets, options.kind))
    return 0
