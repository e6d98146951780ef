"""The schema of an engine profile: how to detect the engine and which metrics hold each canonical signal.

A profile lists metrics, labels and factors, never expressions. `# TYPE` lines are ignored: the signal decides how a
metric is read. So a cumulative gauge, or a histogram's `_sum` or `_count`, can serve as a counter for
`generated_tokens`. Metrics that an engine resets at every scrape must not be listed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

from goodwatt.engines.like import expand
from goodwatt.engines.shipped import shipped_keys
from goodwatt.model.engine import HISTOGRAMS, EngineTraits, Moves, OneToken, Outcome, Signal
from goodwatt.settings.section import Section

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Field(strict=False)]  # a YAML list
MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
NamePattern = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\*|\{[a-zA-Z_][a-zA-Z0-9_]*\})?$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
OutcomeWord = Annotated[Outcome, Field(strict=False)]
UrlPath = Annotated[str, Field(pattern=r"^/[^?#\s]*$")]
BucketEdges = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)]
AttributeName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.-]*$")]
SpanName = Annotated[str, Field(pattern=r"^[^*]+\*?$")]


class NameCondition(Section):
    """A condition on the metric names of a page.

    A pattern is a name, a name with a label that any of its lines has (`name{label}`), or a prefix followed by `*`.
    """

    any_of: Many[NamePattern] = Field(default=(), description="At least one pattern matches, unless empty.")
    all_of: Many[NamePattern] = Field(default=(), description="Every pattern matches.")
    none_of: Many[NamePattern] = Field(default=(), description="No pattern matches.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.any_of and not self.all_of:
            raise ValueError("any_of or all_of must name at least one metric")
        return self


class RefusedPage(Section):
    """A page that looks like this engine but must not be read as one."""

    when: NameCondition
    because: str = Field(description="One line for the operator: the kind of page and what to scrape instead.")


class SwitchedOff(Section):
    """How the engine responds when its metrics are disabled: an HTTP status, or a page with other metrics."""

    status: Annotated[int, Field(ge=400, le=599)] | None = Field(default=None, description="Response status.")
    body_contains: str | None = Field(default=None, description="Text that proves it together with the status.")
    page: NameCondition | None = Field(default=None, description="Metric names of a page without the engine's metrics.")
    advice: str = Field(description="What to do, as the end of a sentence: `start it with --metrics`.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.status is None) == (self.page is None):
            raise ValueError("set exactly one of status and page")
        if self.body_contains is not None and self.status is None:
            raise ValueError("body_contains needs status")
        return self


class ByLabel(Section):
    """Maps a label's values to request outcomes."""

    label: LabelName
    values: Mapping[str, OutcomeWord]
    otherwise: OutcomeWord = Field(description="Outcome for any other value.")


class Term(Section):
    """One metric. For a histogram, the family name without _bucket."""

    metric: MetricName
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor to the canonical unit.")
    where: Mapping[LabelName, Many[str]] = Field(default={}, description="Only series with one of these label values.")
    unless: Mapping[LabelName, Many[str]] = Field(default={}, description="No series with one of these label values.")
    outcome: OutcomeWord | ByLabel | None = Field(default=None, description="For requests: their outcome.")
    less: MetricName | None = Field(
        default=None, description="For requests: a metric to subtract per model; 0 while it is missing."
    )
    optional: bool = Field(default=False, description="The alternative applies even without this metric.")


class Per(StrEnum):
    """What one observation of a per-token latency covers."""

    REQUEST = "request"  # its mean over a request's tokens after the first
    TOKEN = "token"  # noqa: S105 - the gap before one token
    STEP = "step"  # one engine step of one request, with any number of tokens


class Alternative(Section):
    """Terms that add up to one signal. Applies when the page has every non-optional metric."""

    sum: Annotated[tuple[Term, ...], Field(strict=False, min_length=1)]
    excludes_cached: bool = Field(
        default=False, description="For prompt_tokens: cached tokens are excluded and their number is unknown."
    )
    per: Annotated[Per, Field(strict=False)] | None = Field(
        default=None, description="For itl: what one observation covers, token or step. Always request for tpot."
    )


Alternatives = Annotated[tuple[Alternative, ...], Field(strict=False, min_length=1)]


