"""The values of the --web flags, checked before anything starts."""

from dataclasses import dataclass

from goodwatt.publish.http import checked_path
from goodwatt.runtime.errors import UsageError
from goodwatt.web.address import Address, parse_address


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Where metrics are served, and whether HTTP may trigger a reload."""

    address: Address
    telemetry_path: str
    lifecycle: bool = False


def parse_web_options(address: str, telemetry_path: str, *, lifecycle: bool = False) -> WebOptions:
    """Check the flags' values. Raises UsageError for an unusable address or path."""
    try:
        return WebOptions(parse_address(address), checked_path(telemetry_path), lifecycle)
    except ValueError as error:
        raise UsageError(str(error)) from None
