"""Pictures of the dashboards: `python -m tests.grafana.render [MINUTES]` writes docs/dashboards/*.png.

A demo runs for MINUTES (default 25) under a real Prometheus; then Grafana's published UI libraries draw each dashboard
in Chromium. Needs node, npm, chromium, pngquant and prometheus; npm fills the cache folder with 750 MB. The dashboards
are first checked against Grafana's published TypeScript types.
"""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grafana.files import BOARDS, FOLDER
from tests.end_to_end.programs import goodwatt, prometheus

HERE = Path(__file__).parent / "view"
PICTURES = Path(__file__).parents[2] / "docs" / "dashboards"
CACHE = Path(os.environ.get("GOODWATT_CACHE", Path.home() / ".cache" / "goodwatt")) / "dashboard-view"
MINUTES, WIDTH = 25, 1400
TOPS = {"economics": 776, "goodput": 632}  # height in pixels of a second picture with only the top rows
CHOSEN = {"goodwatt-goodput": "&var-slo=strict", "goodwatt-economics": "&var-slo=comfortable"}
TSC = "--noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler check.ts"


def main(minutes: float) -> None:
    """Install, check, wait and draw."""
    _install()
    _check_types()
    with (
        tempfile.TemporaryDirectory() as scratch,
        goodwatt(Path(scratch), "demo") as demo,
        prometheus(Path(scratch), demo.url.removeprefix("http://")) as server,
        _served(CACHE) as page,
    ):
        print(f"history grows for {minutes:g} minutes", flush=True)
        time.sleep(60 * minutes)
        _draw(page, server.url, f"now-{max(1, round(minutes - 1))}m")


def _install() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE, CACHE, dirs_exist_ok=True)
    shutil.copytree(FOLDER, CACHE / "boards", dirs_exist_ok=True)
    _run("npm", "install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund")
    _run("node", "build.mjs")


def _check_types() -> None:
    _run("node", "types.mjs", "boards")
    _run("npx", "tsc", *TSC.split())


def _draw(page: str, prometheus_url: str, begin: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    for board in BOARDS:
        asked = f"dash=boards/{board.uid}.json&prom={prometheus_url}&from={begin}&scrape=5{CHOSEN.get(board.uid, '')}"
        name = board.uid.removeprefix("goodwatt-")
        _picture(name, f"{page}/?{asked}")
        if name in TOPS:
            _picture(f"{name}-top", f"{page}/?{asked}&most={TOPS[name]}")


def _picture(name: str, url: str) -> None:
    _run("node", "shot.mjs", str(PICTURES), str(WIDTH), f"{name}={url}")
    picture = str(PICTURES / f"{name}.png")
    _run("pngquant", "--force", "--strip", "--speed", "1", "--output", picture, "96", picture)
    print(f"drawn: docs/dashboards/{name}.png", flush=True)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """URL of a folder, for the browser."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _run(*command: str) -> None:
    subprocess.run(command, cwd=CACHE, check=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)
