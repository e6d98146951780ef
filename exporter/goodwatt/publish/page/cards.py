"""The cards at the top of the page: each model's three headline figures with a one-hour trend."""

from collections.abc import Iterable, Sequence
from itertools import islice

from goodwatt.model.ledger import Account
from goodwatt.model.snapshot import Live, Snapshot
from goodwatt.publish.metrics.live import live_accounts
from goodwatt.publish.page.headline import Figure, headline
from goodwatt.publish.page.history import MAX_CARDS, History, Point
from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.numbers import last_period
from goodwatt.publish.page.sparkline import extremes, trend
from goodwatt.publish.page.table import UNKNOWN, section


def accounts_with_card(snapshot: Snapshot) -> Iterable[tuple[Account, Live]]:
    """Return the first MAX_CARDS live accounts."""
    return islice(live_accounts(snapshot), MAX_CARDS)


def record_headlines(history: History, snapshot: Snapshot) -> None:
    """Add the headline figures to the history if the next point is due."""
    if history.due(snapshot.at_seconds):
        figures = ((account, headline(snapshot, account, live)) for account, live in accounts_with_card(snapshot))
        history.append(snapshot.at_seconds, {account: tuple(f.range for f in three) for account, three in figures})


def cards(snapshot: Snapshot, history: History) -> Element:
    """Return the section of cards; without a live account it says why there are none."""
    made = [_card(snapshot, history, account, live) for account, live in accounts_with_card(snapshot)]
    hidden = sum(1 for _ in live_accounts(snapshot)) - len(made)
    more = el("p", f"{hidden} more in the table below.", class_="soft") if hidden else None
    return section("figures", "Efficiency, cost, goodput", *(made or [_no_accounts(snapshot)]), more)


def _no_accounts(snapshot: Snapshot) -> Element:
    why = "Waiting for the second tick of a served model." if snapshot.servers else "No inference server can be read."
    return el("div", el("p", why), class_="card")


def _card(snapshot: Snapshot, history: History, account: Account, live: Live) -> Element:
    name = el("h3", account.model or account.server, " ", el("small", f"on {account.server}"))
    three = enumerate(headline(snapshot, account, live))
    figures = (_figure(figure, history.trend_of(account, which)) for which, figure in three)
    return el("article", name, el("dl", *figures, class_="figures"), class_="card")


def _figure(figure: Figure, points: Sequence[Point]) -> Element:
    value = (figure.value, " ", el("small", figure.unit)) if figure.value is not None else (UNKNOWN,)
    return el(
        "div",
        el("dt", figure.label),
        el("dd", *value, class_="figure" if figure.value is not None else "figure none"),
        el("dd", figure.note, class_="soft"),
        el("dd", *_trend(figure, points), class_="course"),
    )


def _trend(figure: Figure, points: Sequence[Point]) -> Iterable[Element]:
    known = extremes(points)
    if known is None or len(points) < 2:
        return
    summary = f"{known} over the {last_period(points[-1].at_seconds - points[0].at_seconds)}"
    yield trend(points, f"{figure.label}: {summary}, now {figure.value or 'unknown'} {figure.unit}".rstrip())
    yield el("small", summary)
