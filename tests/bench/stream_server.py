"""A cheap inference server: `python -m tests.bench.stream_server`. Prints its address.

Every POST gets a chat stream of TOKENS events and a usage, one event every GAP seconds, as its JSON body requests:
`{"model": "m", "tokens": 50, "gap": 0.01}`; with a gap of 0, without pauses. It exits when
standard input closes.
"""

import asyncio
import json
import sys
import threading
from functools import lru_cache

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = {"role": "assistant", "content": ""}


def _event(message: object) -> bytes:
    text = b"data: " + (json.dumps(message).encode() if isinstance(message, dict) else b"[DONE]") + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(text), text)


def _part(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    same = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    return _event({**same, "choices": [choice]})


TOKEN = _part({"content": " token"})


@lru_cache
def last(tokens: int) -> bytes:
    usage = {"prompt_tokens": 10, "total_tokens": 10 + tokens, "completion_tokens": tokens}
    return _part({}, "stop") + _event({"model": "m", "choices": [], "usage": usage}) + _event(None) + b"0\r\n\r\n"


class Stream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or b"0"):
            self._held = b""
            asked = json.loads(body)
            self._begin(asked["tokens"], asked["gap"])

    def _begin(self, tokens: int, gap: float) -> None:
        self._transport.write(HEAD + _part(ROLE))
        self._transport.write(TOKEN)
        self._sent, self._tokens, self._gap = 1, tokens, gap
        self._next_at = asyncio.get_running_loop().time()
        self._go_on()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        if self._sent == self._tokens:
            self._transport.write(last(self._tokens))
            return
        self._next_at += self._gap
        self._timer = loop.call_at(self._next_at, self._token) if self._gap else None
        if not self._gap:
            loop.call_soon(self._token)

    def _token(self) -> None:
        self._transport.write(TOKEN)
        self._sent += 1
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def main() -> None:
    """Serve until standard input ends."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(Stream, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)

    def listen_to_stdin() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen_to_stdin, daemon=True).start()
    await over.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
