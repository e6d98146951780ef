"""Samples of the live figures: the ledger's growth over the latest window, as rates and ratios."""

from collections.abc import Callable, Iterable, Iterator

from goodwatt.derive.window import figures
from goodwatt.model.ledger import Account
from goodwatt.model.slo import Bound
from goodwatt.model.snapshot import ExactLive, Live, SloLive, Snapshot
from goodwatt.publish.metrics import requests as exact
from goodwatt.publish.metrics.row import Sample

GENERATED = "generated"
TOTAL = "total"


def lives(snapshot: Snapshot) -> Iterator[tuple[Account, Live]]:
    """The accounts of fresh servers that have a window behind them."""
    return ((account, live) for account, live in snapshot.live.items() if account.server in snapshot.servers)


def window(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model."""
    return _known((account, live.seconds) for account, live in lives(snapshot))


def tokens_of(live: Live) -> tuple[tuple[str, float | None], ...]:
    """Tokens per second by the kinds that ratios are given for."""
    return (GENERATED, live.tokens.generated), (TOTAL, figures.total_tokens_per_second(live.tokens))


def tokens_per_second(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, kind."""
    for account, live in lives(snapshot):
        tokens = live.tokens
        kinds = (GENERATED, tokens.generated), ("prompt", tokens.prompt), ("cached_prompt", tokens.cached_prompt)
        yield from _known(((*account, kind), value) for kind, value in kinds)


def watts(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model."""
    return _known((account, live.watts) for account, live in lives(snapshot))


def by_tokens(figure: Callable[[float | None, Live], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model, kind: a figure of tokens per second and the account's other rates."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for account, live in lives(snapshot):
            yield from _known(((*account, kind), figure(tokens, live)) for kind, tokens in tokens_of(live))

    return samples


def cost_per_million_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, kind, currency."""
    for account, live in lives(snapshot):
        for kind, tokens in tokens_of(live):
            price = figures.cost_per_million_tokens(live.cost_per_second, tokens)
            yield from _priced(snapshot, (*account, kind), price)


def cost_per_hour(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, currency."""
    for account, live in lives(snapshot):
        yield from _priced(snapshot, account, figures.cost_per_hour(live.cost_per_second))


def slo_gap(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo."""
    return _known(
        ((*account, slo), live.first_tokens_minus_finished)
        for (account, slo), live in snapshot.slo_live.items()
        if account.server in snapshot.servers
    )


def by_good(
    figure: Callable[[float, SloLive | ExactLive, Live], float | None],
) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model, slo, bound: a figure that grows with the number of good requests."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for labels, slo, live in _slos(snapshot):
            for bound, good in (Bound.LOWER, slo.good_lower), (Bound.UPPER, slo.good_upper):
                yield from _known([((*labels, bound.value), figure(good, slo, live))])
        for labels, seen in exact.lives(snapshot):
            yield from _known([((*labels, Bound.EXACT.value), figure(seen.good, seen, seen.rates))])

    return samples


def cost_per_good_request(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, bound, currency. Most good requests make the lowest cost, so the bounds change places."""
    for labels, slo, live in _slos(snapshot):
        for bound, good in (Bound.LOWER, slo.good_upper), (Bound.UPPER, slo.good_lower):
            price = figures.cost_per_good_request(good, slo.seconds, live.cost_per_second)
            yield from _priced(snapshot, (*labels, bound.value), price)
    for labels, seen in exact.lives(snapshot):
        price = figures.cost_per_good_request(seen.good, seen.seconds, seen.rates.cost_per_second)
        yield from _priced(snapshot, (*labels, Bound.EXACT.value), price)


def _slos(snapshot: Snapshot) -> Iterator[tuple[tuple[str, str, str], SloLive, Live]]:
    for (account, slo), slo_live in snapshot.slo_live.items():
        if account.server in snapshot.servers:
            yield (*account, slo), slo_live, snapshot.live.get(account) or Live(seconds=slo_live.seconds)


def _known(samples: Iterable[tuple[tuple[str, ...], float | None]]) -> Iterator[Sample]:
    return ((labels, value) for labels, value in samples if value is not None)


def _priced(snapshot: Snapshot, labels: tuple[str, ...], price: float | None) -> Iterator[Sample]:
    tariff = snapshot.policy.tariff
    if tariff is not None and price is not None:
        yield (*labels, tariff.currency), price
