"""A running goodwatt whose configuration and servers change under it: real processes, real signals, real HTTP."""

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs import Goodwatt, get, goodwatt, until
from tests.fakes.engine_thread import EngineThread
from tests.fakes.nvml_stub import Stub, build, stub_of

BASE = "interval_seconds: 0.25\nwindow_seconds: 1\ngpus: {kind: none}\n"
TOKENS = "goodwatt_generated_tokens_total"


def up(running: Goodwatt, name: str) -> None:
    """One read may be late on a busy machine."""
    until(lambda: running.page().sum("goodwatt_server_up", server=name) == 1, seconds=5, why=running.logged)


@pytest.fixture(scope="module")
def engines() -> Iterator[EngineThread]:
    with EngineThread(("a", "b")) as running:
        yield running


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def servers(engines: EngineThread, *names: str) -> str:
    listed = (f"{{name: {name}, url: '{engines.url(name)}'}}" for name in names)
    return f"servers: [{', '.join(listed)}]\n"


def send(running: Goodwatt, method: str, path: str = "/-/reload") -> tuple[int, str, str]:
    """Status, text, and the methods that are allowed."""
    request = urllib.request.Request(f"{running.url}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), ""
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode(), refused.headers.get("Allow", "")


def write(running: Goodwatt, config: str) -> None:
    (running.log.parent / "goodwatt.yaml").write_text(config)


def hash_of(running: Goodwatt) -> str:
    (labels,) = running.page().all("goodwatt_config_info")
    return dict(labels)["hash"]


def test_sighup_reloads_and_keeps_unchanged_servers(tmp_path: Path, engines: EngineThread) -> None:
    """SIGHUP takes a server away, brings one, and changes interval, prices and objectives; the counters of the server
    that stays continue, and hash and /config follow."""
    with goodwatt(tmp_path, "run", config=BASE + servers(engines, "a")) as running:
        until(lambda: (running.page().sum(TOKENS, server="a") or 0) > 0, seconds=5, why=running.logged)
        first, before = hash_of(running), running.page().sum(TOKENS, server="a")
        began = running.page().sum("goodwatt_config_last_reload_success_timestamp_seconds")
        write(
            running,
            BASE.replace("0.25", "0.2")
            + servers(engines, "a", "b")
            + "cost: {price_per_kwh: 0.25}\nslos: [{name: new, ttft_seconds: 5}]\n",
        )
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.page().sum(TOKENS, server="b") is not None, seconds=5, why=running.logged)
        page = running.page()
        after = page.sum(TOKENS, server="a")
        assert before is not None and after is not None and after >= before
        assert page.sum("goodwatt_interval_seconds") == 0.2
        assert {dict(labels)["slo"] for labels in page.all("goodwatt_slo_objective_ratio")} == {"new"}
        assert hash_of(running) != first and "price_per_kwh: 0.25" in get(f"{running.url}/config")[1]
        assert page.sum("goodwatt_config_last_reload_successful") == 1
        now = page.sum("goodwatt_config_last_reload_success_timestamp_seconds")
        assert began is not None and now is not None and began < now <= time.time()
        write(running, BASE + servers(engines, "b"))
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.page().sum("goodwatt_server_up", server="a") is None, seconds=5, why=running.logged)
        assert running.page().sum(TOKENS, server="a") is None
        assert "server/a: no longer read" in running.logged()
        assert running.terminate()[0] == 0


def test_an_invalid_file_keeps_the_previous_configuration(tmp_path: Path, engines: EngineThread) -> None:
    """Every error is logged and returned, the metric is 0 and goodwatt keeps running; a valid file recovers."""
    good = BASE + servers(engines, "a")
    with goodwatt(tmp_path, "run", "--web.enable-lifecycle", config=good) as running:
        before = hash_of(running)
        write(running, "intervall_seconds: 1\nwindow_seconds: -1\n")
        status, text, _ = send(running, "POST")
        assert status == 500
        assert "goodwatt.yaml:1: unknown key 'intervall_seconds'" in text and "goodwatt.yaml:2: window_seconds" in text
        page = running.page()
        assert page.sum("goodwatt_config_last_reload_successful") == 0 and hash_of(running) == before
        assert page.sum("goodwatt_window_seconds") == 1
        up(running, "a")
        assert running.logged().count("level=error") == 3
        (tmp_path / "goodwatt.yaml").unlink()
        assert send(running, "PUT")[0] == 500
        write(running, good.replace("window_seconds: 1", "window_seconds: 2"))
        status, text, _ = send(running, "PUT")
        assert (status, text) == (200, f"configuration {hash_of(running)} is in force\n")
        page = running.page()
        assert page.sum("goodwatt_config_last_reload_successful") == 1 and page.sum("goodwatt_window_seconds") == 2


def test_http_reload_needs_the_flag(tmp_path: Path) -> None:
    """Without the flag a POST is rejected with one line that names the flag; a GET never reloads."""
    with goodwatt(tmp_path, "run", config=BASE + "servers: []\n") as running:
        assert send(running, "POST") == (
            403,
            "reloading over HTTP is disabled; start with --web.enable-lifecycle, or send SIGHUP\n",
            "",
        )
        assert send(running, "GET")[::2] == (405, "POST, PUT")
        assert send(running, "POST", "/metrics")[::2] == (405, "GET, HEAD")


