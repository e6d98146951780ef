"""The HTML document around the live part. It works without script; the script only keeps it up to date."""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.goodwatt import is_simulated
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page.assets import ICON, SCRIPT, STYLE, VERSION
from goodwatt.publish.page.glossary import further_reading, glossary_section
from goodwatt.publish.page.history import History
from goodwatt.publish.page.html import Element, Node, el, html
from goodwatt.publish.page.live import live_nodes, waiting_nodes

EVENTS = "/-/events"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class NavigationLink(NamedTuple):
    """A path of this server, and its label in the navigation."""

    path: str
    name: str


def landing_page(
    snapshot: Snapshot | None, about: About, links: Iterable[NavigationLink], history: History | None = None
) -> bytes:
    """Render the whole page. Its links are relative, to work behind a prefix; without script it refreshes itself."""
    seconds = 1 if snapshot is None else max(1, round(snapshot.policy.interval_seconds))
    simulated = about.simulated if snapshot is None else is_simulated(snapshot, about)
    nodes = waiting_nodes(about) if snapshot is None else live_nodes(snapshot, about, history or History())
    return _document(
        "goodwatt (simulated)" if simulated else "goodwatt",
        "./",
        f'<noscript><meta http-equiv="refresh" content="{seconds}"></noscript><script src=".{SCRIPT.path}"></script>',
        _header(about, seconds),
        el("main", el("div", *nodes, id="live"), glossary_section(), further_reading()),
        _nav("./", links),
    )


def not_found_page(path: str, links: Iterable[NavigationLink]) -> bytes:
    """Render the 404 page for `path`, with links to the pages that exist."""
    root = "../" * (path.count("/") - 1) or "./"
    offered = (NavigationLink("/", "front page"), *links)
    message = el("main", el("h1", "Page not found"), el("p", "Try one of these:"))
    return _document("not found", root, "", message, _nav(root, offered))


def _document(title: str, root: str, head: str, *body: Node) -> bytes:
    """Encode the document. A name that UTF-8 cannot encode, such as a lone surrogate, is replaced by `?`."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" type="image/svg+xml" href="{root}{ICON.path[1:]}">'
        f'<link rel="stylesheet" href="{root}{STYLE.path[1:]}">{head}</head>'
        f'<body data-version="{VERSION}" data-events="{root}{EVENTS[1:]}">{"".join(map(html, body))}</body></html>\n'
    ).encode("utf-8", "replace")


def _header(about: About, seconds: int) -> Element:
    """Buttons stay hidden until the script enables them."""
    return el(
        "header",
        el("h1", "goodwatt"),
        el("span", about.version, class_="soft"),
        el("p", f"as of loading; refreshes every {seconds} s", id="link", role="status", data_state="loaded"),
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


def _nav(root: str, links: Iterable[NavigationLink]) -> Element:
    anchors = (el("a", link.name, href=f"{root}{link.path[1:]}") for link in links)
    return el("nav", *anchors, aria_label="Pages of this exporter")
