"""The streaming proxy beside no proxy, nginx and LiteLLM's proxy: in one run, in turns, before one local upstream.

The upstream and the client cost next to nothing and are processes of their own. goodwatt is the whole command, ticking
once a second. Time to first token is taken of one stream after the other, so that nobody waits for anybody else;
throughput of 64 streams that each get a token every 10 ms, as a busy engine gives them. On two cores the four programs
share what there is.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.observed import CpuShare, cpu_seconds, memory_bytes, page_server, program
from tests.bench.others import installed
from tests.bench.rows import CannotRun, Row, median, percentile
from tests.bench.stream_client import KEY, Seen
from tests.end_to_end.programs import free_port, get, goodwatt, until

LITELLM = "1.108.7"
EXTRAS = "0.4.110"
STREAMS, TOKENS, GAP_SECONDS = 64, 200, 0.01
TTFT_TARGET_MILLISECONDS, LOST_TARGET_PERCENT = 1.0, 5.0
PAGES = 16
MANY, SETTLE = 100_000, 10_000
GROWTH_MEBIBYTES = 8.0
DIRECT, OURS, NGINX, THEIRS = "direct", "goodwatt", "nginx", "LiteLLM"

GOODWATT = """
interval_seconds: 1
gpus: {{kind: none}}
servers: [{{name: a, proxy: {{listen: '127.0.0.1:{port}', upstream: '{upstream}'}}}}]
"""
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream engine {{ server {upstream}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
LITELLM_CONF = """
model_list:
- model_name: m
  litellm_params: {{model: openai/m, api_base: '{upstream}/v1', api_key: x}}
"""


def rows(quick: bool) -> list[Row]:
    """What each of them adds to the first token, takes from the throughput and costs; and whether memory grows."""
    rounds, single, many = (1, 200, SETTLE) if quick else (3, 600, MANY)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        upstream, pid = running.enter_context(_upstream())
        urls, pids = {DIRECT: upstream}, {DIRECT: pid}
        urls[OURS], pids[OURS] = running.enter_context(_goodwatt(Path(folder), upstream))
        urls[NGINX], pids[NGINX] = running.enter_context(_nginx(Path(folder), upstream))
        urls[THEIRS], pids[THEIRS] = running.enter_context(_litellm(Path(folder), upstream))
        first = _firsts(urls, pids, rounds, single)
        paced, cpu = _paced(urls, pids, rounds)
        flat_out = {name: _loaded(urls[name], 2, 2000, 0.0) for name in (DIRECT, OURS, NGINX)}
        grown = _growth(urls[OURS], pids[OURS], many)
    with tempfile.TemporaryDirectory() as folder, _upstream() as (upstream, _):
        gaps = list(_gaps(Path(folder), upstream, rounds))
    return [*_first_rows(first), *_paced_rows(paced, cpu), *gaps, *_flat_rows(flat_out), *grown]


@contextlib.contextmanager
def _upstream() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "tests.bench.stream_server"]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid


@contextlib.contextmanager
def _goodwatt(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    with goodwatt(folder, "run", config=GOODWATT.format(port=port, upstream=upstream)) as running:
        yield f"http://127.0.0.1:{port}", running.process.pid


@contextlib.contextmanager
def _nginx(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    port, file = free_port(), folder / "nginx.conf"
    file.write_text(NGINX_CONF.format(folder=folder, port=port, upstream=upstream.removeprefix("http://")))
    try:
        with program(["nginx", "-p", str(folder), "-c", str(file)]) as process:
            worker = until(lambda: _child(process.pid), seconds=5)
            yield f"http://127.0.0.1:{port}", worker
    except FileNotFoundError:
        raise CannotRun("nginx is missing: apt-get install --no-install-recommends nginx-light") from None


def _child(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


@contextlib.contextmanager
def _litellm(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    port, file = free_port(), folder / "litellm.yaml"
    file.write_text(LITELLM_CONF.format(upstream=upstream))
    wanted = [f"litellm[proxy]=={LITELLM}", f"litellm-proxy-extras=={EXTRAS}"]
    command = [
        str(installed("litellm", LITELLM, "litellm", wanted)),
        "--config",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    own = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    with program([*command, "--telemetry", "False"], {**os.environ, **own}) as process:
        until(lambda: get(f"http://127.0.0.1:{port}/health/liveliness")[0] == 200, seconds=120)
        yield f"http://127.0.0.1:{port}", process.pid


def _loaded(
    url: str, requests: int, tokens: int, gap: float, *, streams: int = STREAMS, watched: Sequence[str] = ()
) -> Seen:
    """One load, from a process of its own, so that the client never waits for this one."""
    arguments = json.dumps([url, streams, requests, tokens, gap, watched])
    command = [sys.executable, "-m", "tests.bench.stream_client", arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"{url} broke off: {' '.join(done.stderr.splitlines()[-1:])}")
    return Seen(**json.loads(done.stdout))


Rounds = dict[str, list[Seen]]


def _firsts(urls: Mapping[str, str], pids: Mapping[str, int], rounds: int, requests: int) -> Rounds:
    """One stream after the other. The first round is not counted."""
    found: Rounds = {name: [] for name in urls}
    for _ in range(2 * rounds):
        for name, url in urls.items():
            watched = ["self", *(str(pids[one]) for one in (DIRECT, name) if one != OURS), *_threads(name, pids)]
            found[name].append(_loaded(url, requests, 2, 0.0, streams=1, watched=watched))
    return {name: seen[1:] for name, seen in found.items()}


def _threads(name: str, pids: Mapping[str, int]) -> list[str]:
    """Of goodwatt those beside the main one: what passes through it never waits for that."""
    if name != OURS:
        return []
    tasks = (task.name for task in Path(f"/proc/{pids[OURS]}/task").iterdir())
    return [f"{pids[OURS]}/task/{task}" for task in tasks if task != str(pids[OURS])]


def _first_rows(found: Rounds) -> Iterator[Row]:
    yield from _added_rows("p50", {who: [_milliseconds(one, 0.5) for one in seen] for who, seen in found.items()})
    yield from _added_rows("p99", {who: [_milliseconds(one, 0.99) for one in seen] for who, seen in found.items()})
    left = {who: [_milliseconds(one, 0.99, less_waiting=True) for one in seen] for who, seen in found.items()}
    yield from _added_rows("p99, minus CPU wait", left)


def _milliseconds(seen: Seen, share: float, *, less_waiting: bool = False) -> float:
    waited = seen.waited if less_waiting else [0.0] * len(seen.ttfts)
    return 1000 * percentile([max(a - b, 0.0) for a, b in zip(seen.ttfts, waited, strict=True)], share)


def _added_rows(what: str, found: Mapping[str, list[float]]) -> Iterator[Row]:
    """What is added in a round, against the direct streams of the same round; of the rounds the middle one."""
    yield Row(f"first token, direct, {what}", median(found[DIRECT]), "ms")
    added = {
        who: median(one - base for one, base in zip(found[who], found[DIRECT], strict=True))
        for who in (OURS, NGINX, THEIRS)
    }
    for who, milliseconds in added.items():
        yield Row(f"{who} adds, {what}", milliseconds, "ms", TTFT_TARGET_MILLISECONDS if who == OURS else None)
    yield Row(f"goodwatt's to LiteLLM's, {what}", added[OURS] / added[THEIRS], "ratio", 1.0)


def _gaps(folder: Path, upstream: str, rounds: int) -> Iterator[Row]:
    """Whether a tick that reads many servers holds tokens back: milliseconds between two tokens that are 10 apart."""
    port, found = free_port(), {DIRECT: list[float](), OURS: list[float]()}
    with page_server() as pages:
        read = (f"{{name: s{n}, url: '{pages.url}/metrics?n={n}', timeout_seconds: 0.7}}" for n in range(PAGES))
        text = GOODWATT.format(port=port, upstream=upstream).rstrip().removesuffix("]")
        with goodwatt(folder, "run", config=f"{text}, {', '.join(read)}]\n"):
            for _ in range(rounds):
                for name, url in ((DIRECT, upstream), (OURS, f"http://127.0.0.1:{port}")):
                    found[name].append(1000 * percentile(_loaded(url, 4, 100, GAP_SECONDS, streams=16).gaps, 0.99))
    yield Row("p99 gap between tokens 10 ms apart, direct", median(found[DIRECT]), "ms")
    yield Row(f"the same through goodwatt, {PAGES} servers read each second", median(found[OURS]), "ms")


def _paced(
    urls: Mapping[str, str], pids: Mapping[str, int], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Tokens a second of 64 streams, and microseconds of CPU for each, by turns."""
    speeds: dict[str, list[float]] = {name: [] for name in urls}
    costs: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(rounds):
        for name, url in urls.items():
            before = cpu_seconds(pids[name]) if name in pids else 0.0
            seen = _loaded(url, 2, TOKENS, GAP_SECONDS)
            speeds[name].append(seen.tokens_per_second)
            if name in pids:
                costs[name].append(1e6 * (cpu_seconds(pids[name]) - before) / seen.tokens)
    return speeds, costs


