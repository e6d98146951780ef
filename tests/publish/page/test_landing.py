"""The landing page: its figures, the reasons for missing ones, and its safety against hostile names."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodwatt.model.engine import Signal
from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.ledger import Account
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.snapshot import Live, Snapshot, TokenRates
from goodwatt.model.source import Reason, Unavailable
from goodwatt.model.tariff import Tariff
from goodwatt.publish.http import About
from goodwatt.publish.page.assets import SCRIPT, STYLE
from goodwatt.publish.page.document import CONTENT_SECURITY_POLICY, NavigationLink, landing_page, not_found_page
from goodwatt.publish.page.glossary import glossary_section
from goodwatt.publish.page.headline import headline
from goodwatt.publish.page.html import html
from goodwatt.sources.gpu.device import THROTTLE_BITS
from tests.fakes import snapshots as fake
from tests.publish.pages import recorded, small
from tests.publish.serving import ABOUT, serving

LINKS = (NavigationLink("/metrics", "metrics"),)
HOSTILE = "<script>alert(1)</script>\"'&amp;</title><img src=x onerror=alert(1)>"
ACCOUNT = Account("vllm-0", "tiny")


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text += data + "\n"


def read(s: Snapshot | None, about: About = ABOUT) -> Reader:
    return Reader(landing_page(s, about, LINKS).decode())


def notes(s: Snapshot) -> list[str]:
    """Why each of the three figures is missing; empty where it is not."""
    return [figure.note if figure.value is None else "" for figure in headline(s, ACCOUNT, s.live[ACCOUNT])]


def with_live(s: Snapshot, **changes: object) -> Snapshot:
    return replace(s, live={ACCOUNT: replace(s.live[ACCOUNT], **changes)})


def test_three_figures() -> None:
    """The page leads with tokens per watt, cost per million tokens and goodput, as the metrics have them."""
    s = small()
    efficiency, cost, goodput = headline(s, ACCOUNT, s.live[ACCOUNT])
    assert (efficiency.value, efficiency.note) == ("4.2", "0.238 J per token, at 1,230 W")
    assert (cost.value, cost.unit, cost.note) == ("0.182", "USD", "3.38 USD per hour")
    assert (goodput.value, goodput.unit) == ("19.6 to 19.8", "requests/s")
    assert goodput.note == "98 to 99 % of requests meet SLO default"
    text = read(s).text
    for figure in (efficiency, cost, goodput):
        assert figure.label in text
        assert str(figure.value) in text


def test_missing_figures_say_why() -> None:
    """A figure that is missing says which of tokens, energy, price and requests it lacks."""
    s = small()
    no_tokens = "no token was generated in the last 60 s"
    assert notes(with_live(s, tokens=TokenRates(0.0, 0.0))) == [no_tokens, f"{no_tokens}; 3.38 USD per hour", ""]
    assert notes(with_live(s, watts=None)) == ["no energy was counted for it", "", ""]
    assert notes(replace(with_live(s, watts=None), gpus=None))[0] == "no GPU can be read; see Sources below"
    assert notes(replace(s, policy=Policy()))[1] == "no price is configured; add cost: to the configuration"
    assert notes(with_live(s, cost_per_second=None))[1] == "no cost has been counted for it yet"
    assert notes(replace(with_live(s, cost_per_second=None), gpus=None))[1].startswith("no GPU can be read")
    assert notes(with_live(s, tokens=TokenRates()))[0] == "the engine does not count generated tokens"
    assert notes(replace(s, slo_live={}))[2] == "this server's latency histograms cover no SLO"
    (key,) = s.slo_live
    quiet = replace(s, slo_live={key: replace(s.slo_live[key], eligible=0.0, good_lower=0.0, good_upper=0.0)})
    assert notes(quiet)[2] == "no request finished in the last 60 s"
    assert no_tokens in read(with_live(s, tokens=TokenRates(0.0, 0.0))).text


def test_gpus_objectives_and_sources() -> None:
    """The page lists GPUs, objectives with bounds, and sources with the reason of those that are down."""
    text = read(small()).text
    for word in ("NVIDIA H100 80GB HBM3", "614 of 700 W", "97 %", "74 of 80 GiB", "64 °C", "measured"):
        assert word in text
    assert "98 to 99 % of 1,200" in text
    assert "unreachable: http://127.0.0.1:8001: connection refused; is the server running?" in text
    assert "never" in text


def test_a_gpu_with_few_readings() -> None:
    """A GPU without readings has dashes with the reason, and its state in words."""
    s = small()
    assert s.gpus is not None
    bare = GpuReading(gpu=s.gpus.gpus[0].gpu, at_seconds=0.0, state=GpuState.LOST)
    text = read(replace(s, gpus=replace(s.gpus, gpus=(bare,)))).text
    assert text.count("\N{EN DASH}\n") == 6
    assert "Power, Utilization, Memory, Temperature, Throttled by, Energy: the GPU cannot be reached" in text
    assert "lost" in text
    blind = replace(bare, state=GpuState.OK)
    assert "Energy: the driver does not report it" in read(replace(s, gpus=replace(s.gpus, gpus=(blind,)))).text


def test_power_without_a_limit() -> None:
    """Power is shown without a limit where there is none."""
    s = small()
    assert s.gpus is not None
    free = fake.without_quantity(s.gpus.gpus[0], "power_limit_watts")
    assert "614 W" in read(replace(s, gpus=replace(s.gpus, gpus=(free,)))).text


def test_without_servers_and_gpus() -> None:
    """A page without any server or GPU says so and still shows the sources."""
    down = Unavailable(Reason.DRIVER_MISSING, "nvml: driver not loaded; install the NVIDIA driver")
    nothing = fake.after([{"nvml": down}] * 2)
    reader = read(nothing)
    assert "No inference server can be read." in reader.text
    assert "driver_missing: nvml: driver not loaded" in reader.text
    assert "Product" not in reader.text
    first = fake.after([{"server/vllm-0": fake.page("vllm-0", 0)}])
    assert "Waiting for the second tick of a served model." in read(first).text


def test_notes_of_a_gpu_source_are_listed() -> None:
    """What a driver refuses is on the page in the words of the source, escaped; without a refusal there is no list."""
    s = small()
    assert s.gpus is not None
    refused = replace(s, gpus=replace(s.gpus, notes=(f"gpu 1: energy: permission denied: {HOSTILE}",)))
    assert f"gpu 1: energy: permission denied: {HOSTILE}" in read(refused).text
    assert "Missing on GPUs" not in read(s).text


def test_an_objective_that_is_new() -> None:
    """An objective without a window behind it has a dash."""
    first = fake.after([{"server/vllm-0": fake.page("vllm-0", 0, "tiny")}])
    assert "default" in read(first).text
    lost = replace(small(), servers={})
    assert "98 to 99 %" not in read(lost).text


def test_simulated_is_said_plainly() -> None:
    """A page with anything simulated behind it says so, and no other page does; the first one knows it already."""
    s = small()
    simulated = replace(s, sources=tuple(replace(source, simulated=True) for source in s.sources))
    assert "simulated" not in read(s).text
    assert "simulated" in read(simulated).text
    assert "simulated" in read(s, About(simulated=True)).text
    assert "simulated" in read(None, About(simulated=True)).text
    assert "simulated" not in read(None).text


def test_it_refreshes_at_the_interval() -> None:
    """Without script the page comes again at the interval, and after a second at the soonest."""
    s = small()

    def refresh(each: Snapshot | None) -> list[str | None]:
        tags = read(each).tags
        (at,) = [place for place, (tag, a) in enumerate(tags) if a.get("http-equiv") == "refresh"]
        assert tags[at - 1] == ("noscript", {})
        return [tags[at][1]["content"]]

    assert refresh(s) == ["5"]
    assert refresh(replace(s, policy=replace(s.policy, interval_seconds=0.2))) == ["1"]
    assert refresh(None) == ["1"]


def test_nothing_from_outside() -> None:
    """Every address on the page is relative and the exporter's own; no script or style stands in it; its policy allows
    its own files and nothing else; the style names no address."""
    reader = read(small())
    assert {tag for tag, _ in reader.tags}.isdisjoint({"img", "iframe", "form", "style", "base", "object"})
    addresses = [a[name] for _, a in reader.tags for name in ("href", "src") if name in a]
    assert len(addresses) == 4 and all(str(each).startswith("./") for each in addresses)
    assert [a for tag, a in reader.tags if tag == "script"] == [{"src": "./-/page.js"}]
    assert not [name for _, a in reader.tags for name in a if name.startswith("on") or name == "style"]
    assert b"url(" not in STYLE.body and b"@import" not in STYLE.body and b"http" not in STYLE.body
    assert CONTENT_SECURITY_POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_the_script_parses_no_markup() -> None:
    """The script never hands a text to anything that would read it as markup or as code."""
    for word in (
        b"innerHTML",
        b"outerHTML",
        b"insertAdjacent",
        b"document.write",
        b"eval(",
        b"Function(",
        b"DOMParser",
    ):
        assert word not in SCRIPT.body


async def test_policy_is_sent() -> None:
    """HTML comes with the policy, and is not kept or guessed at."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        for path in ("/", "/nowhere"):
            async with client.get(path) as answer:
                assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
                assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"