class LabelNames(Section):
    """The role of each label: model, replica, rank, or ignored."""

    model: Many[LabelName] = Field(default=(), description="Labels with the model's name; the first present wins.")
    replica: Many[LabelName] = Field(default=(), description="Labels that distinguish replicas; every replica counts.")
    rank: Many[LabelName] = Field(default=(), description="Labels of ranks with identical values; the lowest counts.")
    ignore: Many[LabelName] = Field(default=(), description="Labels that distinguish nothing, such as a process id.")


class GpuEnergy(Section):
    """GPU energy as the engine reports it: a cross-check of goodwatt's own, never attributed."""

    metric: MetricName
    uuid: LabelName = Field(description="Label that holds the GPU's UUID.")
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor to joules.")


class ProfileTraits(Section):
    """Engine behaviour that cannot be read from its page."""

    tokens_move: Annotated[Moves, Field(strict=False)] = Field(description="When generated tokens are counted.")
    prompt_tokens_move: Annotated[Moves, Field(strict=False)] | None = Field(
        default=None, description="When prompt tokens are counted, if not with the generated ones."
    )
    one_token_tpot: Annotated[OneToken, Field(strict=False)] | None = Field(
        default=None, description="How tpot treats a one-token output. Required with signals.tpot."
    )
    running_is_current: bool = Field(
        default=True, description="False if the gauge of running requests may be older than the page."
    )
    counts_aborted: bool | None = Field(
        default=None, description="Whether client disconnects are in a count of finished requests."
    )
    successes_timed: Annotated[Signal, Field(strict=False)] | None = Field(
        default=None,
        description="Histogram that observes successes only, so that its count is the least number of successes.",
    )


class ByAttribute(Section):
    """Maps a span attribute's value, or its first value, to the request outcome."""

    attribute: AttributeName
    values: Mapping[str, OutcomeWord]
    otherwise: OutcomeWord = Field(description="Outcome for any other value.")
    absent: OutcomeWord = Field(description="Outcome for a request without the attribute.")


class SpanFields(Section):
    """The one span an engine sends per request. Where several attributes are listed, the first present counts.

    The span's start is the request's arrival.
    """

    names: Annotated[tuple[SpanName, ...], Field(strict=False, min_length=1)] = Field(
        description="Span names; a trailing * matches any suffix."
    )
    unless: Mapping[AttributeName, Many[SpanName]] = Field(
        default={}, description="Skip spans whose attribute has one of these values; a trailing * matches any suffix."
    )
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor from all times here to seconds.")
    e2e_seconds: Annotated[tuple[AttributeName, ...], Field(strict=False, min_length=1)]
    ttft_seconds: Many[AttributeName] = ()
    decode_seconds: Many[AttributeName] = Field(
        default=(), description="First token to last, if the engine's tpot uses it; default: e2e - ttft."
    )
    prompt_tokens: Many[AttributeName] = ()
    cached_prompt_tokens: Many[AttributeName] = ()
    generated_tokens: Many[AttributeName] = ()
    model: Many[AttributeName] = ()
    outcome: OutcomeWord | ByAttribute = Outcome.SUCCESS


