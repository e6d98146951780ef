"""Scrapes an inference server's metrics page over HTTP and reads it through an engine profile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace

import aiohttp
from yarl import URL

from goodwatt.derive.counters import has_restarted
from goodwatt.engines.detection import detect_by_status, detect_engine
from goodwatt.engines.page.reader import read_page
from goodwatt.engines.page.samples import PageSamples
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineReading, Role
from goodwatt.model.source import Reason, SourceUnavailable, server_source
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.exposition import ExpositionParser, labelled_names, metric_names
from goodwatt.sources.engine.model_name import ModelName
from goodwatt.sources.engine.page_warnings import PageWarnings
from goodwatt.sources.engine.read_pace import MAX_READS_PER_TICK, ReadPace
from goodwatt.sources.engine.reads_between import ReadsBetween
from goodwatt.sources.http.credentials import ClientCredentials
from goodwatt.sources.http.errors import (
    access_denied,
    not_a_metrics_page,
    redacted_url,
    source_unavailable,
    timed_out,
    unexpected_status,
)
from goodwatt.sources.http.fetch import HttpAnswer, HttpTarget, http_get, new_http_session

DEFAULT_METRICS_PATH = "/metrics"
_PARSE_IN_THREAD_CHARACTERS = 1024 * 1024  # twelve times the largest page known
_MAX_MODELS = 256  # each becomes an account in the ledger and series on /metrics
_JSON_BACKOFF_SECONDS = 60.0  # TensorRT-LLM's /metrics is a queue: each read takes entries from another reader
_GRACE_SECONDS = 0.5  # so that this source's timeout, whose message has the URL, fires before the sampler's


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape: the profile in use, the page's text, its parsed samples and the reading."""

    profile: Profile
    body: str
    page: PageSamples
    reading: EngineReading