def hostile(name: str) -> Snapshot:
    """Every text that comes from outside is `name`."""
    policy = Policy(
        slos=(Slo(name=name, thresholds=(Threshold(Signal.TTFT, 1.0),), objective=0.95),),
        tariff=Tariff(name, price_per_gpu_hour=1.69),
    )
    down = Unavailable(Reason.UNREACHABLE, name)
    s = fake.after(
        [
            {"nvml": fake.gpus(1, tick), f"server/{name}": fake.page(name, tick, name), f"server/x{name}": down}
            for tick in range(3)
        ],
        policy,
    )
    assert s.gpus is not None
    gpu = s.gpus.gpus[0]
    return replace(s, gpus=replace(s.gpus, gpus=(replace(gpu, gpu=replace(gpu.gpu, product=name)),)))


def test_hostile_names_are_only_text() -> None:
    """A hostile name shows as text, everywhere that it appears, and adds no tag."""
    plain, evil = read(hostile("plain")), read(hostile(HOSTILE))
    assert [(tag, list(a)) for tag, a in evil.tags] == [(tag, list(a)) for tag, a in plain.tags]
    assert evil.text.count(HOSTILE) == plain.text.count("plain") >= 8


@settings(deadline=None)
@given(name=st.text(min_size=1))
def test_no_name_adds_a_tag(name: str) -> None:
    """Whatever anything is called, the page has the same tags."""
    assert [tag for tag, _ in read(hostile(name)).tags] == [tag for tag, _ in read(hostile("plain")).tags]


