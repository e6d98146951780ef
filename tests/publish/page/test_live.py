"""The events sent to open pages: each shows the same as a reload would."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from goodwatt.model.engine import Moves, Signal
from goodwatt.model.ledger import Account
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.snapshot import ExactLive, Live, Snapshot, TokenRates
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page.assets import ASSETS, VERSION
from goodwatt.publish.page.cards import record_headlines
from goodwatt.publish.page.document import landing_page
from goodwatt.publish.page.history import MAX_CARDS, History
from goodwatt.publish.page.html import Element, el, html, merge_texts
from goodwatt.publish.page.live import live_event, live_nodes
from goodwatt.publish.page.table import MAX_REASONS, Cell, Column, cell, section_with_table
from tests.fakes import snapshots as fake
from tests.publish.page.test_landing import ACCOUNT, HOSTILE, LINKS, hostile, read
from tests.publish.pages import recorded, small
from tests.publish.serving import ABOUT, serving

KNOWN_TO_THE_SCRIPT = {
    *("article", "caption", "dd", "div", "dl", "dt", "h2", "h3", "li", "p", "section", "small", "span", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul", "svg", "rect", "path"),
}


def told(s: Snapshot, about: About = ABOUT, history: History | None = None) -> dict[str, Any]:
    """Return the event as the script parses it."""
    sent = live_event(s, VERSION, live_nodes(s, about, history or History())).decode()
    assert sent.startswith("data: ") and sent.endswith("\n\n") and sent.count("\n") == 2
    return dict(json.loads(sent.removeprefix("data: ")))


def as_html(node: Any) -> str:
    """An element of an event, written as the server writes its own."""
    if isinstance(node, str):
        return html(node)
    tag, attributes, children = node
    return html(Element(tag, attributes, ())).removesuffix(f"</{tag}>") + "".join(map(as_html, children)) + f"</{tag}>"


def elements(nodes: list[Any]) -> Iterator[tuple[str, dict[str, str], list[Any]]]:
    for node in nodes:
        if not isinstance(node, str):
            yield node[0], node[1], node[2]
            yield from elements(node[2])


def text(nodes: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else text(node[2]) + "\n" for node in nodes)


@pytest.mark.parametrize("s", [small(), recorded(), hostile(HOSTILE), fake.snapshot(0, [])])
def test_an_event_is_what_a_reload_would_show(s: Snapshot) -> None:
    """The nodes of an event, written as HTML, stand on the page as it is served."""
    history = History()
    record_headlines(history, s)
    nodes = told(s, history=history)["live"]
    assert "".join(map(as_html, nodes)) in landing_page(s, ABOUT, LINKS, history).decode()


def test_the_script_knows_every_element() -> None:
    """The script refuses elements that it does not know, so it must know all that there can be."""
    script = next(asset.body.decode() for asset in ASSETS if asset.path.endswith(".js"))
    history, s = History(), recorded()
    for tick in (0.0, 60.0, 120.0):
        record_headlines(history, replace(s, at_seconds=s.at_seconds + tick))
    assert s.gpus is not None
    noted = replace(s, gpus=replace(s.gpus, notes=("gpu 0: no",)), servers={**s.servers, "x": s.servers["vllm-0"]})
    tags = {tag for tag, _, _ in elements(told(noted, About(simulated=True), history)["live"])}
    tags |= {tag for tag, _, _ in elements(told(replace(small(), live={ACCOUNT: Live(seconds=60.0)}))["live"])}
    assert tags == KNOWN_TO_THE_SCRIPT
    words = script.partition("new Set([")[2].partition("THEMES")[0].replace('"', " ").replace(",", " ").split()
    assert set(words) >= KNOWN_TO_THE_SCRIPT
    assert {"script", "iframe", "object", "embed", "link", "style", "a", "form", "img"}.isdisjoint(words)


def test_an_event_says_when_and_how_soon() -> None:
    """The event has the snapshot's time, the interval to the next, and the version of the script that it is for."""
    s = small()
    assert {key: value for key, value in told(s).items() if key != "live"} == {
        "version": VERSION,
        "at": s.unix_seconds,
        "interval_seconds": 5.0,
    }


def test_hostile_names_are_only_texts_of_an_event() -> None:
    """A hostile name makes no element, no attribute name and no line of the stream."""

    def shape(s: Snapshot) -> list[object]:
        return [(tag, list(attributes)) for tag, attributes, _ in elements(told(s)["live"])]

    for name in (HOSTILE, "a\nb\r\ndata: x\n\n", "\u2028", "</svg>", "\x00"):
        assert shape(hostile(name)) == shape(hostile("plain"))
        assert name in text(told(hostile(name))["live"])


