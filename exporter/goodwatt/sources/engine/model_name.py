"""The model name from a server's own API, for pages without a model label."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from yarl import URL

from goodwatt.model.source import SourceUnavailable
from goodwatt.sources.http.fetch import HttpAnswer

_ATTEMPTS = 3
_MAX_CHARACTERS = 256


class ModelName:
    """The first model of an OpenAI-style model list, requested once and again after `forget`.

    A router selects one model's metrics by the `model` parameter of `url`; that name is never replaced.
    """

    def __init__(self, url: URL, get: Callable[[URL], Awaitable[HttpAnswer]]) -> None:
        self._url = url
        self._get = get
        self._fixed: str | None = url.query.get("model")
        self._known: str | None = self._fixed
        self._attempts = 0
        self._is_current = self._fixed is not None

    def forget(self) -> None:
        """Request the name again at the next page: another model may answer on this port now."""
        self._attempts, self._is_current = 0, self._fixed is not None

    async def at(self, path: str | None, deadline: float) -> str | None:
        """Return the name, requesting `path` if needed; None if it is unknown or `path` is None.

        After three failures the last known name is kept. `deadline` is in seconds of the event loop's clock.
        """
        if path is None or self._is_current or self._attempts >= _ATTEMPTS:
            return self._known
        self._attempts += 1
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._get(self._url.origin().with_path(path))
        except (TimeoutError, SourceUnavailable):
            return self._known
        name = first_model_id(answer.body) if answer.status == 200 else None
        self._known, self._is_current = name or self._known, name is not None
        return self._known


def first_model_id(body: str) -> str | None:
    """The first id in an OpenAI-style model list; None for anything else."""
    try:
        name = json.loads(body)["data"][0]["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    good = isinstance(name, str) and name.isprintable() and 0 < len(name) <= _MAX_CHARACTERS
    return name if good else None