def _paced_rows(speeds: Mapping[str, list[float]], costs: Mapping[str, list[float]]) -> Iterator[Row]:
    yield Row(f"tokens/s of {STREAMS} streams, direct", median(speeds[DIRECT]), "tokens/s")
    for name in (OURS, NGINX, THEIRS):
        lost = median(100 * (1 - ours / direct) for ours, direct in zip(speeds[name], speeds[DIRECT], strict=True))
        yield Row(f"lost of it through {name}", lost, "%", LOST_TARGET_PERCENT if name == OURS else None)
    for name in (OURS, NGINX, THEIRS):
        yield Row(f"CPU of {name} a token", median(costs[name]), "us")


def _flat_rows(found: Mapping[str, Seen]) -> Iterator[Row]:
    for name, seen in found.items():
        yield Row(f"tokens/s as fast as they come, {name}", seen.tokens_per_second, "tokens/s")


def _growth(url: str, pid: int, requests: int) -> list[Row]:
    """Memory over so many requests of two tokens, once the first ones have passed."""
    _loaded(url, SETTLE // STREAMS, 2, 0.0)
    before, share = memory_bytes(pid), CpuShare(pid)
    began = time.monotonic()
    _loaded(url, requests // STREAMS, 2, 0.0)
    seconds = time.monotonic() - began
    return [
        Row("resident memory of goodwatt", memory_bytes(pid) / 2**20, "MiB"),
        Row(f"growth over {requests} requests", (memory_bytes(pid) - before) / 2**20, "MiB", GROWTH_MEBIBYTES),
        Row("requests/s meanwhile", requests / seconds, "1/s"),
        Row("CPU meanwhile", share.percent(), "% of core"),
    ]
