"""Simulated engines in a thread of the test process, for tests that run goodwatt in a separate process."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from goodwatt.demo.defaults import CHAT
from goodwatt.demo.demo import Demo


class EngineThread:
    """One simulated vLLM per name, each on a separate loopback port."""

    def __init__(self, names: Sequence[str], model: str = CHAT.model) -> None:
        self.demo = Demo([replace(CHAT, name=name, model=model) for name in names])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "EngineThread":
        self._thread.start()
        self._call(self.demo.start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._call(self.demo.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, name: str) -> str:
        return next(server.url for server in self.demo.servers if server.name == name)

    def break_(self, name: str, status: int | None) -> None:
        """Respond to every request with this status; None restores normal service."""
        self.demo.faults(name).http_status = status

    def _call(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
