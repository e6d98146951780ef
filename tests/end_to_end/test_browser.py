"""The live page in a real Chromium, over the demo and over servers that come and go."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.end_to_end.browser import Tab, chromium, proxied, tab
from tests.end_to_end.programs import Goodwatt, free_port, get, goodwatt, until
from tests.fakes.engine_thread import EngineThread

pytestmark = pytest.mark.deploy

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
PRICED = "interval_seconds: 0.5\nwindow_seconds: 10\ncost: {currency: USD, price_per_gpu_hour: 1.69}\n"
HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;<script>alert(2)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goodwatt]:
    with goodwatt(tmp_path_factory.mktemp("demo"), "demo", config=PRICED) as running:
        yield running


def test_the_figures_move_and_nothing_complains(browser: Browser, demo: Goodwatt) -> None:
    """The demo's page says simulated, comes alive, moves, has trends, asks only its own server; there is no error."""
    with tab(browser, demo.url) as one:
        assert one.page.locator("strong.simulated").inner_text() == "simulated: not measured on real hardware"
        assert one.page.title() == "goodwatt (simulated)"
        one.wait_for("live")
        for _ in range(3):
            one.changes("#live .figure")
        assert one.page.locator("article").count() == 2
        one.page.wait_for_selector("svg.trend[role=img] path.line")
        assert {answer.url.rpartition(":")[2].partition("/")[0] for answer in one.responses} == {demo.url[-5:]}
        assert one.complaints == []


def test_everything_together_is_below_60_kilobytes(browser: Browser, demo: Goodwatt) -> None:
    """Page, script, style and icon of the demo are below 60 KB uncompressed; the policy comes with the page."""
    with tab(browser, demo.url) as one:
        one.wait_for("live")
        files = {answer.url.removeprefix(demo.url): answer for answer in one.responses}
        sizes = {path: len(answer.body()) for path, answer in files.items() if not path.endswith("/events")}
        assert {"/", "/-/page.js", "/-/page.css"} <= set(sizes)
        assert 10_000 < sum(sizes.values()) < 60_000
        policy = files["/"].headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy


