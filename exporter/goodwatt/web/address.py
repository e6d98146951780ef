"""Listen addresses as operators write them."""

import errno
import os
import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

_HOST = re.compile(r"[A-Za-z0-9_.-]*")
_DIGITS = re.compile(r"[0-9]{1,5}")
_LAST_PORT = 65535


class Address(NamedTuple):
    """A host and port. `host` is empty for all interfaces and has no brackets for IPv6; port 0 picks a free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL to open in a browser on this machine."""
        everywhere = self.host in ("", "0.0.0.0", "::")  # noqa: S104 - a comparison, not a bind
        return f"http://{Address('localhost', self.port) if everywhere else self}/"


def parse_address(text: str) -> Address:
    """Read `host:port`, `:port` or `[IPv6]:port`. Raises ValueError with one line that says what to write instead."""
    if "//" in text or "/" in text:
        raise ValueError(_wrong(text, "contains '/'; write host:port without http:// and without a path"))
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise ValueError(_wrong(text, "lacks a port; write host:port, or :port for every interface"))
    return Address(_host(text, host), _port(text, port))


def _host(text: str, host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(text, host[1:-1])
    if ":" in host or "[" in host or "]" in host:
        raise ValueError(_wrong(text, "has an IPv6 address without brackets; write [address]:port"))
    if not _HOST.fullmatch(host):
        raise ValueError(_wrong(text, "has a host that is neither a name nor an IP address; write host:port"))
    return host


def _ipv6(text: str, host: str) -> str:
    try:
        IPv6Address(host)
    except AddressValueError:
        raise ValueError(_wrong(text, "has no IPv6 address between its brackets; write [address]:port")) from None
    return host


def _port(text: str, port: str) -> int:
    if not _DIGITS.fullmatch(port) or int(port) > _LAST_PORT:
        raise ValueError(_wrong(text, f"has no valid port after its last ':'; write a number from 0 to {_LAST_PORT}"))
    return int(port)


def _wrong(text: str, what: str) -> str:
    return f"listen address {text[:80]!r} {what}"


def cannot_listen(address: Address, error: OSError, setting: str = "--web.listen-address") -> str:
    """One line on why listening failed and what to do; `setting` is the option or key that sets the address."""
    advice = _ADVICE.get(error.errno or 0, "choose another address with {}").format(setting)
    why = os.strerror(error.errno) if error.errno in _ADVICE else error.strerror or str(error)
    return f"cannot listen on {address}: {why.lower()}; {advice}"


_ADVICE = {
    errno.EADDRINUSE: "stop the program that uses it, or choose another port with {}",
    errno.EACCES: "choose a port above 1023 with {}",
    errno.EADDRNOTAVAIL: "choose an address of this machine with {}",
}
