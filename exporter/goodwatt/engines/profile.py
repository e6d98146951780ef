"""An inference engine as one YAML file describes it: how to recognise it and where it keeps each canonical signal.

The vocabulary is closed. A profile names metrics, labels and factors; it holds no expressions. Types on the page are
not read: what a metric counts as is decided by the signal it stands under. So a cumulative gauge, or a histogram's
`_sum` or `_count`, is a counter under `generated_tokens`, and what an engine resets at every scrape is named nowhere.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

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

    A pattern is a name, a name and a label that one of its lines carries (`name{label}`), or a prefix followed by `*`.
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
    """A page that looks like this engine and must not be read as one."""

    when: NameCondition
    because: str = Field(description="One line for the operator: what it is and what to scrape instead.")


class SwitchedOff(Section):
    """How the engine answers when its metrics are not switched on: by an HTTP status, or by what the page has."""

    status: Annotated[int, Field(ge=400, le=599)] | None = Field(default=None, description="HTTP status of the answer.")
    body_contains: str | None = Field(default=None, description="Text that makes the status a proof.")
    page: NameCondition | None = Field(default=None, description="Metric names of a page that lacks the engine's own.")
    advice: str = Field(description="What to do, as the end of a sentence: `start it with --metrics`.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.status is None) == (self.page is None):
            raise ValueError("give status or page, one of them")
        if self.body_contains is not None and self.status is None:
            raise ValueError("body_contains needs status")
        return self


class ByLabel(Section):
    """A label whose value tells how a request ended."""

    label: LabelName
    values: Mapping[str, OutcomeWord]
    otherwise: OutcomeWord = Field(description="Outcome of a value that a newer engine may add.")


class Term(Section):
    """One metric. For a histogram the name is the family's, without _bucket."""

    metric: MetricName
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor to the canonical unit.")
    where: Mapping[LabelName, Many[str]] = Field(default={}, description="Only series with one of the label's values.")
    unless: Mapping[LabelName, Many[str]] = Field(default={}, description="No series with one of the label's values.")
    outcome: OutcomeWord | ByLabel | None = Field(default=None, description="For requests: how these requests ended.")
    less: MetricName | None = Field(
        default=None, description="For requests: a metric to subtract, a model at a time; nothing while it is missing."
    )
    optional: bool = Field(default=False, description="The alternative applies without this metric too.")


class Per(StrEnum):
    """What one observation of a latency per token stands for."""

    REQUEST = "request"  # its mean over a request's tokens after the first
    TOKEN = "token"  # noqa: S105 - the gap before one token
    STEP = "step"  # one engine step of one request, whatever number of tokens it brought


class Alternative(Section):
    """Terms that together are one signal. It applies when the page has every metric that is not optional."""

    sum: Annotated[tuple[Term, ...], Field(strict=False, min_length=1)]
    excludes_cached: bool = Field(
        default=False, description="For prompt_tokens: cached tokens are missing and nothing tells how many."
    )
    per: Annotated[Per, Field(strict=False)] | None = Field(
        default=None, description="For itl: what one observation is, token or step. For tpot it is always request."
    )


Alternatives = Annotated[tuple[Alternative, ...], Field(strict=False, min_length=1)]


class LabelNames(Section):
    """Which labels mean what."""

    model: Many[LabelName] = Field(default=(), description="Labels of the served model's name; first present wins.")
    replica: Many[LabelName] = Field(default=(), description="Labels that tell replicas apart; each replica counts.")
    rank: Many[LabelName] = Field(default=(), description="Labels of ranks that repeat one another; the lowest counts.")
    ignore: Many[LabelName] = Field(default=(), description="Labels that tell nothing apart, such as a process id.")


class GpuEnergy(Section):
    """Joules of whole GPUs as the engine counts them: a cross-check for goodwatt's own, given to nobody."""

    metric: MetricName
    uuid: LabelName = Field(description="Label that holds the GPU's UUID.")
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor to joules.")


class ProfileTraits(Section):
    """What no page says."""

    tokens_move: Annotated[Moves, Field(strict=False)] = Field(description="When generated tokens are counted.")
    prompt_tokens_move: Annotated[Moves, Field(strict=False)] | None = Field(
        default=None, description="When prompt tokens are counted, if not when generated ones are."
    )
    one_token_tpot: Annotated[OneToken, Field(strict=False)] | None = Field(
        default=None, description="What tpot does with a one-token output. Needed where the engine has tpot."
    )
    running_is_current: bool = Field(
        default=True, description="False where the gauge of running requests may be older than the page."
    )
    counts_aborted: bool | None = Field(
        default=None, description="Whether a request whose client hangs up is in a count of finished requests."
    )


