"""A receiver of Alertmanager's webhooks, in a thread of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Webhook:
    """Every alert of every notification, in the order in which they came."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.url = ""

    def told(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Alerts of that status whose labels include these."""
        return [one for one in self.alerts if one["status"] == status and labels.items() <= one["labels"].items()]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Listening on a loopback port that the system chose."""
    heard = Webhook()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.alerts += json.loads(body)["alerts"]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    heard.url = f"http://127.0.0.1:{server.server_port}/"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
