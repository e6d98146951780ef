"""Listen addresses as operators write them."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.web.address import Address, cannot_listen, parse_address

GOOD = {
    ":17077": Address("", 17077),
    "127.0.0.1:17077": Address("127.0.0.1", 17077),
    "0.0.0.0:80": Address("0.0.0.0", 80),
    "localhost:0": Address("localhost", 0),
    "gpu-node_1.example.org:65535": Address("gpu-node_1.example.org", 65535),
    "[::]:17077": Address("::", 17077),
    "[::1]:17077": Address("::1", 17077),
    "[fe80::1%eth0]:9": Address("fe80::1%eth0", 9),
}
NO_PORT = "lacks a port; write host:port, or :port for every interface"
WRONG_PORT = "has no valid port after its last ':'; write a number from 0 to 65535"
NO_BRACKETS = "has an IPv6 address without brackets; write [address]:port"
NO_HOST = "has a host that is neither a name nor an IP address; write host:port"
BAD = {
    "": NO_PORT,
    "17077": NO_PORT,
    "[::1]": NO_PORT,
    "localhost:": WRONG_PORT,
    "localhost:http": WRONG_PORT,
    ":65536": WRONG_PORT,
    ":-1": WRONG_PORT,
    ":\u0661\u0667": WRONG_PORT,
    "::1:17077": NO_BRACKETS,
    "[::g]:1": "has no IPv6 address between its brackets; write [address]:port",
    "http://localhost:1": "contains '/'; write host:port without http:// and without a path",
    "a b:1": NO_HOST,
    "a\nb:1": NO_HOST,
}


@pytest.mark.parametrize(("text", "address"), GOOD.items(), ids=GOOD)
def test_good_addresses(text: str, address: Address) -> None:
    """An address is parsed and formatted back unchanged."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(("text", "what"), BAD.items(), ids=map(repr, BAD))
def test_bad_addresses(text: str, what: str) -> None:
    """An invalid address gives one line that says what to write."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared
        parse_address(text)
    assert str(refused.value) == f"listen address {text!r} {what}"


@given(text=st.text() | st.from_regex(r"\[?[0-9a-f:.%]*\]?:[0-9]*"))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    """Any text is an address or gives a one-line error."""
    port, complaint = 0, "one line"
    try:
        port = parse_address(text).port
    except ValueError as refused:
        complaint = str(refused)
    assert 0 <= port <= 65535
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("", 1), "http://localhost:1/"),
        (Address("::", 1), "http://localhost:1/"),
        (Address("0.0.0.0", 1), "http://localhost:1/"),
        (Address("::1", 1), "http://[::1]:1/"),
        (Address("10.0.0.1", 1), "http://10.0.0.1:1/"),
    ],
)
def test_url(address: Address, url: str) -> None:
    """The URL uses localhost if the address means all interfaces."""
    assert address.url == url


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.EADDRINUSE, "error while attempting to bind"),
            "cannot listen on :80: address already in use; stop the program that uses it, or choose another port with "
            "--web.listen-address",
        ),
        (
            PermissionError(errno.EACCES, "x"),
            "cannot listen on :80: permission denied; choose a port above 1023 with --web.listen-address",
        ),
        (
            OSError(-2, "Name or service not known"),
            "cannot listen on :80: name or service not known; choose another address with --web.listen-address",
        ),
        (OSError("odd"), "cannot listen on :80: odd; choose another address with --web.listen-address"),
    ],
)
def test_cannot_listen(error: OSError, line: str) -> None:
    """One line says why listening failed and what to do."""
    assert cannot_listen(Address("", 80), error) == line