class ByAttribute(Section):
    """An attribute of a span whose value, or the first of its values, tells how the request ended."""

    attribute: AttributeName
    values: Mapping[str, OutcomeWord]
    otherwise: OutcomeWord = Field(description="Outcome of a value that a newer engine may add.")
    absent: OutcomeWord = Field(description="Outcome of a request without the attribute.")


class SpanFields(Section):
    """The one span that an engine sends for each request. Of several attributes for one thing the first present counts.

    Its start is the request's arrival.
    """

    names: Annotated[tuple[SpanName, ...], Field(strict=False, min_length=1)] = Field(
        description="Names of the span; one that ends in * is the beginning of a name."
    )
    unless: Mapping[AttributeName, Many[SpanName]] = Field(
        default={}, description="No request where the attribute has one of these values, or begins so before a *."
    )
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor of all times here to seconds.")
    e2e_seconds: Annotated[tuple[AttributeName, ...], Field(strict=False, min_length=1)]
    ttft_seconds: Many[AttributeName] = ()
    decode_seconds: Many[AttributeName] = Field(
        default=(), description="First token to last, where the engine's tpot is made of it; absent: e2e less ttft."
    )
    prompt_tokens: Many[AttributeName] = ()
    cached_prompt_tokens: Many[AttributeName] = ()
    generated_tokens: Many[AttributeName] = ()
    model: Many[AttributeName] = ()
    outcome: OutcomeWord | ByAttribute = Outcome.SUCCESS


class Profile(Section):
    """One engine. The shape is the same for the profiles shipped and for an operator's own."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    ports: Many[Annotated[int, Field(ge=1, le=65535)]] = Field(description="Ports it usually listens on.")
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
        default=None, description="When the process started, as Unix time: another one proves that all counts are new."
    )
    labels: LabelNames = LabelNames()
    model_name_from: UrlPath | None = Field(
        default=None, description="An OpenAI-style model list, asked once where no label tells the model."
    )
    default_model: str = "default"
    traits: ProfileTraits
    signals: Mapping[Annotated[Signal, Field(strict=False)], Alternatives]
    gpu_energy: GpuEnergy | None = None
    default_edges: Mapping[Annotated[Signal, Field(strict=False)], BucketEdges] = Field(
        default={}, description="The engine's default bucket edges in seconds, for advice before the first page."
    )
    spans: SpanFields | None = Field(
        default=None, description="How its OTLP spans tell of requests, where it sends any."
    )

    @model_validator(mode="after")
    def _words_fit_signals(self) -> Self:
        for signal, alternatives in self.signals.items():
            for alternative in alternatives:
                _check_alternative(signal, alternative)
        if Signal.TPOT in self.signals and self.traits.one_token_tpot is None:
            raise ValueError("signals.tpot needs traits.one_token_tpot")
        return self

    def engine_traits(self, *, prompt_includes_cached: bool = True) -> EngineTraits:
        """The traits as a reading carries them."""
        return EngineTraits(
            tokens_move=self.traits.tokens_move,
            one_token_tpot=self.traits.one_token_tpot or OneToken.SKIPPED,
            prompt_includes_cached=prompt_includes_cached,
            running_is_current=self.traits.running_is_current,
            names_models=bool(self.labels.model),
        )

    def wanted(self) -> frozenset[str]:
        """Every sample name that reading a page of this engine needs."""
        names = {name for signal in self.signals for name in self.metrics_of(signal)}
        version = None if self.version_label is None else self.version_label[0]
        energy = None if self.gpu_energy is None else self.gpu_energy.metric
        return frozenset(names | {name for name in (version, energy, self.start_time) if name is not None})

    def metrics_of(self, signal: Signal) -> frozenset[str]:
        """The sample names of one signal, all alternatives together; empty if the engine does not offer it."""
        terms = [term for alternative in self.signals.get(signal, ()) for term in alternative.sum]
        bases = {name for term in terms for name in (term.metric, term.less) if name is not None}
        return frozenset(name for base in bases for name in sample_names(signal, base))


def sample_names(signal: Signal, metric: str) -> tuple[str, ...]:
    """The names of a metric's lines on a page: one, or a histogram's buckets, count and sum."""
    return (f"{metric}_bucket", f"{metric}_count", f"{metric}_sum") if signal in HISTOGRAMS else (metric,)


def _check_alternative(signal: Signal, alternative: Alternative) -> None:
    """Only what is observed once a request may serve goodput."""
    if alternative.per is Per.REQUEST and signal is not Signal.TPOT:
        raise ValueError(f"signals.{signal}: what is observed once a request is tpot")
    if alternative.per not in (None, Per.REQUEST) and signal is not Signal.ITL:
        raise ValueError(f"signals.{signal}: what is observed more than once a request is itl")
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
