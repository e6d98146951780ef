"""The cards at the top of the page: three figures of a model on a server, and their course over the last hour."""

from collections.abc import Iterable, Sequence
from itertools import islice

from goodwatt.model.ledger import Account
from goodwatt.model.snapshot import Live, Snapshot
from goodwatt.publish.metrics.live import live_accounts
from goodwatt.publish.page.headline import Figure, headline
from goodwatt.publish.page.history import MOST_ACCOUNTS, History, Point
from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.numbers import lately
from goodwatt.publish.page.sparkline import extremes, trend
from goodwatt.publish.page.table import UNKNOWN, section


def shown(snapshot: Snapshot) -> Iterable[tuple[Account, Live]]:
    """The accounts that have a card: the first few."""
    return islice(live_accounts(snapshot), MOST_ACCOUNTS)


def remember(history: History, snapshot: Snapshot) -> None:
    """Keep the figures of the cards for their trends, if it is time."""
    if history.due(snapshot.at_seconds):
        figures = ((account, headline(snapshot, account, live)) for account, live in shown(snapshot))
        history.note(snapshot.at_seconds, {account: tuple(f.range for f in three) for account, three in figures})


def cards(snapshot: Snapshot, history: History) -> Element:
    """All cards, or what there is instead."""
    made = [_card(snapshot, history, account, live) for account, live in shown(snapshot)]
    left = sum(1 for _ in live_accounts(snapshot)) - len(made)
    more = el("p", f"{left} more in the table below.", class_="soft") if left else None
    return section("figures", "Efficiency, cost, goodput", *(made or [_nobody(snapshot)]), more)


def _nobody(snapshot: Snapshot) -> Element:
    why = "No model has been served for two ticks yet." if snapshot.servers else "No inference server can be read."
    return el("div", el("p", why), class_="card")


def _card(snapshot: Snapshot, history: History, account: Account, live: Live) -> Element:
    name = el("h3", account.model or account.server, " ", el("small", f"on {account.server}"))
    three = enumerate(headline(snapshot, account, live))
    figures = (_figure(figure, history.course(account, which)) for which, figure in three)
    return el("article", name, el("dl", *figures, class_="figures"), class_="card")


def _figure(figure: Figure, course: Sequence[Point]) -> Element:
    value = (figure.value, " ", el("small", figure.unit)) if figure.value is not None else (UNKNOWN,)
    return el(
        "div",
        el("dt", figure.label),
        el("dd", *value, class_="figure" if figure.value is not None else "figure none"),
        el("dd", figure.note, class_="soft"),
        el("dd", *_course(figure, course), class_="course"),
    )


def _course(figure: Figure, course: Sequence[Point]) -> Iterable[Element]:
    known = extremes(course)
    if known is None or len(course) < 2:
        return
    said = f"{known} over the {lately(course[-1].at_seconds - course[0].at_seconds)}"
    yield trend(course, f"{figure.label}: {said}, now {figure.value or 'unknown'} {figure.unit}".rstrip())
    yield el("small", said)
