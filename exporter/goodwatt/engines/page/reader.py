"""Turns a parsed page and a profile into an EngineReading. Pure: the same inputs give the same reading."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from goodwatt.engines.page import continuity
from goodwatt.engines.page.buckets import histogram_from_buckets, upper_bound
from goodwatt.engines.page.pipeline import count_once
from goodwatt.engines.page.samples import PageSamples
from goodwatt.engines.page.series import MatchedSample, matching_samples, names_models
from goodwatt.engines.page.success_floor import miscounted_successes, recount
from goodwatt.engines.profile import Alternative, GpuEnergy, Profile, Term, sample_names
from goodwatt.model.engine import COUNTERS, HISTOGRAMS, Absent, EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram


@dataclass(slots=True)
class _Draft:
    """Collects the canonical values of one page."""

    profile: Profile
    page: PageSamples
    model: str
    previous: EngineReading | None
    counters: dict[SeriesId, float] = field(default_factory=dict)
    gauges: dict[tuple[Signal, str], float] = field(default_factory=dict)
    histograms: dict[SeriesId, Histogram] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)  # metrics rejected as a whole
    differences: set[SeriesId] = field(default_factory=set)  # differences of two sums, which one missing series changes
    exact_differences: dict[SeriesId, float] = field(default_factory=dict)  # as on this page; they may fall
    dropped: int = 0

    def rows(self, metric: str, term: Term) -> list[MatchedSample]:
        return matching_samples(self.page, metric, term, self.profile.labels, self.model)

    def before(self, key: SeriesId) -> float:
        """The last known value of a counter since the process started, or 0."""
        known = self.previous
        return 0.0 if known is None else known.counters.get(key, known.absent.counters.get(key, 0.0))

    def known(self) -> Mapping[SeriesId, float]:
        """The last known values of all counters since the process started."""
        return {} if self.previous is None else {**self.previous.absent.counters, **self.previous.counters}

    def lost_its_sum(self, key: SeriesId, now: Histogram) -> bool:
        """Whether a histogram had a sum on the previous page and has none now."""
        before = self.previous.histograms.get(key) if self.previous else None
        return before is not None and before.sum is not None and now.sum is None


def read_page(
    profile: Profile,
    page: PageSamples,
    *,
    server: str,
    at_seconds: float,
    default_model: str | None = None,
    previous: EngineReading | None = None,
    simulated: bool = False,
) -> EngineReading:
    """The page in canonical signals. A signal it lacks is absent, never 0.

    `default_model` is the model of series without a model label. `previous` is the server's last reading: a rejected
    series keeps its value from there, and a missing one is remembered as absent.
    """
    started = _started(profile, page)
    previous = continuity.comparable_reading(previous, profile.name, started)
    draft = _Draft(profile, page, default_model or profile.default_model, previous, refused=set(page.damaged))
    chosen = {signal: _first_present(page, signal, offered) for signal, offered in profile.signals.items()}
    for signal, alternative in chosen.items():
        if alternative is not None:
            _read_signal(draft, signal, alternative)
    fronts = _count_pipelines_once(draft)
    miscounted = _recount_successes(draft)
    gone, alternatives = _absent(draft), _alternatives(draft, chosen)
    return EngineReading(
        server=server,
        at_seconds=at_seconds,
        engine=profile.name,
        traits=profile.engine_traits(
            prompt_includes_cached=not any(a.excludes_cached for a in chosen.values() if a),
            names_models=names_models(page, profile.labels),
        ),
        counters=_held(draft, draft.counters, previous.counters if previous else {}),
        gauges=draft.gauges,
        histograms=_held(draft, draft.histograms, previous.histograms if previous else {}),
        engine_version=_version(profile, page),
        started_unix_seconds=started if started is not None or previous is None else previous.started_unix_seconds,
        gpu_joules=_gpu_joules(profile.gpu_energy, page),
        dropped_lines=page.dropped_lines + draft.dropped,
        miscounted_successes=miscounted,
        pipeline_fronts=fronts,
        simulated=simulated,
        unread=frozenset(signal for signal, one in chosen.items() if page.cut or _is_refused(draft, signal, one)),
        absent=gone or Absent(),
        alternatives=alternatives,
        switched=frozenset()
        if gone is None or previous is None
        else continuity.switched_signals(previous, alternatives),
    )


def _absent(draft: _Draft) -> Absent | None:
    """The series missing from this page; None if the engine restarted or this is the first page.

    Held values and differences of sums are no evidence of a restart, since a missing series changes them. They keep
    their last value.
    """
    previous = draft.previous
    if previous is not None and continuity.has_every_series(previous, draft.counters, draft.histograms):
        return Absent()
    counted = {key: value for key, value in draft.counters.items() if key not in draft.differences}
    started = _started(draft.profile, draft.page)
    same_start = started is not None and previous is not None and started == previous.started_unix_seconds
    known = draft.page.cut or bool(draft.refused) or same_start
    if previous is None or not continuity.is_same_process(previous, counted, draft.histograms, known=known):
        return None
    gone = continuity.absent_series(previous, draft.counters, draft.histograms)
    if gone.counters or gone.histograms:
        draft.counters.update({key: max(draft.counters[key], draft.before(key)) for key in draft.differences})
    return gone


def _alternatives(draft: _Draft, chosen: Mapping[Signal, Alternative | None]) -> dict[Signal, int]:
    """The index of the alternative in use by signal, or the last one used."""
    read = dict(draft.previous.alternatives) if draft.previous else {}
    for signal, alternative in chosen.items():
        for index, one in enumerate(draft.profile.signals[signal]):
            if one is alternative:
                read[signal] = index
    return read


def _is_refused(draft: _Draft, signal: Signal, chosen: Alternative | None) -> bool:
    alternatives = draft.profile.signals[signal] if chosen is None else (chosen,)
    terms = (term for alternative in alternatives for term in alternative.sum)
    return any(not draft.refused.isdisjoint((term.metric, *sample_names(signal, term.metric))) for term in terms)


def _first_present(page: PageSamples, signal: Signal, alternatives: Iterable[Alternative]) -> Alternative | None:
    return next((one for one in alternatives if all(_present(page, signal, t) or t.optional for t in one.sum)), None)


def _present(page: PageSamples, signal: Signal, term: Term) -> bool:
    return any(page.has(name) for name in sample_names(signal, term.metric))


def _read_signal(draft: _Draft, signal: Signal, alternative: Alternative) -> None:
    for term in alternative.sum:
        if signal in HISTOGRAMS:
            _read_histogram(draft, signal, term)
        elif term.less is not None:
            _read_difference(draft, term, term.less)
        elif signal in COUNTERS:
            _read_counter(draft, signal, term)
        else:
            _read_gauge(draft, signal, term)


def _read_counter(draft: _Draft, signal: Signal, term: Term) -> None:
    for row in draft.rows(term.metric, term):
        key = SeriesId(
            signal=signal, model=row.model, series=_name(term.metric, row.series), outcome=_outcome(term, row)
        )
        draft.counters[key] = draft.counters.get(key, 0.0) + row.value * term.scale


def _outcome(term: Term, row: MatchedSample) -> Outcome | None:
    if term.outcome is None or isinstance(term.outcome, Outcome):
        return term.outcome
    return term.outcome.values.get(row.labels.get(term.outcome.label, ""), term.outcome.otherwise)


def _read_gauge(draft: _Draft, signal: Signal, term: Term) -> None:
    """Queues add up over replicas; for the KV cache the fullest replica counts, as it preempts first."""
    for row in draft.rows(term.metric, term):
        value, before = row.value * term.scale, draft.gauges.get((signal, row.model), 0.0)
        draft.gauges[signal, row.model] = max(before, value) if signal is Signal.KV_CACHE_USAGE else before + value


def _read_difference(draft: _Draft, term: Term, less: str) -> None:
    if draft.refused & {term.metric, less}:
        draft.refused.add(term.metric)
        return
    taken = _by_model(draft.rows(less, term))
    for model, whole in _by_model(draft.rows(term.metric, term)).items():
        key = SeriesId(signal=Signal.REQUESTS, model=model, series=term.metric, outcome=_single(term))
        before = draft.before(key)
        draft.differences.add(key)
        total, other = whole * term.scale, taken.get(model, 0.0) * term.scale
        draft.counters[key] = _difference(total, other, before)
        draft.exact_differences[key] = max(total - other, 0.0)


def _difference(whole: float, taken: float, before: float) -> float:
    """Never below `before`: `taken` may grow before `whole` does. Only a counter reset takes `whole` below it."""
    return max(whole - taken, before) if whole >= before else max(whole - taken, 0.0)


def _count_pipelines_once(draft: _Draft) -> frozenset[SeriesId]:
    """Merge a pipeline's requests. Returns its front models' own series."""
    before = draft.previous.pipeline_fronts if draft.previous else frozenset()
    found = count_once(draft.counters, draft.profile.pipeline_fronts, before, draft.known())
    draft.counters = dict(found.counters)
    draft.differences |= found.raised
    return found.fronts


def _recount_successes(draft: _Draft) -> float:
    """Correct successes that the page counts as cancelled. Returns how many."""
    counted = {**draft.counters, **draft.exact_differences}
    histograms = _held(draft, dict(draft.histograms), draft.previous.histograms if draft.previous else {})
    miscounted = miscounted_successes(counted, histograms, draft.profile.traits.successes_timed)
    for key, value in recount(counted, miscounted, draft.before).items():
        draft.counters[key] = max(value, draft.counters[key]) if key.outcome is Outcome.SUCCESS else value
        draft.differences.add(key)
    return sum(miscounted.values())


def _single(term: Term) -> Outcome | None:
    return term.outcome if isinstance(term.outcome, Outcome) else None


def _by_model(found: Iterable[MatchedSample]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in found:
        sums[row.model] = sums.get(row.model, 0.0) + row.value
    return sums


def _read_histogram(draft: _Draft, signal: Signal, term: Term) -> None:
    bucket, count, total = sample_names(signal, term.metric)
    if draft.refused & {bucket, count, total}:
        draft.refused.add(term.metric)
        return
    counts, totals = ({(row.model, row.series): row.value for row in draft.rows(name, term)} for name in (count, total))
    for (model, series), buckets in _buckets(draft, bucket, term).items():
        seconds = totals.get((model, series))
        scaled = None if seconds is None else seconds * term.scale
        key = SeriesId(signal=signal, model=model, series=_name(term.metric, series))
        histogram = None if buckets is None else histogram_from_buckets(buckets, counts.get((model, series)), scaled)
        if histogram is None or draft.lost_its_sum(key, histogram):
            draft.refused.add(term.metric)
            draft.dropped += 1
        else:
            draft.histograms[key] = histogram


def _buckets(draft: _Draft, metric: str, term: Term) -> Mapping[tuple[str, str], dict[float, float] | None]:
    """Cumulative counts by upper bound for each series; None if one of its bounds is invalid."""
    found: dict[tuple[str, str], dict[float, float] | None] = {}
    for row in draft.rows(metric, term):
        edge = upper_bound(row.labels.get("le"))
        buckets = found.setdefault((row.model, row.series), {})
        if edge is None:
            found[row.model, row.series] = None
        elif buckets is not None:
            buckets.setdefault(_scaled(edge, term.scale), row.value)
    return found


def _scaled(edge: float, scale: float) -> float:
    """Round, so that an edge of 300 ms equals a configured threshold of 0.3 s exactly."""
    return edge if scale == 1.0 else float(f"{edge * scale:.12g}")


def _name(metric: str, series: str) -> str:
    return f"{metric}{{{series}}}" if series else metric


_Value = TypeVar("_Value", float, Histogram)


def _held(draft: _Draft, now: dict[SeriesId, _Value], before: Mapping[SeriesId, _Value]) -> dict[SeriesId, _Value]:
    for key, value in before.items():
        if key not in now and key.series.partition("{")[0] in draft.refused:
            now[key] = value
    return now


def _version(profile: Profile, page: PageSamples) -> str | None:
    if profile.version_label is None:
        return None
    metric, label = profile.version_label
    return next((value for pairs in page.samples.get(metric, {}) for name, value in pairs if name == label), None)


def _started(profile: Profile, page: PageSamples) -> float | None:
    found = {} if profile.start_time is None else page.samples.get(profile.start_time, {})
    return next(iter(found.values()), None)


def _gpu_joules(energy: GpuEnergy | None, page: PageSamples) -> dict[str, float]:
    if energy is None:
        return {}
    by_uuid = ((dict(labels).get(energy.uuid), value) for labels, value in page.samples.get(energy.metric, {}).items())
    return {uuid: value * energy.scale for uuid, value in by_uuid if uuid}
