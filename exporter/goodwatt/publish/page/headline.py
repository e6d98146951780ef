"""The three figures that the front page leads with, or why one of them is missing."""

from typing import NamedTuple

from goodwatt.derive.window import figures
from goodwatt.derive.window.rates import longest_window_seconds
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.snapshot import Live, Snapshot
from goodwatt.publish.page.numbers import percent, short, span
from goodwatt.publish.page.slo_summary import in_window


class Figure(NamedTuple):
    """`value` is None where there is none; `note` then says why. `range` holds its bounds, alike where it is exact."""

    label: str
    value: str | None
    unit: str
    note: str
    range: tuple[float, float] | None = None


def headline(snapshot: Snapshot, account: Account, live: Live) -> tuple[Figure, Figure, Figure]:
    """Tokens per watt, cost per million tokens and goodput of one account."""
    return _efficiency(snapshot, live), _cost(snapshot, live), _goodput(snapshot, account)


def _efficiency(snapshot: Snapshot, live: Live) -> Figure:
    label = "Generated tokens per watt"
    value = figures.tokens_per_watt(live.tokens.generated, live.watts)
    each = figures.joules_per_token(live.tokens.generated, live.watts)
    if value is None or each is None:
        return Figure(label, None, "", no_gpu(snapshot) or no_tokens(live) or "no energy was counted for it")
    note = f"{short(each)} J per token, at {short(live.watts or 0)} W"
    return Figure(label, short(value), "tokens/s per W", note, (value, value))


def _cost(snapshot: Snapshot, live: Live) -> Figure:
    label, tariff = "Cost of a million generated tokens", snapshot.policy.tariff
    if tariff is None:
        return Figure(label, None, "", "no price is set; add cost: to the configuration")
    hourly = figures.cost_per_hour(live.cost_per_second)
    value = figures.cost_per_million_tokens(live.cost_per_second, live.tokens.generated)
    if hourly is None:
        return Figure(label, None, "", no_gpu(snapshot) or "nothing has been spent on it yet")
    spent = f"{short(hourly)} {tariff.currency} per hour"
    if value is None:
        return Figure(label, None, "", f"{no_tokens(live)}; {spent}")
    return Figure(label, short(value), tariff.currency, spent, (value, value))


def _goodput(snapshot: Snapshot, account: Account) -> Figure:
    label = "Goodput"
    key = next((key for key in (*snapshot.slo_live, *snapshot.exact_live) if key.account == account), None)
    slo = None if key is None else in_window(snapshot, key)
    if key is None or slo is None or slo.seconds is None:
        return Figure(label, None, "", "no objective fits this server's latency histograms")
    if not slo.eligible:
        return Figure(label, None, "", f"no request ended in the last {short(slo.seconds)} s")
    lower, upper = slo.lower / slo.seconds, slo.upper / slo.seconds
    share = percent(slo.lower / slo.eligible, slo.upper / slo.eligible)
    note = f"{share} of requests are within {_slo_name(key)}"
    return Figure(label, span(lower, upper), "requests/s", note, (lower, upper))


def _slo_name(key: SloKey) -> str:
    return f"objective {key.slo}"


def looking_back(snapshot: Snapshot) -> str:
    """How far the live figures look back, in words. Some look further: see `window_seconds` of derive."""
    usual, longest = snapshot.policy.window_seconds, longest_window_seconds(snapshot.servers.values(), snapshot.policy)
    further = f" ({short(longest)} s where tokens are counted when a request ends)" if longest > usual else ""
    return f"the last {short(usual)} s{further}"


def no_gpu(snapshot: Snapshot) -> str | None:
    """Why there is no energy at all, where that is so."""
    return None if snapshot.gpus else "no GPU can be read, see the sources below"


def no_tokens(live: Live) -> str | None:
    """Why nothing can be said of each token, where that is so."""
    if live.tokens.generated is None:
        return "the engine does not count generated tokens"
    return None if live.tokens.generated else f"no token was generated in the last {short(live.seconds)} s"
