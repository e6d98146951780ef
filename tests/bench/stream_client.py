"""A cheap client of chat streams that records TTFT.

`python -m tests.bench.stream_client '[url, streams, requests, tokens, gap, watched]'` prints its figures as JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.bench.observed import waited_seconds

KEY = "sk-bench-0123456789abcdef0123456789abcdef"  # LiteLLM requires a long one
CONTENT = b'"content":'


@dataclass
class Seen:
    """In seconds: `ttfts` in the order in which requests ended, `gaps` between pieces of one response.

    `waited` is the CPU wait of the watched programs and of this one until the first token arrived.
    """

    ttfts: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


class Connection(asyncio.Protocol):
    """Sends the same request repeatedly while `more` returns true."""

    def __init__(
        self, wire: bytes, requests: int, seen: Seen, over: asyncio.Future[None], watched: Sequence[str]
    ) -> None:
        self._wire, self._left, self._seen, self._over, self._watched = wire, requests, seen, over, watched

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._left -= 1
        self._tail, self._events, self._first, self._last = b"", 0, 0.0, 0.0
        self._before = sum(map(waited_seconds, self._watched))
        self._began = time.perf_counter()
        self._transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        look = self._tail + data
        self._events += data.count(CONTENT) + (CONTENT in look and CONTENT not in data)
        if self._events >= 2 and not self._first:  # the first event has only the role
            self._first = time.perf_counter() - self._began
            self._seen.waited.append(sum(map(waited_seconds, self._watched)) - self._before)
        now = time.perf_counter()
        if self._first and self._last:
            self._seen.gaps.append(now - self._last)
        self._last = now
        self._tail = look[-len(CONTENT) + 1 :]
        if look.endswith(b"0\r\n\r\n"):
            self._seen.ttfts.append(self._first)
            self._seen.tokens += self._events - 1
            if self._left:
                self._send()
            else:
                self._over.set_result(None)
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(exc or ConnectionResetError("the answer broke off"))


async def load(url: str, streams: int, requests: int, tokens: int, gap: float, *, watched: Sequence[str] = ()) -> Seen:
    """`requests` sequential requests on each of that many connections."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps({"model": "m", "messages": [], "stream": True, "tokens": tokens, "gap": gap}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    wire = f"{head}Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    loop, seen = asyncio.get_running_loop(), Seen()
    began = time.perf_counter()
    overs = [loop.create_future() for _ in range(streams)]
    for over in overs:
        await loop.create_connection(lambda over=over: Connection(wire, requests, seen, over, watched), host, int(port))
        await asyncio.sleep(gap / streams)  # spreads the streams over the gap
    await asyncio.gather(*overs)
    seen.seconds = time.perf_counter() - began
    return seen


if __name__ == "__main__":
    gc.disable()
    *asked, who = json.loads(sys.argv[1])
    print(json.dumps(asdict(asyncio.run(load(*asked, watched=who)))))
