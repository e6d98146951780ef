"""Corrects requests that a page counts as cancelled although a histogram of successes has observed them.

SGLang with several tokenizer workers counts nearly every success as aborted, too. A histogram that observes successful
requests only then proves how many there were at least.
"""

from collections.abc import Callable, Mapping

from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram


def miscounted_successes(
    counters: Mapping[SeriesId, float], histograms: Mapping[SeriesId, Histogram], successes_timed: Signal | None
) -> dict[str, float]:
    """By model, how many more successes the histogram `successes_timed` has observed than the page counts.

    Without such a histogram (None) the result is empty. Models without a
    counter of successes are absent: there the E2E histogram stands in for it.
    """
    succeeded: dict[str, float] = {}
    timed: dict[str, float] = {}
    for series, value in counters.items():
        if series.signal is Signal.REQUESTS and series.outcome is Outcome.SUCCESS:
            succeeded[series.model] = succeeded.get(series.model, 0.0) + value
    for series, histogram in histograms.items():
        if series.signal is successes_timed:
            timed[series.model] = timed.get(series.model, 0.0) + histogram.count
    more = {model: timed.get(model, 0.0) - count for model, count in succeeded.items()}
    return {model: value for model, value in more.items() if value > 0}


def recount(
    counters: Mapping[SeriesId, float], miscounted: Mapping[str, float], before: Callable[[SeriesId], float]
) -> dict[SeriesId, float]:
    """Return the corrected counters: successes that are missing are added, and taken from the cancelled requests.

    No cancelled count falls below `before`, its last value: that would look like a restart.
    """
    left, taken, corrected = dict(miscounted), dict(miscounted), dict[SeriesId, float]()
    for series, value in counters.items():
        if series.signal is Signal.REQUESTS and series.outcome is Outcome.SUCCESS and left.get(series.model):
            corrected[series] = value + left.pop(series.model)
        elif series.signal is Signal.REQUESTS and series.outcome is Outcome.CANCELLED and taken.get(series.model):
            less = min(value, taken[series.model])
            taken[series.model] -= less
            corrected[series] = max(value - less, min(before(series), value))
    return corrected
