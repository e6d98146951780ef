"""Builds a server's counters from request records, for servers without a metrics page."""

from collections.abc import Iterable

from goodwatt.model.engine import EngineReading, EngineTraits, Moves, OneToken, Outcome, SeriesId, Signal
from goodwatt.model.request import RequestRecord

ENGINE = "proxy"  # the engine is unknown
MAX_MODELS = 256
MAX_NAME_LENGTH = 256
UNNAMED = ""
_TRAITS = EngineTraits(tokens_move=Moves.FINISH, one_token_tpot=OneToken.SKIPPED)


class ServerCounters:
    """Counts from 0 at start. A model is known once a successful response has named it."""

    def __init__(self, server: str, simulated: bool = False) -> None:
        self._server = server
        self._simulated = simulated
        self._models: set[str] = set()
        self._counters: dict[SeriesId, float] = {}

    def count(self, records: Iterable[RequestRecord]) -> None:
        """Count finished requests."""
        for record in records:
            model = self._model(record)
            self._count(SeriesId(signal=Signal.REQUESTS, model=model, outcome=record.outcome), 1)
            self._count(SeriesId(signal=Signal.PROMPT_TOKENS, model=model), record.prompt_tokens)
            self._count(SeriesId(signal=Signal.CACHED_PROMPT_TOKENS, model=model), record.cached_prompt_tokens)
            self._count(SeriesId(signal=Signal.GENERATED_TOKENS, model=model), record.generated_tokens)

    def reading(self, at_seconds: float, running_models: Iterable[str]) -> EngineReading:
        """Return the counters and gauges now. `running_models` has one model name per running request.

        With a single known model all requests count as its own: some engines accept any model name.
        """
        gauges = {(Signal.REQUESTS_RUNNING, model): 0.0 for model in self._models}
        for name in running_models:
            model = next(iter(self._models)) if len(self._models) == 1 else self._known(name)
            if model is not None:
                gauges[Signal.REQUESTS_RUNNING, model] += 1
        counters = dict(self._counters)
        return EngineReading(
            server=self._server,
            at_seconds=at_seconds,
            engine=ENGINE,
            traits=_TRAITS,
            counters=counters,
            gauges=gauges,
            histograms={},
            simulated=self._simulated,
        )

    def _count(self, series: SeriesId, number: int | None) -> None:
        if number is not None:
            self._counters[series] = self._counters.get(series, 0.0) + number

    def _model(self, record: RequestRecord) -> str:
        known = self._known(record.model)
        if known is not None:
            return known
        named = (
            record.outcome is Outcome.SUCCESS and record.model.isprintable() and len(record.model) <= MAX_NAME_LENGTH
        )
        model = record.model if named and len(self._models) < MAX_MODELS else UNNAMED
        self._models.add(model)
        return model

    def _known(self, name: str) -> str | None:
        """Return the known model; a request without a name belongs to the only one."""
        if name == UNNAMED and len(self._models) == 1:
            return next(iter(self._models))
        return name if name in self._models else None
