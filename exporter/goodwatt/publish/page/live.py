"""The part of the page that changes with every snapshot."""

import json
from datetime import UTC, datetime

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page import tables
from goodwatt.publish.page.cards import cards
from goodwatt.publish.page.headline import looking_back
from goodwatt.publish.page.history import History
from goodwatt.publish.page.html import Element, Node, el
from goodwatt.publish.page.numbers import short


def live(snapshot: Snapshot, about: About, history: History) -> tuple[Node, ...]:
    """One snapshot as it is shown."""
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


def waiting(about: About) -> tuple[Node, ...]:
    """What stands there before the first snapshot."""
    return el("p", badge() if about.simulated else None, class_="when"), el("p", "No readings yet.")


def event(snapshot: Snapshot, version: str, nodes: tuple[Node, ...]) -> bytes:
    """One server-sent event. Its shape belongs to the script beside it and is no public API: /metrics is.

    `version` is that of the script and style (another one: load the page anew), `at` the snapshot's Unix time,
    `interval_seconds` how soon to expect the next, `live` what `live()` gave: a text, or [tag, {attribute: value},
    [child, ...]], a list of them.
    """
    told = {
        "version": version,
        "at": snapshot.unix_seconds,
        "interval_seconds": snapshot.policy.interval_seconds,
        "live": nodes,
    }
    return f"data: {json.dumps(told, separators=(',', ':'))}\n\n".encode()


def badge() -> Element:
    """That nothing here was measured."""
    return el("strong", "simulated: not measured on real hardware", class_="simulated")


def _when(snapshot: Snapshot, about: About) -> Element:
    clock = datetime.fromtimestamp(snapshot.unix_seconds, UTC)
    over = f"figures over {looking_back(snapshot)}"
    when = el("span", f"{clock:%Y-%m-%d %H:%M:%S} UTC, {over}", class_="soft")
    return el("p", badge() if is_simulated(snapshot, about) else None, " ", when, class_="when")


def _factors(snapshot: Snapshot) -> Element:
    facility = snapshot.policy.facility
    return el(
        "p",
        "Joules are those of the GPUs. Prices by the kilowatt-hour and carbon count them "
        f"times host factor {short(facility.host_factor)} and PUE {short(facility.pue)}.",
        class_="soft foot",
    )
