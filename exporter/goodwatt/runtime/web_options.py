"""What the flags say, checked before anything starts."""

from dataclasses import dataclass

from goodwatt.publish.http import checked_path
from goodwatt.runtime.errors import UsageError
from goodwatt.web.address import Address, parse_address


@dataclass(frozen=True, slots=True)
class Web:
    """Where and under which path the metrics are served, and whether HTTP may ask for a reload."""

    address: Address
    telemetry_path: str
    lifecycle: bool = False


def web(address: str, telemetry_path: str, *, lifecycle: bool = False) -> Web:
    """From the flags. Raises WrongUse when one of them is no address or path."""
    try:
        return Web(parse_address(address), checked_path(telemetry_path), lifecycle)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from None
