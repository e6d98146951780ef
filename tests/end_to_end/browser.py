"""A real Chromium that looks at pages of goodwatt, and a proxy to look through."""

import contextlib
import http.client
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, sync_playwright

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of the system. Fails when it is not installed."""
    program = shutil.which("chromium")
    assert program, "Chromium is missing: apt-get install --no-install-recommends chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of the browser that remembers what it complained of and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.responses: list[Response] = []
        page.on("console", lambda said: self._complain(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        self.responses.append(response)

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def state(self) -> str:
        """What the page says of its connection: loaded, waiting, live, lost or paused."""
        return str(self.page.get_attribute("#link", "data-state"))

    def wait_for(self, state: str, seconds: float = 15.0) -> str:
        """The words of that state, once it is there."""
        self.page.wait_for_selector(f"#link[data-state={state}]", timeout=seconds * 1000)
        return self.page.inner_text("#link")

    def changes(self, selector: str = "#live", seconds: float = 15.0) -> None:
        """Wait until the text of an element is another one."""
        text = self.page.text_content(selector)
        script = "([selector, text]) => document.querySelector(selector)?.textContent !== text"
        self.page.wait_for_function(script, arg=[selector, text], timeout=seconds * 1000)


@contextlib.contextmanager
def tab(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """A fresh tab of a fresh profile at this address."""
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    try:
        opened = Tab(context.new_page())
        opened.page.goto(url)
        yield opened
    finally:
        context.close()


@contextlib.contextmanager
def proxied(url: str, prefix: str) -> Iterator[str]:
    """A reverse proxy that shows `url` under a path; gives its address."""
    behind = urlsplit(url)

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(behind.hostname or "", behind.port, timeout=30)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", self.path.removeprefix(prefix) if self._within() else "/outside")
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Security-Policy", "Cache-Control"):
                    if value := answer.getheader(name):
                        self.send_header(name, value)
                self.end_headers()
                while block := answer.read1(65536):
                    self.wfile.write(block)

        def _within(self) -> bool:
            return self.path.startswith(f"{prefix}/")

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