class EngineSource:
    """One server. Detects the engine on the first good page, and again when the page no longer matches."""

    def __init__(
        self,
        section: ServerSection,
        profiles: Mapping[str, Profile],
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        simulated: bool = False,
        servers: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.id = server_source(section.name)
        self.name = self.id.label
        self.deadline_seconds = section.timeout_seconds + _GRACE_SECONDS
        self._section = section
        self._candidates = profiles if section.engine == "auto" else {section.engine: profiles[section.engine]}
        self._url = _address(section, self._candidates)
        self._other_paths = _other_paths(section, self._candidates)
        self._credentials = ClientCredentials(self.name, section)
        self._role = Role(section.role)
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._cpu_seconds = 0.0  # of parsing and reading the last page
        self._pace = ReadPace(section.read_interval_seconds, servers)
        self._between = ReadsBetween(self._read_between, sleep)
        self._earlier: tuple[EngineReading, ...] = ()
        self._simulated = simulated
        self._session: aiohttp.ClientSession | None = None
        self._profile: Profile | None = None
        self._parser = ExpositionParser(frozenset())
        self._previous: EngineReading | None = None
        self._model = ModelName(self._url, self._get)
        self._warnings = PageWarnings(self.name)
        self._parsing: asyncio.Future[tuple[Profile, PageSamples]] | None = None
        self._backoff: tuple[float, SourceUnavailable] | None = None  # repeat this error until then

    async def read(self) -> EngineReading:
        """Scrape the server, and add the pages read since the last call as `earlier`.

        Raises SourceUnavailable with a line that says what to do; the pages then wait for the next good read.
        """
        self._earlier = (*self._earlier, *await self._between.take())[-MAX_READS_PER_TICK:]
        page = (await self.scrape()).reading
        reading, self._earlier = replace(page, earlier=self._earlier), ()
        self._between.start(*self._pace.reads_until_next_tick(page, self._cpu_seconds))
        return reading

    async def _read_between(self) -> EngineReading:
        return (await self.scrape()).reading

    async def scrape(self) -> Scrape:
        """The reading together with the page it came from, for `goodwatt engines`. Raises as read does."""
        if self._backoff is not None and self._clock() < self._backoff[0]:
            raise SourceUnavailable(self._backoff[1].reason, self._backoff[1].detail)
        deadline = asyncio.get_running_loop().time() + self._section.timeout_seconds
        try:
            answer = await self._page(deadline)
            profile, page = await self._parsed_answer(answer, deadline)
        except SourceUnavailable:
            self._model.forget()
            raise
        reading = await self._reading(profile, page, answer.at_seconds, deadline)
        self._refuse_too_many_models(reading)
        self._warnings.check(redacted_url(self._url), profile, page, self._previous, reading)
        self._previous = reading
        return Scrape(profile, answer.body, page, reading)

    async def _page(self, deadline: float) -> HttpAnswer:
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._get(self._url)
                if answer.status == 404:
                    answer = await self._at_other_paths(answer)
        except TimeoutError:
            raise timed_out(self.name, self._url, self._section.timeout_seconds) from None
        self._refuse_bad_status(answer)
        return answer

    async def _at_other_paths(self, missing: HttpAnswer) -> HttpAnswer:
        """Look for the page where other engines have it, and stay there; `missing` if it is nowhere."""
        for path in self._other_paths:
            url = self._url.with_path(path, keep_query=True)
            answer = await self._get(url)
            if answer.status == 200:
                self._url, self._other_paths = url, ()
                return answer
        return missing

    async def _reading(self, profile: Profile, page: PageSamples, at_seconds: float, deadline: float) -> EngineReading:
        """Read the page. After a restart its counts may belong to another model, so the name is requested again."""
        name = await self._model.at(profile.model_name_from, deadline)
        reading = self._read_as(name, profile, page, at_seconds)
        if self._previous is None or not has_restarted(self._previous, reading):
            return reading
        self._model.forget()
        renamed = await self._model.at(profile.model_name_from, deadline)
        return reading if renamed == name else self._read_as(renamed, profile, page, at_seconds)

    def _read_as(self, model: str | None, profile: Profile, page: PageSamples, at_seconds: float) -> EngineReading:
        began = self._cpu_clock()
        reading = read_page(
            profile,
            page,
            server=self._section.name,
            at_seconds=at_seconds,
            default_model=model,
            previous=self._previous,
            simulated=self._simulated,
        )
        self._cpu_seconds += self._cpu_clock() - began
        return reading if self._role is Role.ANY else replace(reading, role=self._role)

    async def aclose(self) -> None:
        """Stop reading and close the HTTP session."""
        try:
            await self._between.take()
        finally:
            if self._session is not None:
                await self._session.close()

    async def _get(self, url: URL) -> HttpAnswer:
        if self._session is None:
            self._session = new_http_session()
        tls = self._credentials.context() if url.scheme == "https" else None
        target = HttpTarget(self.name, url, self._credentials.headers(), tls, self._section.tls.server_name)
        return await http_get(self._session, target, self._clock)

    def _refuse_bad_status(self, answer: HttpAnswer) -> None:
        if answer.status == 200:
            return
        found = detect_by_status(self._candidates, answer.status, answer.body)
        if found is not None and found.reason is Reason.METRICS_OFF:
            raise source_unavailable(self.name, Reason.METRICS_OFF, found.because)
        if answer.status in (401, 403):
            section = self._section
            logged_in = section.bearer_token_file is not None or section.basic_auth is not None
            raise access_denied(self.name, self._url, answer.status, logged_in)
        raise unexpected_status(self.name, self._url, answer.status, found.because if found else "")

    async def _parsed_answer(self, answer: HttpAnswer, deadline: float) -> tuple[Profile, PageSamples]:
        """Parse a huge page in a thread, so that it cannot delay other sources past their deadlines.

        A read between two ticks may have left one that is still being parsed; a tick's own read waits for it.
        """
        if self._parsing is not None and not self._parsing.done():
            await asyncio.wait((self._parsing,), timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if self._parsing is not None and not self._parsing.done():
            detail = f"{redacted_url(self._url)}: the previous page is still being parsed; is this the metrics page?"
            raise source_unavailable(self.name, Reason.TOO_LARGE, detail)
        if len(answer.body) < _PARSE_IN_THREAD_CHARACTERS:
            return self._parse(answer)
        self._parsing = asyncio.ensure_future(asyncio.to_thread(self._parse, answer))
        self._parsing.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._parsing)

    def _parse(self, answer: HttpAnswer) -> tuple[Profile, PageSamples]:
        """Parse the page, detecting the engine if necessary, and measure what that costs."""
        began = self._cpu_clock()
        parsed = self._parse_known_or_detected(answer)
        self._cpu_seconds = self._cpu_clock() - began
        return parsed

    def _parse_known_or_detected(self, answer: HttpAnswer) -> tuple[Profile, PageSamples]:
        page = self._parser.parse(answer.body)
        if self._profile is not None and page.samples:
            return self._profile, page
        names = metric_names(answer.body)
        if not names:
            raise self._no_metrics(answer)
        found = detect_engine(self._candidates, names | labelled_names(answer.body))
        if found.engine is None:
            raise source_unavailable(self.name, found.reason or Reason.UNKNOWN_ENGINE, found.because)
        self._profile = self._candidates[found.engine]
        self._parser = ExpositionParser(self._profile.all_sample_names())
        return self._profile, self._parser.parse(answer.body)

    def _refuse_too_many_models(self, reading: EngineReading) -> None:
        models = {series.model for page in (reading.counters, reading.histograms) for series in page}
        models |= {model for _, model in reading.gauges}
        if len(models) > _MAX_MODELS:
            where = redacted_url(self._url)
            detail = f"{where} has {len(models)} models, above the limit of {_MAX_MODELS}; is it one server's page?"
            raise source_unavailable(self.name, Reason.TOO_LARGE, detail)

    def _no_metrics(self, answer: HttpAnswer) -> SourceUnavailable:
        why = not_a_metrics_page(self.name, self._url, answer.body, answer.content_type)
        if answer.body.lstrip()[:1] in ("{", "["):
            self._backoff = (self._clock() + _JSON_BACKOFF_SECONDS, why)
        return why


def _retrieve_exception(reading: asyncio.Future[tuple[Profile, PageSamples]]) -> None:
    """Mark the exception as retrieved: the read that started the parsing may have timed out."""
    if not reading.cancelled():
        reading.exception()


def _address(section: ServerSection, candidates: Mapping[str, Profile]) -> URL:
    """The configured URL, with the engine's default metrics path if it has no path."""
    assert section.url is not None
    url = URL(section.url)
    if url.path not in ("", "/"):
        return url
    path = DEFAULT_METRICS_PATH if section.engine == "auto" else candidates[section.engine].path
    return url.with_path(path, keep_query=True)


def _other_paths(section: ServerSection, candidates: Mapping[str, Profile]) -> tuple[str, ...]:
    """Where to look if a URL without a path has no page at the default one and the engine is unknown."""
    assert section.url is not None
    if section.engine != "auto" or URL(section.url).path not in ("", "/"):
        return ()
    return tuple(sorted({profile.path for profile in candidates.values()} - {DEFAULT_METRICS_PATH}))
