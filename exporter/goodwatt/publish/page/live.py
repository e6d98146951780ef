"""The part of the page that is updated with every snapshot."""

import json
from datetime import UTC, datetime

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page import tables
from goodwatt.publish.page.cards import cards
from goodwatt.publish.page.headline import window_in_words
from goodwatt.publish.page.history import History
from goodwatt.publish.page.html import Element, Node, el
from goodwatt.publish.page.numbers import short


def live_nodes(snapshot: Snapshot, about: About, history: History) -> tuple[Node, ...]:
    """Return the live part of the page for one snapshot."""
    parts = (
        _when(snapshot, about),
        cards(snapshot, history),
        tables.accounts(snapshot),
        tables.gpus(snapshot),
        tables.missing(snapshot),
        tables.slos(snapshot),
        tables.sources(snapshot),
        _factors(snapshot),
    )
    return tuple(part for part in parts if part is not None)


def waiting_nodes(about: About) -> tuple[Node, ...]:
    """Return the live part of the page before the first snapshot."""
    return el("p", _badge() if about.simulated else None, class_="when"), el("p", "No readings yet.")


def live_event(snapshot: Snapshot, version: str, nodes: tuple[Node, ...]) -> bytes:
    """Encode one server-sent event. Its format is private to page.js; the public API is /metrics.

    `version` is the version of script and style (the page reloads if it differs), `at` the snapshot's Unix time,
    `interval_seconds` the time until the next event, and `live` the list of `live_nodes()`: texts, or
    [tag, {attribute: value}, [child, ...]].
    """
    message = {
        "version": version,
        "at": snapshot.unix_seconds,
        "interval_seconds": snapshot.policy.interval_seconds,
        "live": nodes,
    }
    return f"data: {json.dumps(message, separators=(',', ':'))}\n\n".encode()


def _badge() -> Element:
    """Return the badge that marks simulated figures."""
    return el("strong", "simulated: not measured on real hardware", class_="simulated")


def _when(snapshot: Snapshot, about: About) -> Element:
    clock = datetime.fromtimestamp(snapshot.unix_seconds, UTC)
    period = f"figures over {window_in_words(snapshot)}"
    when = el("span", f"{clock:%Y-%m-%d %H:%M:%S} UTC, {period}", class_="soft")
    return el("p", _badge() if is_simulated(snapshot, about) else None, " ", when, class_="when")


def _factors(snapshot: Snapshot) -> Element:
    facility = snapshot.policy.facility
    return el(
        "p",
        "Energy is GPU energy. Electricity cost and carbon are GPU energy "
        f"x host factor {short(facility.host_factor)} x PUE {short(facility.pue)}.",
        class_="soft foot",
    )
