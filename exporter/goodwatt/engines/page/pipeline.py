"""Requests of a pipeline: a front model and the steps behind it each count them, and goodwatt counts them once.

Triton's TensorRT-LLM backend may leave the count of its generating model at 0 while the ensemble in front of it counts.
A counter that stands at 0 beside one that moves is not "no requests", so the larger of the two counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from goodwatt.model.engine import SeriesId, Signal


@dataclass(frozen=True, slots=True)
class CountedOnce:
    """A page's counters without those of front models.

    `raised` are series that took over requests from a front. `fronts` are the front's own series, with those of
    earlier pages.
    """

    counters: Mapping[SeriesId, float]
    raised: frozenset[SeriesId] = frozenset()
    fronts: frozenset[SeriesId] = frozenset()


def count_once(
    counters: Mapping[SeriesId, float],
    front_models: Collection[str],
    fronts_before: frozenset[SeriesId],
    before: Mapping[SeriesId, float],
) -> CountedOnce:
    """Give requests that a front model finished and the only other model did not count to that other model.

    Without another model the front keeps its own; with several they cannot be assigned, and each keeps what it
    counted. `before` has the last values of this run: a series that is missing from this page still stands at its own.
    """
    if not front_models:
        return CountedOnce(counters)
    in_front = {key: value for key, value in counters.items() if _is_request(key) and key.model in front_models}
    if fronts_before == in_front.keys() == frozenset():
        return CountedOnce(counters)
    counted = {key: value for key, value in counters.items() if key not in in_front}
    behind = [key for key in counted if _is_request(key)]
    if not behind:
        return CountedOnce(counted, fronts=fronts_before) if fronts_before else CountedOnce(counters)
    if len({key.model for key in behind}) > 1:
        return CountedOnce(counted)
    missing = fronts_before - in_front.keys()
    raised = {key: before.get(key, 0.0) for key in behind if any(key.outcome is one.outcome for one in missing)}
    held = {key: value for key, value in before.items() if key.model == behind[0].model and _is_request(key)}
    for key, entered in _by_outcome(in_front).items():
        own = {other: value for other, value in (held | counted).items() if _same(other, key, behind[0].model)}
        target = next((other for other in own if other in counted), key._replace(model=behind[0].model))
        raised[target] = max(raised.get(target, 0.0), counted.get(target, 0.0) + entered - sum(own.values()))
    higher = {key: value for key, value in raised.items() if value > counted.get(key, 0.0)}
    return CountedOnce(counted | higher, frozenset(higher), fronts_before | in_front.keys())


def _same(key: SeriesId, front: SeriesId, model: str) -> bool:
    return _is_request(key) and key.outcome is front.outcome and key.model == model


def _is_request(key: SeriesId) -> bool:
    return key.signal is Signal.REQUESTS


def _by_outcome(counters: Mapping[SeriesId, float]) -> dict[SeriesId, float]:
    """The sum for each outcome, under the first of its series."""
    sums: dict[SeriesId, float] = {}
    for key, value in counters.items():
        first = next((other for other in sums if other.outcome is key.outcome), key)
        sums[first] = sums.get(first, 0.0) + value
    return sums
