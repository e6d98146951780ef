"""Live metrics: rates and ratios of the ledger's growth over the latest window."""

from collections.abc import Callable, Iterable, Iterator

from goodwatt.derive.window import figures
from goodwatt.model.ledger import Account
from goodwatt.model.slo import Bound
from goodwatt.model.snapshot import ExactLive, Live, SloLive, Snapshot
from goodwatt.publish.metrics.row import ACCOUNT_LABEL_NAMES, SLO_LABEL_NAMES, Kind, Metric, Sample

_SloLabelValues = tuple[str, str, str]


def live_accounts(snapshot: Snapshot) -> Iterator[tuple[Account, Live]]:
    """Yield the accounts of fresh servers with their live figures; an account without a full interval is absent."""
    return ((account, live) for account, live in snapshot.live.items() if account.server in snapshot.servers)


def _by_account(get: Callable[[Live], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each live account."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        return _known((account, get(live)) for account, live in live_accounts(snapshot))

    return samples


def _tokens_per_second(snapshot: Snapshot) -> Iterator[Sample]:
    for account, live in live_accounts(snapshot):
        tokens = live.tokens
        kinds = ("generated", tokens.generated), ("prompt", tokens.prompt), ("cached_prompt", tokens.cached_prompt)
        yield from _known(((*account, kind), value) for kind, value in kinds)


def _token_rates(live: Live) -> tuple[tuple[str, float | None], ...]:
    """Return the two rates that every ratio of tokens is computed for, by `kind`."""
    return ("generated", live.tokens.generated), ("total", figures.total_tokens_per_second(live.tokens))


def _by_tokens(ratio: Callable[[float | None, Live], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """Two samples for each live account: `ratio` of generated and of total tokens per second."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for account, live in live_accounts(snapshot):
            yield from _known(((*account, kind), ratio(rate, live)) for kind, rate in _token_rates(live))

    return samples


def _cost_per_million_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    for account, live in live_accounts(snapshot):
        for kind, rate in _token_rates(live):
            cost = figures.cost_per_million_tokens(live.cost_per_second, rate)
            yield from _with_currency(snapshot, (*account, kind), cost)


def _cost_per_hour(snapshot: Snapshot) -> Iterator[Sample]:
    for account, live in live_accounts(snapshot):
        yield from _with_currency(snapshot, account, figures.cost_per_hour(live.cost_per_second))


def _slos_from_histograms(snapshot: Snapshot) -> Iterator[tuple[_SloLabelValues, SloLive, Live]]:
    for (account, slo), slo_live in snapshot.slo_live.items():
        if account.server in snapshot.servers:
            yield (*account, slo), slo_live, snapshot.live.get(account) or Live(seconds=slo_live.seconds)


def _slos_from_records(snapshot: Snapshot) -> Iterator[tuple[_SloLabelValues, ExactLive]]:
    for (account, slo), live in snapshot.exact_live.items():
        if account.server in snapshot.record_sources:
            yield (*account, slo), live


def _by_good(
    figure: Callable[[float, SloLive | ExactLive, Live], float | None],
) -> Callable[[Snapshot], Iterator[Sample]]:
    """Samples by bound of a figure that grows with the number of good requests."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for labels, slo, live in _slos_from_histograms(snapshot):
            for bound, good in (Bound.LOWER, slo.good_lower), (Bound.UPPER, slo.good_upper):
                yield from _known([((*labels, bound.value), figure(good, slo, live))])
        for labels, exact in _slos_from_records(snapshot):
            yield from _known([((*labels, Bound.EXACT.value), figure(exact.good, exact, exact.rates))])

    return samples


def _cost_per_good_request(snapshot: Snapshot) -> Iterator[Sample]:
    """Swap the bounds: the most good requests give the lowest cost."""
    for labels, slo, live in _slos_from_histograms(snapshot):
        for bound, good in (Bound.LOWER, slo.good_upper), (Bound.UPPER, slo.good_lower):
            cost = figures.cost_per_good_request(good, slo.seconds, live.cost_per_second)
            yield from _with_currency(snapshot, (*labels, bound.value), cost)
    for labels, exact in _slos_from_records(snapshot):
        cost = figures.cost_per_good_request(exact.good, exact.seconds, exact.rates.cost_per_second)
        yield from _with_currency(snapshot, (*labels, Bound.EXACT.value), cost)


def _by_good_tokens(figure: Callable[[float | None, Live], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each SLO with records: a figure of good tokens per second."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for labels, exact in _slos_from_records(snapshot):
            rate = figures.ratio(exact.good_tokens, exact.seconds)
            yield from _known([((*labels, Bound.EXACT.value), figure(rate, exact.rates))])

    return samples


def _cost_per_million_good_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, exact in _slos_from_records(snapshot):
        rate = figures.ratio(exact.good_tokens, exact.seconds)
        cost = figures.cost_per_million_tokens(exact.rates.cost_per_second, rate)
        yield from _with_currency(snapshot, (*labels, Bound.EXACT.value), cost)


def _known(samples: Iterable[tuple[tuple[str, ...], float | None]]) -> Iterator[Sample]:
    return ((labels, value) for labels, value in samples if value is not None)


def _with_currency(snapshot: Snapshot, labels: tuple[str, ...], cost: float | None) -> Iterator[Sample]:
    tariff = snapshot.policy.tariff
    if tariff is not None and cost is not None:
        yield (*labels, tariff.currency), cost


LIVE = (
    Metric(
        name="live_window_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Length of the window behind this account's live metrics: window_seconds at most, or five times that if "
        "the engine counts tokens only when a request ends.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_by_account(lambda live: live.seconds),
    ),
    Metric(
        name="tokens_per_second",
        kind=Kind.GAUGE,
        unit="tokens_per_second",
        help="Tokens per second over the window; kind=prompt includes cached_prompt.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind"),
        value=_tokens_per_second,
    ),
    Metric(
        name="attributed_power_watts",
        kind=Kind.GAUGE,
        unit="watts",
        help="Mean GPU power attributed to the model on the server over the window, idle time included.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_by_account(lambda live: live.watts),
    ),
    Metric(
        name="tokens_per_watt",
        kind=Kind.GAUGE,
        unit="tokens_per_watt",
        help="Tokens per second per watt over the window, which equals tokens per joule; idle energy included. Absent "
        "without tokens.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind"),
        value=_by_tokens(lambda rate, live: figures.tokens_per_watt(rate, live.watts)),
    ),
    Metric(
        name="busy_tokens_per_watt",
        kind=Kind.GAUGE,
        unit="tokens_per_watt",
        help="Like tokens_per_watt, but with busy energy only.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind"),
        value=_by_tokens(lambda rate, live: figures.tokens_per_watt(rate, live.busy_watts)),
    ),
    Metric(
        name="joules_per_token",
        kind=Kind.GAUGE,
        unit="joules_per_token",
        help="Energy per token over the window, idle energy included. Absent without tokens.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind"),
        value=_by_tokens(lambda rate, live: figures.joules_per_token(rate, live.watts)),
    ),
    Metric(
        name="cost_per_million_tokens",
        kind=Kind.GAUGE,
        unit="",
        help="Cost per million tokens over the window, idle time included. Absent without tokens.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind", "currency"),
        value=_cost_per_million_tokens,
    ),
    Metric(
        name="cost_per_hour",
        kind=Kind.GAUGE,
        unit="",
        help="Cost per hour at the window's rate.",
        labels=(*ACCOUNT_LABEL_NAMES, "currency"),
        value=_cost_per_hour,
    ),
    Metric(
        name="goodput_requests_per_second",
        kind=Kind.GAUGE,
        unit="requests_per_second",
        help="Good requests per second over the window: exact from records, bounds from histograms.",
        labels=(*SLO_LABEL_NAMES, "bound"),
        value=_by_good(lambda good, slo, _: figures.goodput(good, slo.seconds)),
    ),
    Metric(
        name="goodput_ratio",
        kind=Kind.GAUGE,
        unit="ratio",
        help="Share of eligible requests in the window that were good: exact from records, bounds from histograms. "
        "Absent while no request is eligible.",
        labels=(*SLO_LABEL_NAMES, "bound"),
        value=_by_good(lambda good, slo, _: figures.ratio(good, slo.eligible)),
    ),
    Metric(
        name="good_requests_per_joule",
        kind=Kind.GAUGE,
        unit="requests_per_joule",
        help="Good requests per joule over the window, idle energy included: exact from records, bounds from "
        "histograms.",
        labels=(*SLO_LABEL_NAMES, "bound"),
        value=_by_good(lambda good, slo, live: figures.good_requests_per_joule(good, slo.seconds, live.watts)),
    ),
    Metric(
        name="cost_per_good_request",
        kind=Kind.GAUGE,
        unit="",
        help="Cost per good request over the window: exact from records, bounds from histograms. The lower bound "
        "assumes the most good requests; a bound with none is absent.",
        labels=(*SLO_LABEL_NAMES, "bound", "currency"),
        value=_cost_per_good_request,
    ),
    Metric(
        name="goodput_tokens_per_second",
        kind=Kind.GAUGE,
        unit="tokens_per_second",
        help="Generated tokens of good requests per second over the window; from records only.",
        labels=(*SLO_LABEL_NAMES, "bound"),
        value=_by_good_tokens(lambda rate, _: rate),
    ),
    Metric(
        name="good_tokens_per_joule",
        kind=Kind.GAUGE,
        unit="tokens_per_joule",
        help="Generated tokens of good requests per joule over the window, which equals token goodput per watt; idle "
        "energy included. From records only.",
        labels=(*SLO_LABEL_NAMES, "bound"),
        value=_by_good_tokens(lambda rate, live: figures.ratio(rate, live.watts)),
    ),
    Metric(
        name="cost_per_million_good_tokens",
        kind=Kind.GAUGE,
        unit="",
        help="Cost per million generated tokens of good requests over the window, idle time included. Absent without "
        "good tokens; from records only.",
        labels=(*SLO_LABEL_NAMES, "bound", "currency"),
        value=_cost_per_million_good_tokens,
    ),
)
