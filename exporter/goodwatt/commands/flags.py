"""Flags that several commands share, and what their values mean."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from goodwatt import log

if TYPE_CHECKING:
    from goodwatt.config.config import Config
    from goodwatt.runtime.web_options import WebOptions

DEFAULT_PORT = 17077


def add_config(parser: argparse.ArgumentParser, description: str) -> None:
    """Add --config FILE; `description` completes `YAML configuration file`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"YAML configuration file{description}")


def add_logging(parser: argparse.ArgumentParser) -> None:
    """Add --log.level and --log.format, which `configure_logging` applies."""
    parser.add_argument("--log.level", dest="level", choices=log.LOG_LEVELS, default="info", help="default: info")
    parser.add_argument(
        "--log.format", dest="format", choices=log.LOG_FORMATS, default="logfmt", help="default: logfmt"
    )


def add_web(parser: argparse.ArgumentParser) -> None:
    """Add the --web flags of a command that serves metrics, which `web_options` reads."""
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
        help="reload the configuration on POST or PUT to /-/reload, as on SIGHUP",
    )


def load_config(options: argparse.Namespace) -> "Config":
    """Read the file that --config names; without one, all defaults. Raises ConfigError."""
    if options.config is None:
        from goodwatt.config.config import Config

        return Config()
    from goodwatt.config.load import load

    return load(options.config)


def configure_logging(options: argparse.Namespace) -> None:
    """Log to stderr from --log.level up, in --log.format."""
    log.configure(options.level, options.format)


def web_options(options: argparse.Namespace) -> "WebOptions":
    """Check the --web flags. Raises UsageError."""
    from goodwatt.runtime.web_options import parse_web_options

    return parse_web_options(options.address, options.path, lifecycle=options.lifecycle)