class Profile(Section):
    """One engine. Shipped profiles and an operator's own use the same schema."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    like: str | None = Field(
        default=None, description="A shipped profile whose keys this one has, except for those that it writes itself."
    )
    prefix: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*:?$")] | None = Field(
        default=None, description="With `like`: what the metrics' names begin with instead, such as `aphrodite`."
    )
    ports: Many[Annotated[int, Field(ge=1, le=65535)]] = Field(description="Its usual ports.")
    path: UrlPath = "/metrics"
    detect: NameCondition
    refuse: Many[RefusedPage] = ()
    named_only: str | None = Field(
        default=None,
        description="For proxies and routers: why the page is read only if the server's `engine` names this profile.",
    )
    switched_off: Many[SwitchedOff] = ()
    version_label: tuple[MetricName, LabelName] | None = Field(default=None, strict=False)
    start_time: MetricName | None = Field(
        default=None, description="Process start, Unix time: a new value proves that every counter was reset."
    )
    labels: LabelNames = LabelNames()
    model_name_from: UrlPath | None = Field(
        default=None, description="Path of an OpenAI-style model list, requested once if no label has the model."
    )
    default_model: str = "default"
    pipeline_fronts: Many[str] = Field(
        default=(), description="Models in front of a pipeline, whose requests the generating model counts as well."
    )
    traits: ProfileTraits
    signals: Mapping[Annotated[Signal, Field(strict=False)], Alternatives]
    gpu_energy: GpuEnergy | None = None
    transferred_prompts: Term | None = Field(
        default=None, description="Prompt tokens that another server computed: a sign of a prefill/decode pair."
    )
    default_edges: Mapping[Annotated[Signal, Field(strict=False)], BucketEdges] = Field(
        default={}, description="The engine's default bucket edges in seconds, for advice before the first page."
    )
    edges_option: str | None = Field(
        default=None, description="The engine's own setting that changes its bucket edges, for the same advice."
    )
    spans: SpanFields | None = Field(
        default=None, description="How to read requests from its OTLP spans, if it sends any."
    )

    @model_validator(mode="before")
    @classmethod
    def _like_another(cls, keys: object) -> object:
        return expand(keys, shipped_keys) if isinstance(keys, Mapping) else keys

    @model_validator(mode="after")
    def _words_fit_signals(self) -> Self:
        for signal, alternatives in self.signals.items():
            for alternative in alternatives:
                _check_alternative(signal, alternative)
        if Signal.TPOT in self.signals and self.traits.one_token_tpot is None:
            raise ValueError("signals.tpot needs traits.one_token_tpot")
        timed = self.traits.successes_timed
        if timed is not None and (timed not in HISTOGRAMS or timed not in self.signals):
            raise ValueError(f"traits.successes_timed: {timed} is not a histogram among the signals")
        return self

    def engine_traits(self, *, prompt_includes_cached: bool = True, names_models: bool = True) -> EngineTraits:
        """The traits in the form a reading carries. `names_models`: whether a label on the page names the model."""
        return EngineTraits(
            tokens_move=self.traits.tokens_move,
            one_token_tpot=self.traits.one_token_tpot or OneToken.SKIPPED,
            prompt_includes_cached=prompt_includes_cached,
            running_is_current=self.traits.running_is_current,
            names_models=names_models,
        )

    def all_sample_names(self) -> frozenset[str]:
        """Every sample name needed to read this engine's page."""
        names = {name for signal in self.signals for name in self.metrics_of(signal)}
        version = None if self.version_label is None else self.version_label[0]
        energy = None if self.gpu_energy is None else self.gpu_energy.metric
        transferred = None if self.transferred_prompts is None else self.transferred_prompts.metric
        return frozenset(names | {name for name in (version, energy, transferred, self.start_time) if name is not None})

    def metrics_of(self, signal: Signal) -> frozenset[str]:
        """The sample names of one signal over all alternatives; empty if the engine lacks it."""
        terms = [term for alternative in self.signals.get(signal, ()) for term in alternative.sum]
        bases = {name for term in terms for name in (term.metric, term.less) if name is not None}
        return frozenset(name for base in bases for name in sample_names(signal, base))


def sample_names(signal: Signal, metric: str) -> tuple[str, ...]:
    """The sample names of a metric: itself, or a histogram's _bucket, _count and _sum."""
    return (f"{metric}_bucket", f"{metric}_count", f"{metric}_sum") if signal in HISTOGRAMS else (metric,)


def _check_alternative(signal: Signal, alternative: Alternative) -> None:
    """Check `per`: only a latency observed once per request can be used for goodput."""
    if alternative.per is Per.REQUEST and signal is not Signal.TPOT:
        raise ValueError(f"signals.{signal}: per: request is only for tpot")
    if alternative.per not in (None, Per.REQUEST) and signal is not Signal.ITL:
        raise ValueError(f"signals.{signal}: per: token and per: step are only for itl")
    if signal is Signal.ITL and alternative.per is None:
        raise ValueError("signals.itl needs per: token or step")
    for term in alternative.sum:
        _check_term(signal, term)


def _check_term(signal: Signal, term: Term) -> None:
    if signal is Signal.REQUESTS and term.outcome is None:
        raise ValueError(f"signals.requests: {term.metric} needs an outcome")
    if signal is not Signal.REQUESTS and (term.outcome is not None or term.less is not None):
        raise ValueError(f"signals.{signal}: outcome and less are for requests only")
    if term.less is not None and not isinstance(term.outcome, Outcome):
        raise ValueError(f"signals.requests: less needs one outcome for all of {term.metric}")
