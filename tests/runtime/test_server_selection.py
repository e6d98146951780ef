"""Selecting the servers to read."""

from goodwatt.runtime.server_selection import Candidate, RefusedServer, select_servers
from goodwatt.settings.sources import MAX_SERVERS, ServerSection


def listed(name: str, url: str = "", engine: str = "auto", origin: str = "f.yaml") -> Candidate:
    return Candidate(ServerSection(name=name, url=url or f"http://{name}:8000", engine=engine), origin)


def test_the_first_server_of_a_name_and_of_an_address_is_read() -> None:
    """Two servers with one name would mix their counters, and one page read twice would count double."""
    chosen = select_servers(
        [listed("a"), listed("a", "http://other:1"), listed("b", "http://A:8000/"), listed("c"), listed("c")], ()
    )
    assert [server.name for server in chosen.servers] == ["a", "c"]
    assert chosen.refused == (
        RefusedServer("a", "f.yaml", "another server has this name"),
        RefusedServer("b", "f.yaml", "server a has the same address"),
    )


def test_a_server_with_an_unknown_engine_is_not_read() -> None:
    """The other servers of its file are read."""
    chosen = select_servers([listed("a", engine="toy"), listed("b", engine="vllm")], ("sglang", "vllm"))
    assert [server.name for server in chosen.servers] == ["b"]
    assert [one.why for one in chosen.refused] == ["unknown engine; known: sglang, vllm"]


def test_at_most_64_servers_are_read() -> None:
    """The first MAX_SERVERS are read, and each further one is refused by name."""
    chosen = select_servers([listed(f"s{n}") for n in range(MAX_SERVERS + 3)], ())
    assert len(chosen.servers) == MAX_SERVERS == 64
    assert [one.name for one in chosen.refused] == ["s64", "s65", "s66"]
    assert {one.why for one in chosen.refused} == {"one process reads at most 64 servers; run another for the rest"}