OVERFLOW = """() => {
  document.querySelectorAll("details").forEach((one) => (one.open = true));
  const wide = [...document.querySelectorAll("body *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 1 && (box.right > innerWidth + 0.5 || box.left < -0.5);
  });
  return [document.documentElement.scrollWidth, wide.map((one) => one.outerHTML.slice(0, 120))];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 480, 768, 866, 1024, 1280])
def test_no_width_scrolls_sideways(browser: Browser, demo: Goodwatt, width: int, scheme: str) -> None:
    """From a phone to a desktop nothing extends beyond the screen, with every definition open."""
    with tab(browser, demo.url, viewport={"width": width, "height": 740}, color_scheme=scheme) as one:
        one.wait_for("live")
        assert one.page.evaluate(OVERFLOW) == [width, []]


def test_resizing_goes_both_ways(browser: Browser, demo: Goodwatt) -> None:
    """A table becomes a list of its rows on a narrow screen and a table again on a wide one."""
    with tab(browser, demo.url, viewport=DESK) as one:
        one.wait_for("live")
        cells = one.page.locator("section:has(#gpus) tbody tr:first-child > *")

        def tops() -> set[float]:
            return {box["y"] for cell in cells.all() if (box := cell.bounding_box())}

        assert len(tops()) == 1
        one.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        assert len(tops()) == cells.count()
        assert one.page.evaluate(OVERFLOW) == [360, []]
        one.page.set_viewport_size(DESK)  # type: ignore[arg-type]
        assert len(tops()) == 1


CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgba(colour).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    while (one && rgba(getComputedStyle(one).backgroundColor)[3] === 0) one = one.parentElement;
    return getComputedStyle(one).backgroundColor;
  };
  document.querySelectorAll("details").forEach((one) => (one.open = true));
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    if (![...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 100)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, demo: Goodwatt, scheme: str) -> None:
    """Every text has a contrast of at least 4.5 to what is behind it (WCAG AA), in both schemes, lost or not."""
    with tab(browser, demo.url, color_scheme=scheme) as one:
        one.wait_for("live")
        for _ in ("live", "lost"):
            found = one.page.evaluate(CONTRAST)
            assert len(found) > 100
            assert [what for contrast, what in found if contrast < 4.5] == []
            one.page.evaluate("document.getElementById('link').dataset.state = 'lost'")


def test_dark_and_light(browser: Browser, demo: Goodwatt) -> None:
    """The page follows the system, a click chooses otherwise, and the choice is kept over a reload."""

    def brightness(one: Tab) -> int:
        colour = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))))

    with tab(browser, demo.url, color_scheme="dark") as one:
        button = one.page.get_by_role("button", name="Theme: auto")
        assert brightness(one) < 150
        one.page.emulate_media(color_scheme="light")
        assert brightness(one) > 600
        button.click()
        one.page.get_by_role("button", name="Theme: light").click()
        assert brightness(one) < 150
        one.page.reload()
        assert brightness(one) < 150
        one.page.get_by_role("button", name="Theme: dark").click()
        assert brightness(one) > 600
        assert one.complaints == []


def test_it_can_be_used_with_the_keyboard(browser: Browser, demo: Goodwatt) -> None:
    """Tab reaches every button, definition and link in their order, and shows where it is; Enter opens a definition,
    and neither that nor the focus is lost when new figures come."""
    with tab(browser, demo.url) as one:
        one.wait_for("live")
        reached = []
        for _ in range(40):
            one.page.keyboard.press("Tab")
            name, outline = one.page.evaluate(
                "(({ activeElement: one }) => "
                "[one.localName + ' ' + one.textContent, getComputedStyle(one).outlineStyle])(document)"
            )
            if name.startswith("body"):
                break
            assert outline == "solid", name
            reached.append(name)
        kinds = [name.split()[0] for name in reached]
        assert kinds == ["button"] * 2 + ["summary"] * kinds.count("summary") + ["a"] * 4
        assert kinds.count("summary") >= 8 and reached[0] == "button Pause" and reached[-1] == "a ready"
        one.page.locator("summary").first.focus()
        one.page.keyboard.press("Enter")
        one.changes()
        one.changes()
        assert one.page.locator("details").first.get_attribute("open") is not None
        assert one.page.evaluate("document.activeElement.localName") == "summary"


def test_a_reader_keeps_its_place(browser: Browser, demo: Goodwatt) -> None:
    """New figures change texts in place: the elements stay the same ones, and so do selection and scrolling."""
    with tab(browser, demo.url, viewport=PHONE) as one:
        one.wait_for("live")
        one.page.evaluate("scrollTo(0, 900); window.row = document.querySelector('#live tbody tr:last-child')")
        one.page.evaluate("getSelection().selectAllChildren(document.querySelector('#live tbody th'))")
        selected = one.page.evaluate("String(getSelection())")
        for _ in range(3):
            one.changes()
        assert one.page.evaluate("row.isConnected && scrollY === 900")
        assert one.page.evaluate("String(getSelection())") == selected != ""


def test_pausing_stops_it_and_resuming_goes_on(browser: Browser, demo: Goodwatt) -> None:
    """A click on Pause keeps the figures as they are, and Resume brings new ones; a hidden page listens to nothing."""
    with tab(browser, demo.url) as one:
        one.wait_for("live")
        one.page.get_by_role("button", name="Pause").click()
        assert one.wait_for("paused").startswith("paused at ")
        text = one.page.text_content("#live")
        one.page.wait_for_timeout(1500)
        assert one.page.text_content("#live") == text
        one.page.get_by_role("button", name="Resume").click()
        assert one.wait_for("live") == "live"
        one.changes()
        hide = "document.dispatchEvent(new Event('visibilitychange'))"
        one.page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: true, configurable: true}}); {hide}")
        text = one.page.text_content("#live")
        one.page.wait_for_timeout(1500)
        assert one.page.text_content("#live") == text
        one.page.evaluate(f"delete document.hidden; {hide}")
        one.changes()
        assert (one.state(), one.complaints) == ("live", [])


def test_the_exporter_lost_and_back(browser: Browser, tmp_path: Path) -> None:
    """When goodwatt is killed the page says since when, in its title too, and keeps the figures; when it is back the
    page goes on by itself and says so. SIGTERM ends the process at once with the page open."""
    port = free_port()
    with ExitStack() as running, tab(browser, "about:blank") as one:
        with goodwatt(tmp_path, "demo", config=PRICED, port=port) as first:
            one.page.goto(first.url)
            one.wait_for("live")
            one.changes()
            first.process.kill()
            said = one.wait_for("lost")
        assert said.startswith("lost since ") and said.endswith("showing the last figures received. Reconnecting")
        assert one.page.title().startswith("lost ")
        assert one.page.locator("#live .figure").first.is_visible()
        one.page.wait_for_timeout(2500)
        assert one.page.inner_text("#link") == said
        second = running.enter_context(goodwatt(tmp_path, "demo", config=PRICED, port=port))
        assert one.wait_for("live", 40).startswith("live again since ")
        assert one.page.title() == "goodwatt (simulated)"
        one.changes()
        code, seconds = second.terminate()
        assert (code, seconds < 2.0) == (0, True)
        one.wait_for("lost")
        assert all("ERR_CONNECTION_REFUSED" in each or "ERR_INCOMPLETE" in each for each in one.complaints)


def test_a_server_lost_and_back(browser: Browser, tmp_path: Path) -> None:
    """A server that fails is down on the open page, with the reason and what to do, its model gone; healed it is up
    again. Nothing of it is simulated but the server."""
    with EngineThread(["chat"]) as engines:
        config = (
            f"interval_seconds: 1\nwindow_seconds: 5\ngpus: {{kind: none}}\n"
            f"servers: [{{name: chat, url: '{engines.url('chat')}'}}]\n"
        )
        with goodwatt(tmp_path, "run", config=config) as running, tab(browser, running.url) as one:
            one.wait_for("live")
            one.page.wait_for_selector("section:has(#models)")
            row = one.page.locator("section:has(#sources) tbody tr")
            row.locator("td.up").wait_for()
            assert row.locator("td").first.inner_text() == "up"
            assert "no GPU can be read" in (one.page.text_content("#live") or "")
            engines.break_("chat", 500)
            row.locator("td.down").wait_for()
            row.locator("td", has_text="http_error: ").wait_for()
            one.page.wait_for_selector("section:has(#models)", state="detached")
            why = row.locator("td").last.inner_text()
            assert why.startswith("http_error: server/chat: ") and why.endswith("HTTP 500; see the server's own log")
            assert one.page.locator("article").count() == 0
            assert "No inference server can be read." in one.page.inner_text("#live")
            engines.break_("chat", None)
            row.locator("td.up").wait_for()
            one.page.wait_for_selector("section:has(#models)")
            assert one.complaints == []


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """A model whose name is markup shows as text, at load and after every event."""
    with EngineThread(["chat"], HOSTILE) as engines:
        config = f"interval_seconds: 0.3\nservers: [{{name: chat, url: '{engines.url('chat')}'}}]\n"
        with goodwatt(tmp_path, "run", config=config) as running, tab(browser, running.url) as one:
            one.wait_for("live")
            one.page.wait_for_selector("article")
            one.changes()
            assert HOSTILE in one.page.locator("article h3").inner_text()
            one.page.reload()
            assert HOSTILE in one.page.locator("article h3").inner_text()
            one.wait_for("live")
            assert one.page.locator("img, #live script").count() == 0
            assert one.complaints == []


def tree(one: Tab) -> list[dict[str, Any]]:
    """What the browser tells a screen reader."""
    session = one.page.context.new_cdp_session(one.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    return [
        {"role": node["role"]["value"], "name": node.get("name", {}).get("value", "")}
        for node in nodes
        if not node["ignored"]
    ]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_screen_reader_finds_its_way(browser: Browser, demo: Goodwatt, viewport: dict[str, int]) -> None:
    """Landmarks, headings, tables with rows, headers and captions, drawings in words, buttons: all named, and tables
    stay tables on a phone."""
    with tab(browser, demo.url, viewport=viewport) as one:
        one.wait_for("live")
        one.page.wait_for_selector("svg.trend")
        nodes = tree(one)

        def names(role: str) -> list[str]:
            return [node["name"] for node in nodes if node["role"] == role]

        assert len(names("main")) == len(names("banner")) == len(names("status")) == 1
        assert names("navigation") == ["Pages of this exporter"]
        headings = ["Servers and models", "GPUs", "SLOs", "Sources", "What the figures mean"]
        assert set(headings) <= set(names("heading")) and set(headings) <= set(names("region"))
        tables = names("table")
        assert len(tables) == 4 and all(tables)
        assert len(names("row")) >= 10 and len(names("rowheader")) >= 9
        assert {"Tokens/s", "Power", "Met", "Reason, and what to do"} <= set(names("columnheader"))
        images = names("image") + names("img")
        assert len(images) >= 4 and all("over the last" in name for name in images)
        assert names("button") == ["Pause", "Theme: auto"]
        assert all(names("link")) and all(names("DisclosureTriangle"))


def test_without_script(browser: Browser, demo: Goodwatt) -> None:
    """Without script the figures of the snapshot are there, no dead button is, and the page comes again by itself."""
    with tab(browser, demo.url, java_script_enabled=False) as one:
        assert one.page.inner_text("#link") == "as of loading; refreshes every 1 s"
        assert one.page.locator("#live .figure").count() == 6
        assert one.page.locator("button:visible").count() == 0
        first = len(one.responses)
        one.page.wait_for_timeout(2500)
        assert sum(answer.url == f"{demo.url}/" for answer in one.responses[first:]) >= 1
        assert one.complaints == []


def test_behind_a_prefix(browser: Browser, demo: Goodwatt) -> None:
    """Behind a proxy that shows goodwatt under a path everything of the page is found there, a page of links too."""
    with proxied(demo.url, "/tools/goodwatt") as url, tab(browser, url) as one:
        one.wait_for("live")
        one.changes()
        assert one.complaints == []
        one.page.get_by_role("link", name="healthy").click()
        assert one.page.url == f"{url}-/healthy" and one.page.inner_text("body").strip() == "ok"
        one.page.goto(f"{url}no//where/")
        assert one.page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "flex"
        one.page.get_by_role("link", name="front page").click()
        one.wait_for("live")


SAID = """() => {
  const link = document.getElementById('link');
  window.said = [];
  new MutationObserver(() => window.said.push(link.textContent)).observe(link, { childList: true });
}"""


def test_one_page_too_many_says_so(browser: Browser, tmp_path: Path) -> None:
    """With every stream taken another page shows the figures at load and says why it is not live, once and not at
    every try; once there is room it is."""
    with goodwatt(tmp_path, "demo", config=PRICED) as running, ExitStack() as taken:
        until(lambda: get(f"{running.url}/")[1].count('class="figure"') == 6, seconds=10)
        port = int(running.url.rpartition(":")[2])
        for _ in range(32):
            one_more = taken.enter_context(socket.create_connection(("127.0.0.1", port)))
            one_more.sendall(b"GET /-/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one_more.recv(12) == b"HTTP/1.1 200"
        with tab(browser, running.url) as one:
            assert one.page.locator("#live .figure").count() == 6
            one.page.wait_for_function("() => document.getElementById('link').textContent.includes('too many pages')")
            one.page.evaluate(SAID)
            with one.page.expect_response(lambda told: told.request.method == "HEAD", timeout=15_000):
                pass
            assert one.page.evaluate("window.said") == []
            taken.close()
            one.wait_for("live", 40)


def test_another_version_reloads_the_page(browser: Browser, demo: Goodwatt) -> None:
    """When the stream comes from another version of goodwatt, the page reloads itself once."""
    with tab(browser, demo.url) as one:
        one.wait_for("live")
        other = json.dumps({"version": "other", "at": 1, "interval_seconds": 1, "live": ["other"]})
        one.page.route(
            "**/-/events", lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {other}\n\n")
        )
        with one.page.expect_navigation():
            one.page.get_by_role("button", name="Pause").click()
            one.page.get_by_role("button", name="Resume").click()
        loads = sum(answer.url == f"{demo.url}/" for answer in one.responses)
        one.page.wait_for_timeout(2500)
        assert sum(answer.url == f"{demo.url}/" for answer in one.responses) == loads == 2


def test_motion_is_left_out_for_who_wants_none(browser: Browser, demo: Goodwatt) -> None:
    """With reduced motion nothing moves by itself but the figures."""
    script = (
        "[...document.querySelectorAll('*')].filter((one) => getComputedStyle(one).transitionDuration !== '0s' "
        "|| getComputedStyle(one).animationName !== 'none').length"
    )
    with tab(browser, demo.url, reduced_motion="reduce") as one:
        one.wait_for("live")
        assert one.page.evaluate(script) == 0
