"""The document around the live part. It works as it stands; the script only keeps it up to date."""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page.assets import ICON, SCRIPT, STYLE, VERSION
from goodwatt.publish.page.glossary import meanings, more
from goodwatt.publish.page.history import History
from goodwatt.publish.page.html import Element, Node, el, html
from goodwatt.publish.page.live import live, waiting

EVENTS = "/-/events"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Link(NamedTuple):
    """A path of this server, and its name."""

    path: str
    name: str


def page(snapshot: Snapshot | None, about: About, links: Iterable[Link], history: History | None = None) -> bytes:
    """The whole page. Its addresses are relative, for use behind a prefix; without script it comes again by itself."""
    seconds = 1 if snapshot is None else max(1, round(snapshot.policy.interval_seconds))
    simulated = about.simulated if snapshot is None else is_simulated(snapshot, about)
    nodes = waiting(about) if snapshot is None else live(snapshot, about, history or History())
    return _document(
        "goodwatt (simulated)" if simulated else "goodwatt",
        "./",
        f'<noscript><meta http-equiv="refresh" content="{seconds}"></noscript><script src=".{SCRIPT.path}"></script>',
        _header(about, seconds),
        el("main", el("div", *nodes, id="live"), meanings(), more()),
        _nav("./", links),
    )


def not_found(path: str, links: Iterable[Link]) -> bytes:
    """What to offer where nothing is; `path` is where that was."""
    root = "../" * (path.count("/") - 1) or "./"
    offered = (Link("/", "front page"), *links)
    words = el("main", el("h1", "Nothing is here"), el("p", "Try one of these:"))
    return _document("not found", root, "", words, _nav(root, offered))


def _document(title: str, root: str, head: str, *body: Node) -> bytes:
    """A name that is not text at all, as a lone surrogate, must not cost the whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" type="image/svg+xml" href="{root}{ICON.path[1:]}">'
        f'<link rel="stylesheet" href="{root}{STYLE.path[1:]}">{head}</head>'
        f'<body data-version="{VERSION}" data-events="{root}{EVENTS[1:]}">{"".join(map(html, body))}</body></html>\n'
    ).encode("utf-8", "replace")


def _header(about: About, seconds: int) -> Element:
    """Buttons come to life with the script; without one nobody sees them."""
    return el(
        "header",
        el("h1", "goodwatt"),
        el("span", about.version, class_="soft"),
        el("p", f"as of loading; comes again every {seconds} s", id="link", role="status", data_state="loaded"),
        el("button", "Pause", type="button", id="pause", hidden="hidden"),
        el(
            "button",
            "\N{CIRCLE WITH LEFT HALF BLACK} auto",
            type="button",
            id="theme",
            hidden="hidden",
            aria_label="Theme: auto",
        ),
    )


def _nav(root: str, links: Iterable[Link]) -> Element:
    anchors = (el("a", link.name, href=f"{root}{link.path[1:]}") for link in links)
    return el("nav", *anchors, aria_label="Pages of this exporter")
