"""Selects the series of a metric that count and assigns them to models: filters, ranks and replicas."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from goodwatt.engines.page.samples import LabelPairs, PageSamples
from goodwatt.engines.profile import LabelNames, Profile, Term
from goodwatt.model.engine import Outcome, Signal


@dataclass(frozen=True, slots=True)
class MatchedSample:
    """One counted sample. `series` identifies the replica and split; `labels` are all of its labels."""

    model: str
    series: str
    labels: Mapping[str, str]
    value: float


def matching_samples(
    page: PageSamples, metric: str, term: Term, names: LabelNames, default_model: str
) -> list[MatchedSample]:
    """The samples of `metric` that pass the term's filters, one rank per replica. Values are unscaled."""
    kept = [
        (labels, value) for pairs, value in page.samples.get(metric, {}).items() if _passes(labels := dict(pairs), term)
    ]
    return [
        MatchedSample(_model(labels, names, default_model), _series(labels, names), labels, value)
        for labels, value in _lowest_ranks(kept, names)
    ]


def names_models(page: PageSamples, names: LabelNames) -> bool:
    """Whether any sample has a label with its model's name."""
    every_label = (label for series in page.samples.values() for labels in series for label in labels)
    return any(name in names.model and value for name, value in every_label)


def _passes(labels: Mapping[str, str], term: Term) -> bool:
    return all(labels.get(name) in values for name, values in term.where.items()) and not any(
        labels.get(name) in values for name, values in term.unless.items()
    )


def _model(labels: Mapping[str, str], names: LabelNames, default_model: str) -> str:
    return next((labels[name] for name in names.model if labels.get(name)), default_model)


def _series(labels: Mapping[str, str], names: LabelNames) -> str:
    """The sorted labels that distinguish cumulative series of one model."""
    dropped = ("le", *names.model, *names.rank, *names.ignore)
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in dropped)


_LabelledValue = tuple[Mapping[str, str], float]


def _lowest_ranks(samples: Sequence[_LabelledValue], names: LabelNames) -> Iterable[_LabelledValue]:
    """Keep the lowest rank of each replica: all ranks report the same values. Model and replica labels identify it."""
    if not names.rank:
        return samples
    lowest: dict[LabelPairs, tuple[tuple[int, str], ...]] = {}
    for labels, _ in samples:
        replica, rank = _replica(labels, names), _rank(labels, names)
        lowest[replica] = min(lowest.get(replica, rank), rank)
    return [sample for sample in samples if _rank(sample[0], names) == lowest[_replica(sample[0], names)]]


def _replica(labels: Mapping[str, str], names: LabelNames) -> LabelPairs:
    return tuple((name, labels.get(name, "")) for name in (*names.model, *names.replica))


def _rank(labels: Mapping[str, str], names: LabelNames) -> tuple[tuple[int, str], ...]:
    """A sort key that orders numbers without leading zeros by value: a shorter text is smaller."""
    return tuple((len(text), text) for text in (labels.get(name, "") for name in names.rank))


def unknown_outcomes(profile: Profile, page: PageSamples) -> tuple[str, ...]:
    """Outcome label values that the profile does not map, sorted. They count as its `otherwise`."""
    return tuple(
        sorted(
            {
                value
                for alternative in profile.signals.get(Signal.REQUESTS, ())
                for term in alternative.sum
                if term.outcome is not None and not isinstance(term.outcome, Outcome)
                for pairs in page.samples.get(term.metric, {})
                if (value := dict(pairs).get(term.outcome.label, "")) not in term.outcome.values
            }
        )
    )


def transferred_prompts(profile: Profile, page: PageSamples) -> float:
    """Prompt tokens that another server computed, as the page counts them; 0 where it does not."""
    term = profile.transferred_prompts
    found = () if term is None else matching_samples(page, term.metric, term, profile.labels, profile.default_model)
    return sum(row.value for row in found)