async def test_a_name_that_is_no_text_costs_nothing_else() -> None:
    """A lone surrogate in a name is replaced, on the page and in the event, and the rest is as ever."""
    async with serving() as (publisher, client, _):
        publisher.latest = hostile("odd\ud800name")
        async with client.get("/") as answer:
            assert answer.status == 200
            assert "odd?name" in await answer.text()
    assert "odd\ud800name" in text(told(hostile("odd\ud800name"))["live"])


def test_only_what_is_new_is_text() -> None:
    """Neighbouring texts are one, as in a browser, and nothing is empty."""
    assert merge_texts(["a", None, "b", "", el("p"), "c"]) == ["ab", el("p"), "c"]
    assert html(el("p", "<", class_="x", aria_label='"', hidden=None)) == '<p class="x" aria-label="&quot;">&lt;</p>'


def test_each_model_has_its_rates() -> None:
    """The table of servers and models has tokens per second, power, joules per token, cost, idle share and queue."""
    s = replace(small(), live={ACCOUNT: replace(small().live[ACCOUNT], busy_watts=307.0)})
    row = next(row for row in rows(s, "models") if row[0] == "tiny")
    assert row == ["tiny", "vllm-0 vllm 0.11.0", "5,160", "1,230 W", "0.238", "0.182", "75 %", "12", "2"]


def rows(s: Snapshot, key: str) -> list[list[str]]:
    """The rows of one table, as text."""
    nodes = next(children for _, a, children in elements(told(s)["live"]) if a.get("aria-labelledby") == key)
    found = [children for tag, _, children in elements(nodes) if tag == "tr"]
    return [[" ".join(text(one[2]).split()) for one in row] for row in found]


def test_what_is_unknown_of_a_model_is_a_dash_with_its_reason() -> None:
    """A rate that is not known has a dash, and the reason stands in the cell and under the table."""
    s = replace(
        small(), live={ACCOUNT: Live(seconds=60.0, tokens=TokenRates())}, policy=replace(small().policy, tariff=None)
    )
    page = s.servers["vllm-0"]
    s = replace(s, servers={"vllm-0": replace(page, gauges={})})
    dash = "\N{EN DASH}"
    row = next(row for row in rows(s, "models") if row[0] == "tiny")
    assert [one.split()[0] for one in row[2:]] == [dash] * 7
    assert row[2] == f"{dash} (the engine does not count generated tokens)"
    said = text(told(s)["live"])
    assert "Cost per million tokens: no price is configured; add cost: to the configuration" in said
    assert "Running, Waiting: the engine does not report it" in said
    idle = replace(s, live={ACCOUNT: Live(seconds=60.0, tokens=TokenRates(0.0), watts=0.0, busy_watts=0.0)})
    assert next(row for row in rows(idle, "models") if row[0] == "tiny")[6] == f"{dash} (no energy was used)"
    assert next(row for row in rows(idle, "models") if row[0] == "tiny")[2] == "0"
    blind = replace(s, gpus=None)
    assert "Power, J/token, Idle: no GPU can be read; see Sources below" in text(told(blind)["live"])


def test_reasons_are_few_however_many_rows() -> None:
    """Each reason stands under the table once, and beyond a dozen only their number."""
    columns = [Column("A"), Column("B")]
    lines = [[cell("x"), Cell(why=f"because {number % 20}")] for number in range(200)]
    said = html(section_with_table("k", "T", "C", columns, lines) or "")
    assert said.count("<li>") == MAX_REASONS + 1 and "and 8 more reasons" in said
    assert section_with_table("k", "T", "C", columns, []) is None
    assert "reasons" not in html(section_with_table("k", "T", "C", columns, [[cell("x"), cell("y")]]) or "")


def test_an_slo_is_met_or_not_or_unknown() -> None:
    """Met is yes if the lower bound reaches the target, no if the upper bound misses it, else unknown."""
    s = recorded()
    (key,) = s.exact_live
    for good, word in ((95, "yes"), (94, "no")):
        exact = ExactLive(
            seconds=60.0, eligible=100, good=good, tokens=None, good_tokens=None, rates=s.exact_live[key].rates
        )
        assert rows(replace(s, exact_live={key: exact}), "slos")[1][5] == word
    s = small()
    for lower, upper, word in ((95, 100, "yes"), (90, 94, "no"), (90, 100, "unknown")):
        seen = replace(s.slo_live[key], eligible=100.0, good_lower=lower, good_upper=upper)
        row = rows(replace(s, slo_live={key: seen}), "slos")[1]
        assert row[0] == "default ttft 1 s, tpot 0.1 s"
        assert (row[4], row[5]) == (f"{lower} to {upper} % of 100", word)
    quiet = replace(s, slo_live={key: replace(s.slo_live[key], eligible=0.0)})
    assert "no request finished in the window" in rows(quiet, "slos")[1][4]