def test_not_found_page() -> None:
    """The 404 page links to the front page and to all the rest."""
    reader = Reader(not_found_page("/nowhere", LINKS).decode())
    assert [a["href"] for tag, a in reader.tags if tag == "a"] == ["./", "./metrics"]


def test_a_model_without_a_name_shows_its_server() -> None:
    """Where the engine gives no model name, the server's stands for it."""
    s = fake.snapshot(1, ["llama-0"], model="")
    assert "llama-0\n" in read(s).text


@pytest.mark.parametrize(
    "live",
    [Live(seconds=60.0), Live(seconds=60.0, tokens=TokenRates(1.0), watts=0.0, busy_watts=0.0, cost_per_second=0.0)],
)
def test_the_emptiest_account(live: Live) -> None:
    """An account of which nothing is known, or that used nothing, still has its card."""
    assert "tiny" in read(replace(small(), live={ACCOUNT: live})).text


def test_exact_goodput_replaces_bounds() -> None:
    """With request records goodput is one number, in the card and in the table of SLOs."""
    s = recorded()
    goodput = headline(s, ACCOUNT, s.live[ACCOUNT])[2]
    assert (goodput.value, goodput.note) == ("0.6", "60 % of requests meet SLO default")
    text = read(s).text
    assert "60 % of 60" in text and "60 % of 70" in text and "98 to 99 %" not in text


def test_bounds_stay_where_no_record_counted() -> None:
    """A receiver of spans to which a server sends none does not hide what its histograms say; a server that has
    neither histograms nor requests says that none ended."""
    s = recorded()
    (key,) = s.slo_live
    quiet = replace(s.exact_live[key], eligible=0, good=0)
    totals = replace(s.ledger.exact[key], eligible=0, good=0, met=(0, 0))
    silent = replace(s, exact_live={key: quiet}, ledger=replace(s.ledger, exact={key: totals}))
    assert headline(silent, ACCOUNT, s.live[ACCOUNT])[2].value == "19.6 to 19.8"
    assert "98 to 99 % of 1,200" in read(silent).text
    only = replace(silent, slo_live={}, ledger=replace(silent.ledger, slos={}))
    assert notes(only)[2] == "no request finished in the last 60 s"
    assert "default" in read(only).text


def test_an_objective_of_records_alone_is_listed() -> None:
    """An account that no page names still has its row, as long as its records come."""
    s = replace(recorded(), slo_live={})
    s = replace(s, ledger=replace(s.ledger, slos={}), servers={})
    assert "60 % of 70" in read(s).text
    assert "60 % of 70" not in read(replace(s, record_sources={})).text


def test_an_idle_gpu_is_not_throttled() -> None:
    """Being idle is not read as a throttle reason, and the glossary says so."""
    assert not any("idle" in reason for reason in THROTTLE_BITS)
    assert "Being idle is not a throttle reason." in html(glossary_section())
