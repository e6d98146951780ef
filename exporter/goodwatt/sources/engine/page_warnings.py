"""Warnings about what a server's page says of itself, each logged once."""

import logging

from goodwatt.engines.page.samples import PageSamples
from goodwatt.engines.page.series import transferred_prompts, unknown_outcomes
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineReading, Role

log = logging.getLogger(__name__)

_MAX_LOGGED_OUTCOMES = 20  # a page may invent a new one at every scrape
_MISCOUNTED_SUCCESSES = 10  # fewer may come from a page that was read in the middle of an update


class PageWarnings:
    """Remembers what was logged about one source's pages. `name` begins each line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logged_outcomes: set[str] = set()
        self._damaged = False
        self._transferred: float | None = None
        self._logged_processes = self._logged_miscount = self._logged_pair = False

    def check(
        self, where: str, profile: Profile, page: PageSamples, previous: EngineReading | None, reading: EngineReading
    ) -> None:
        """Log what is new on this page. `where` is its URL without secrets; `previous` is the reading before it."""
        self._several_processes(where, previous, reading)
        self._miscount(profile, reading)
        self._half_of_a_pair(reading, transferred_prompts(profile, page))
        self._unknown_outcomes(profile, page)
        self._damage(where, page, reading.dropped_lines)

    def _half_of_a_pair(self, reading: EngineReading, transferred: float) -> None:
        before, self._transferred = self._transferred, transferred
        if reading.role is Role.ANY and before is not None and transferred > before and not self._logged_pair:
            self._logged_pair = True
            log.warning(
                "%s: another server computes its prompts, so requests, prompts and first tokens count on both; set "
                "role: decode on this server and role: prefill on the other",
                self._name,
            )

    def _unknown_outcomes(self, profile: Profile, page: PageSamples) -> None:
        for outcome in unknown_outcomes(profile, page):
            if outcome not in self._logged_outcomes and len(self._logged_outcomes) < _MAX_LOGGED_OUTCOMES:
                self._logged_outcomes.add(outcome)
                log.warning(
                    "%s: requests finish with %.40r, which profile %s does not map", self._name, outcome, profile.name
                )

    def _several_processes(self, where: str, previous: EngineReading | None, reading: EngineReading) -> None:
        before = None if previous is None else previous.started_unix_seconds
        now = reading.started_unix_seconds
        if before is not None and now is not None and now < before and not self._logged_processes:
            self._logged_processes = True
            log.warning(
                "%s: several processes answer at %s, so their counters are mixed; if this is a load balancer, "
                "configure each engine's own address as a server",
                self._name,
                where,
            )

    def _miscount(self, profile: Profile, reading: EngineReading) -> None:
        timed = profile.traits.successes_timed
        if timed is not None and reading.miscounted_successes >= _MISCOUNTED_SUCCESSES and not self._logged_miscount:
            self._logged_miscount = True
            log.warning(
                "%s: the page counts %.0f requests as aborted that its %s histogram observed as successes; they count "
                "as successes; %s does this with several tokenizer workers",
                self._name,
                reading.miscounted_successes,
                timed,
                profile.title,
            )

    def _damage(self, where: str, page: PageSamples, dropped: int) -> None:
        if dropped and not self._damaged:
            log.warning(
                "%s: ignored %d lines of %s that are malformed, repeated, negative, NaN or huge%s; their series keep "
                "their last values; check what writes this page",
                self._name,
                dropped,
                where,
                f", in {', '.join(sorted(page.damaged)[:3])}" if page.damaged else "",
            )
        self._damaged = dropped > 0
