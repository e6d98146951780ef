"""Scrapes an inference server's metrics page over HTTP and reads it through an engine profile."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from goodwatt.derive.counters import has_restarted
from goodwatt.engines.detection import detect_by_status, detect_engine
from goodwatt.engines.page.reader import read_page
from goodwatt.engines.page.samples import PageSamples
from goodwatt.engines.page.series import unknown_outcomes
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineReading
from goodwatt.model.source import Reason, SourceUnavailable, server_source
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.exposition import ExpositionParser, labelled_names, metric_names
from goodwatt.sources.engine.model_name import ModelName
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

log = logging.getLogger(__name__)

DEFAULT_METRICS_PATH = "/metrics"
_PARSE_IN_THREAD_CHARACTERS = 1024 * 1024  # twelve times the largest page known
_MAX_LOGGED_OUTCOMES = 20  # a page may invent a new one at every scrape
_MISCOUNTED_SUCCESSES = 10  # fewer may come from a page that was read in the middle of an update
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
        simulated: bool = False,
    ) -> None:
        self.id = server_source(section.name)
        self.name = self.id.label
        self.deadline_seconds = section.timeout_seconds + _GRACE_SECONDS
        self._section = section
        self._candidates = profiles if section.engine == "auto" else {section.engine: profiles[section.engine]}
        self._url = _address(section, self._candidates)
        self._other_paths = _other_paths(section, self._candidates)
        self._credentials = ClientCredentials(self.name, section)
        self._clock = clock
        self._simulated = simulated
        self._session: aiohttp.ClientSession | None = None
        self._profile: Profile | None = None
        self._parser = ExpositionParser(frozenset())
        self._previous: EngineReading | None = None
        self._model = ModelName(self._url, self._get)
        self._logged_outcomes: set[str] = set()
        self._parsing: asyncio.Future[tuple[Profile, PageSamples]] | None = None
        self._damaged = False
        self._logged_processes = self._logged_miscount = False
        self._backoff: tuple[float, SourceUnavailable] | None = None  # repeat this error until then

    async def read(self) -> EngineReading:
        """Scrape the server. Raises SourceUnavailable with a line that says what to do."""
        return (await self.scrape()).reading

    async def scrape(self) -> Scrape:
        """The reading together with the page it came from, for `goodwatt engines`. Raises as read does."""
        if self._backoff is not None and self._clock() < self._backoff[0]:
            raise SourceUnavailable(self._backoff[1].reason, self._backoff[1].detail)
        deadline = asyncio.get_running_loop().time() + self._section.timeout_seconds
        try:
            answer = await self._page(deadline)
            profile, page = await self._parsed_answer(answer)
        except SourceUnavailable:
            self._model.forget()
            raise
        reading = await self._reading(profile, page, answer.at_seconds, deadline)
        self._refuse_too_many_models(reading)
        self._log_several_processes(reading)
        self._log_miscount(profile, reading)
        self._previous = reading
        self._log_unknown_outcomes(profile, page)
        self._log_damage(page, reading.dropped_lines)
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
        return read_page(
            profile,
            page,
            server=self._section.name,
            at_seconds=at_seconds,
            default_model=model,
            previous=self._previous,
            simulated=self._simulated,
        )

    async def aclose(self) -> None:
        """Close the HTTP session."""
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

    async def _parsed_answer(self, answer: HttpAnswer) -> tuple[Profile, PageSamples]:
        """Parse a huge page in a thread, so that it cannot delay other sources past their deadlines."""
        if self._parsing is not None and not self._parsing.done():
            detail = f"{redacted_url(self._url)}: the previous page is still being parsed; is this the metrics page?"
            raise source_unavailable(self.name, Reason.TOO_LARGE, detail)
        if len(answer.body) < _PARSE_IN_THREAD_CHARACTERS:
            return self._parse(answer)
        self._parsing = asyncio.ensure_future(asyncio.to_thread(self._parse, answer))
        self._parsing.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._parsing)

    def _parse(self, answer: HttpAnswer) -> tuple[Profile, PageSamples]:
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

    def _log_unknown_outcomes(self, profile: Profile, page: PageSamples) -> None:
        for outcome in unknown_outcomes(profile, page):
            if outcome not in self._logged_outcomes and len(self._logged_outcomes) < _MAX_LOGGED_OUTCOMES:
                self._logged_outcomes.add(outcome)
                log.warning(
                    "%s: requests finish with %.40r, which profile %s does not map", self.name, outcome, profile.name
                )

    def _log_several_processes(self, reading: EngineReading) -> None:
        before = None if self._previous is None else self._previous.started_unix_seconds
        now = reading.started_unix_seconds
        if before is not None and now is not None and now < before and not self._logged_processes:
            self._logged_processes = True
            log.warning(
                "%s: several processes answer at %s, so their counters are mixed; if this is a load balancer, "
                "configure each engine's own address as a server",
                self.name,
                redacted_url(self._url),
            )

    def _log_miscount(self, profile: Profile, reading: EngineReading) -> None:
        timed = profile.traits.successes_timed
        if timed is not None and reading.miscounted_successes >= _MISCOUNTED_SUCCESSES and not self._logged_miscount:
            self._logged_miscount = True
            log.warning(
                "%s: the page counts %.0f requests as aborted that its %s histogram observed as successes; they count "
                "as successes; %s does this with several tokenizer workers",
                self.name,
                reading.miscounted_successes,
                timed,
                profile.title,
            )

    def _log_damage(self, page: PageSamples, dropped: int) -> None:
        if dropped and not self._damaged:
            log.warning(
                "%s: ignored %d lines of %s that are malformed, repeated, negative, NaN or huge%s; their series keep "
                "their last values; check what writes this page",
                self.name,
                dropped,
                redacted_url(self._url),
                f", in {', '.join(sorted(page.damaged)[:3])}" if page.damaged else "",
            )
        self._damaged = dropped > 0


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
