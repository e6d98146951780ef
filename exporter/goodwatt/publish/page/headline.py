"""The three headline figures of the page, or the reason that one is missing."""

from typing import NamedTuple

from goodwatt.derive.window import figures
from goodwatt.derive.window.rates import longest_window_seconds
from goodwatt.model.ledger import Account
from goodwatt.model.snapshot import Live, Snapshot
from goodwatt.publish.page.numbers import percent, short, span
from goodwatt.publish.page.slo_summary import in_window


class Figure(NamedTuple):
    """One figure as displayed. If `value` is None, `note` is the reason. `range` is (lower, upper), equal if exact."""

    label: str
    value: str | None
    unit: str
    note: str
    range: tuple[float, float] | None = None


def headline(snapshot: Snapshot, account: Account, live: Live) -> tuple[Figure, Figure, Figure]:
    """Return tokens per watt, cost per million tokens and goodput of one account."""
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
    label, tariff = "Cost per million generated tokens", snapshot.policy.tariff
    if tariff is None:
        return Figure(label, None, "", "no price is configured; add cost: to the configuration")
    hourly = figures.cost_per_hour(live.cost_per_second)
    value = figures.cost_per_million_tokens(live.cost_per_second, live.tokens.generated)
    if hourly is None:
        return Figure(label, None, "", no_gpu(snapshot) or "no cost has been counted for it yet")
    spent = f"{short(hourly)} {tariff.currency} per hour"
    if value is None:
        return Figure(label, None, "", f"{no_tokens(live)}; {spent}")
    return Figure(label, short(value), tariff.currency, spent, (value, value))


def _goodput(snapshot: Snapshot, account: Account) -> Figure:
    label = "Goodput"
    key = next((key for key in (*snapshot.slo_live, *snapshot.exact_live) if key.account == account), None)
    slo = None if key is None else in_window(snapshot, key)
    if key is None or slo is None or slo.seconds is None:
        return Figure(label, None, "", "this server's latency histograms cover no SLO")
    if not slo.eligible:
        return Figure(label, None, "", f"no request finished in the last {short(slo.seconds)} s")
    lower, upper = slo.lower / slo.seconds, slo.upper / slo.seconds
    share = percent(slo.lower / slo.eligible, slo.upper / slo.eligible)
    note = f"{share} of requests meet SLO {key.slo}"
    return Figure(label, span(lower, upper), "requests/s", note, (lower, upper))


def window_in_words(snapshot: Snapshot) -> str:
    """Describe the live window, and the longer one of engines that count tokens only when a request ends."""
    configured, longest = (
        snapshot.policy.window_seconds,
        longest_window_seconds(snapshot.servers.values(), snapshot.policy),
    )
    longer = (
        f" ({short(longest)} s where the engine counts tokens only when a request ends)" if longest > configured else ""
    )
    return f"the last {short(configured)} s{longer}"


def no_gpu(snapshot: Snapshot) -> str | None:
    """Return the reason if no GPU can be read, else None."""
    return None if snapshot.gpus else "no GPU can be read; see Sources below"


def no_tokens(live: Live) -> str | None:
    """Return the reason if there are no generated tokens to divide by, else None."""
    if live.tokens.generated is None:
        return "the engine does not count generated tokens"
    return None if live.tokens.generated else f"no token was generated in the last {short(live.seconds)} s"