def test_a_reload_does_not_wait_for_a_long_interval(tmp_path: Path) -> None:
    """Even with an interval of minutes, a reload takes effect promptly."""
    long = "interval_seconds: 300\nwindow_seconds: 600\nservers: []\ngpus: {kind: none}\n"
    with goodwatt(tmp_path, "run", "--web.enable-lifecycle", config=long) as running:
        write(running, BASE + "servers: []\n")
        began = time.monotonic()
        assert send(running, "POST")[0] == 200
        assert time.monotonic() - began < 2.0
        assert running.page().sum("goodwatt_interval_seconds") == 0.25
        ticks = running.page().sum("goodwatt_ticks_total") or 0
        until(lambda: (running.page().sum("goodwatt_ticks_total") or 0) >= ticks + 2, seconds=3)


def test_gpus_may_come_and_go(tmp_path: Path, library: Path) -> None:
    """Removing `gpus` ends its series and the rental cost; adding it again resumes the energy counters."""
    stub: Stub = stub_of(tmp_path, 1)
    watched = "interval_seconds: 0.2\nwindow_seconds: 1\nservers: []\ncost: {price_per_gpu_hour: 3600}\n"
    environment = stub.environ(library)
    with goodwatt(tmp_path, "run", "--web.enable-lifecycle", config=watched, environment=environment) as running:
        energy, cost = "goodwatt_gpu_energy_joules_total", "goodwatt_unattributed_cost_total"
        until(lambda: (running.page().sum(energy) or 0) > 0, seconds=5, why=running.logged)
        write(running, watched + "gpus: {kind: none}\n")
        assert send(running, "POST")[0] == 200
        page = running.page()
        assert page.sum(energy) is None and page.sum("goodwatt_source_up", source="nvml") is None
        spent = page.sum(cost)
        time.sleep(0.6)
        assert running.page().sum(cost) == spent
        write(running, watched)
        assert send(running, "POST")[0] == 200
        until(lambda: (running.page().sum(energy) or 0) > 0, seconds=5, why=running.logged)


def test_without_a_file_and_in_the_demo_there_is_nothing_to_reload(tmp_path: Path) -> None:
    """SIGHUP logs one line and changes nothing; it does not end the process."""
    for command, why in (("run", "there is no --config FILE to read again"), ("demo", "this is the demo")):
        folder = tmp_path / command
        folder.mkdir()
        with goodwatt(folder, command, "--web.enable-lifecycle") as running:
            running.process.send_signal(signal.SIGHUP)
            until(lambda r=running, w=why: f"reload: ignored: {w}" in r.logged(), seconds=5)
            assert send(running, "POST")[:2] == (500, f"ignored: {why}\n")
            assert running.page().sum("goodwatt_config_last_reload_successful") == 1
            assert running.terminate()[0] == 0


def test_servers_follow_the_files_that_list_them(tmp_path: Path, engines: EngineThread) -> None:
    """Servers come and go with their files, JSON and YAML, without a reload; a half-written file changes nothing and
    is reported once."""
    folder = tmp_path / "servers"
    folder.mkdir()
    address = {name: engines.url(name).removeprefix("http://") for name in ("a", "b")}
    labels = {"goodwatt_name": "a", "goodwatt_engine": "vllm"}
    (folder / "a.json").write_text(json.dumps([{"targets": [address["a"]], "labels": labels}]))
    config = f"{BASE}server_discovery: [{{files: ['{folder}/*.json', '{folder}/*.yaml']}}]\n"
    with goodwatt(tmp_path, "run", config=config) as running:
        until(lambda: running.page().sum(TOKENS, server="a") is not None, seconds=5, why=running.logged)
        assert "no file matches" in running.logged()
        (folder / "b.yaml").write_text(f"- targets: ['{address['b']}']\n")
        name = address["b"].replace(":", "-")
        until(lambda: running.page().sum(TOKENS, server=name) is not None, seconds=5, why=running.logged)
        (folder / "a.json").write_text('[{"targets": [')
        until(lambda: "is rejected; the 1 servers of its last good version stay" in running.logged(), seconds=5)
        time.sleep(1.2)  # two more looks
        assert running.logged().count("is not valid JSON") == 1
        up(running, "a")
        (folder / "a.json").write_text("[]")
        until(lambda: running.page().sum("goodwatt_server_up", server="a") is None, seconds=5, why=running.logged)
        up(running, name)
        (folder / "b.yaml").unlink()
        until(lambda: not running.page().all("goodwatt_server_up"), seconds=5, why=running.logged)


def test_a_hung_server_does_not_keep_a_reload(tmp_path: Path, engines: EngineThread) -> None:
    """A reload that removes a server that accepts connections but never answers completes within its timeout."""
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen()
        silent = f"servers: [{{name: h, url: 'http://127.0.0.1:{hung.getsockname()[1]}', timeout_seconds: 1}}]\n"
        slow = BASE.replace("0.25", "2").replace("window_seconds: 1", "window_seconds: 4")
        with goodwatt(tmp_path, "run", "--web.enable-lifecycle", config=slow + silent) as running:
            write(running, BASE + servers(engines, "a"))
            began = time.monotonic()
            assert send(running, "POST")[0] == 200
            assert time.monotonic() - began < 4.0
            assert running.page().sum("goodwatt_server_up", server="h") is None
            up(running, "a")