def test_throttle_reasons_are_listed() -> None:
    """Active throttle reasons are listed; `nothing` means none is active, a dash that they are unknown."""
    s = small()
    assert [row[6] for row in rows(s, "gpus")[1:]] == ["sw power cap"] * 2
    assert s.gpus is not None
    free = replace(s.gpus.gpus[0], throttled={"idle": False})
    mute = replace(s.gpus.gpus[1], throttled=None)
    s = replace(s, gpus=replace(s.gpus, gpus=(free, mute)))
    assert [row[6].split()[0] for row in rows(s, "gpus")[1:]] == ["nothing", "\N{EN DASH}"]


def test_many_models_have_few_cards_and_every_row() -> None:
    """Beyond the first few, models are in the table alone, and the page says how many."""
    names = [f"server-{number}" for number in range(MAX_CARDS + 3)]
    s = fake.snapshot(8, names, ticks=3)
    said = told(s)["live"]
    assert sum(tag == "article" for tag, _, _ in elements(said)) == MAX_CARDS
    assert "3 more in the table below." in text(said)
    assert [row[1].split()[0] for row in rows(s, "models")[1:]] == names


def test_a_trend_says_in_words_what_it_shows() -> None:
    """The drawing's name has the figure, its extremes, the time and the present; a figure without past has none."""
    history, s = History(), small()
    assert not [a for tag, a, _ in elements(told(s, history=history)["live"]) if a.get("role") == "img"]
    for seconds, watts in ((-120, 1000.0), (-60, 3000.0), (0, 1228.0)):
        one = replace(s, at_seconds=s.at_seconds + seconds, live={ACCOUNT: replace(s.live[ACCOUNT], watts=watts)})
        record_headlines(history, one)
    names = [a["aria-label"] for _, a, _ in elements(told(s, history=history)["live"]) if a.get("role") == "img"]
    assert names[0] == "Generated tokens per watt: 1.72 to 5.16 over the last 2 min, now 4.2 tokens/s per W"
    assert len(names) == 3
    gone = replace(s, live={ACCOUNT: replace(s.live[ACCOUNT], watts=None)})
    names = [a["aria-label"] for _, a, _ in elements(told(gone, history=history)["live"]) if a.get("role") == "img"]
    assert names[0].endswith("over the last 2 min, now unknown")


def test_headings_and_landmarks() -> None:
    """One h1, sections named by h2, cards under h3, every table with a caption and named rows and columns."""
    reader = read(small())
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("h1") == tags.count("main") == tags.count("header") == tags.count("nav") == 1
    levels = [int(tag[1]) for tag in tags if tag in ("h1", "h2", "h3")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for tag, a in reader.tags if tag == "section"} <= set(ids)
    assert tags.count("caption") == tags.count("table") == 4
    assert all(a.get("scope") in ("col", "row") for tag, a in reader.tags if tag == "th")
    assert [a.get("role") for _, a in reader.tags if a.get("role") in ("status", "alert", "log")] == ["status"]
    assert not [a for _, a in reader.tags if "aria-live" in a]


def test_the_glossary_is_collapsed() -> None:
    """Every glossary entry starts collapsed, and one explains the dash."""
    reader = read(small())
    details = [a for tag, a in reader.tags if tag == "details"]
    assert len(details) >= 8 and not any("open" in a for a in details)
    for word in ("Goodput", "Tokens per watt", "Idle", "A dash", "goodwatt engines --url URL", "goodwatt metrics"):
        assert word in reader.text


def test_an_objective_without_a_window_or_a_name() -> None:
    """A model without a name is called by its server in the table of objectives too."""
    policy = replace(fake.POLICY, slos=(Slo(name="fast", thresholds=(Threshold(Signal.TTFT, 1.0),), objective=0.5),))
    s = fake.snapshot(1, ["llama-0"], model="", policy=policy)
    assert rows(s, "slos")[1][1] == "llama-0"
    assert Account("llama-0", "") in s.live


def test_the_window_is_stated() -> None:
    """Where an engine counts tokens when a request ends they look back five times as far, and the page says so."""
    s = small()
    assert text(told(s)["live"]).count("the last 60 s. ") + text(told(s)["live"]).count("the last 60 s\n") == 2
    lumpy = {
        name: replace(one, traits=replace(one.traits, tokens_move=Moves.FINISH)) for name, one in s.servers.items()
    }
    words = text(told(replace(s, servers=lumpy))["live"])
    assert words.count("the last 60 s (300 s where the engine counts tokens only when a request ends)") == 2
