"""What `goodwatt check` says of a legal configuration."""

from pathlib import Path

import pytest

from goodwatt.config.advice.config import config_advice, is_loopback, unreadable
from goodwatt.config.load import parse
from goodwatt.engines import load_profiles
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import Signal
from goodwatt.sources.otlp.protobuf_codec import PROTOBUF_MISSING

SERVER = "servers: [{{name: a, url: '{url}', {more}}}]\nslos: []\n"


def of(text: str, profiles: dict[str, Profile] | None = None) -> tuple[str, ...]:
    return config_advice(parse(text), profiles)


def of_server(more: str, url: str = "https://h:1") -> tuple[str, ...]:
    return of(SERVER.format(url=url, more=more))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "interval_seconds: 1\nservers: [{name: a, url: 'http://h'}]\nslos: []",
        "servers: []\ngpus: {kind: none}",
        "cost: {price_per_kwh: 0.1}\nfacility: {pue: 1.2}\ncarbon: {grams_per_kwh: 1}",
        "servers: [{name: a, url: 'http://127.0.0.1:8000', headers: {Authorization: x}, engine: auto}]",
    ],
)
def test_sensible_settings_get_no_advice(text: str) -> None:
    """Defaults and common settings get no advice; a short interval gets none about the default timeout."""
    assert of(text) == ()


def test_a_timeout_above_the_interval() -> None:
    """A configured timeout that is cut is reported with the value in use."""
    assert of("interval_seconds: 1\nslos: []\nservers: [{name: a, url: 'http://h', timeout_seconds: 3}]") == (
        "server a: timeout_seconds 3 is too long; 0.75 s is used, three quarters of interval_seconds",
    )


def test_reads_that_are_no_faster_than_ticks() -> None:
    """A read interval that is not below the tick's gets advice, for servers and for discovered ones."""
    line = "read_interval_seconds 5 has no effect: every tick reads; write tick or a lower number"
    assert of_server("read_interval_seconds: 5") == (f"server a: {line}",)
    discovered = "slos: []\nserver_discovery: [{files: [a.json], read_interval_seconds: 5}]"
    assert of(discovered) == (f"server_discovery[0]: {line}",)
    for fine in ("4.9", "auto", "tick"):
        assert of_server(f"read_interval_seconds: {fine}") == ()


def test_the_apis_path_as_url() -> None:
    """A URL as OpenAI clients take it gets advice, because no engine has its metrics there."""
    for path in ("/v1", "/v1/"):
        assert of_server("", f"https://h:1{path}") == (
            "server a: url ends in /v1, the path of the API; remove it, and the engine's metrics path is used",
        )
    assert of_server("", "https://h:1/v1/metrics") == ()


def test_tls_that_protects_nothing() -> None:
    """Advice names unverified certificates, and tls settings on http."""
    assert of_server("tls: {insecure_skip_verify: true}") == (
        "server a: tls.insecure_skip_verify accepts any certificate; set tls.ca_file instead",
    )
    assert of_server("tls: {server_name: x}", "http://h") == (
        "server a: tls has no effect on an http:// url; write https:// or remove tls",
    )


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "Cookie"])
def test_credentials_in_the_clear(header: str) -> None:
    """Advice names credentials over http, unless the server is on this machine or the connection is encrypted."""
    more = f"headers: {{{header}: hunter2}}"
    assert of_server(more, "http://10.0.0.1:8000") == (
        "server a: its credentials cross the network unencrypted; use https://",
    )
    assert of_server(more, "http://[::1]:8000") == ()
    assert of_server(more, "https://10.0.0.1:8000") == ()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Every missing credential file is named with its key and the effect on the server."""
    token = tmp_path / "token"
    token.write_text("x")
    assert of_server(f"bearer_token_file: {token}") == ()
    later = "until it can be read, the server counts as unavailable"
    assert of_server("basic_auth: {username: u, password_file: /no/pw}, tls: {ca_file: /no/ca}") == (
        f"server a: basic_auth.password_file /no/pw does not exist; {later}",
        f"server a: tls.ca_file /no/ca does not exist; {later}",
    )


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    """A directory, an invalid name and an unreadable file have different reasons."""
    secret = tmp_path / "secret"
    secret.touch()
    assert unreadable(secret) is None
    assert unreadable(tmp_path) == "is a directory"
    assert unreadable(tmp_path / ("x" * 5000)) == "cannot be reached"
    assert unreadable(secret, lambda path: False) == "may not be read by this user"


def test_factors_that_rent_ignores() -> None:
    """With rent, host_factor and pue affect carbon at most, which advice points out."""
    text = "cost: {price_per_gpu_hour: 2}\nfacility: {host_factor: 1.4, pue: 1.2}\n"
    both = "has no effect: rent includes electricity and no carbon is configured; remove it"
    assert of(text) == (f"facility: host_factor {both}", f"facility: pue {both}")
    carbon = "has no effect on cost, as rent includes electricity; it applies to carbon only"
    assert of(text + "carbon: {grams_per_kwh: 1}") == (f"facility: host_factor {carbon}", f"facility: pue {carbon}")


def test_money_and_carbon_need_gpus() -> None:
    """Without GPUs cost and carbon are unknown, which advice points out."""
    assert of("gpus: {kind: none}\ncost: {price_per_kwh: 1}\ncarbon: {grams_per_kwh: 1}") == (
        "carbon: has no effect without GPUs; set gpus: {kind: auto}",
        "cost: has no effect without GPUs; set gpus: {kind: auto}",
    )


def test_a_margin_between_two_currencies() -> None:
    """Revenue and cost in two currencies give no margin."""
    prices = "[{prompt_per_million_tokens: 1, generated_per_million_tokens: 2}]"
    text = f"cost: {{price_per_kwh: 0.1}}\nrevenue: {{currency: EUR, prices: {prices}}}"
    assert of(text) == ("revenue: is in EUR and cost in USD; no margin can be calculated",)


def test_an_objective_that_matches_no_server() -> None:
    """An objective whose patterns match no server is reported with the names of the servers."""
    text = "servers: [{name: a, url: 'http://h'}]\nslos: [{name: s, ttft_seconds: 1, servers: [b*, A]}]"
    assert of(text) == ("slo s: its servers match none of a",)


def test_an_objective_that_hides_another() -> None:
    """A request cannot end before its first token: an e2e threshold below the ttft threshold is reported."""
    assert of("slos: [{name: s, ttft_seconds: 2, e2e_seconds: 2}]") == (
        "slo s: e2e_seconds is not above ttft_seconds, which therefore has no effect; raise e2e_seconds",
    )


def test_thresholds_that_look_like_milliseconds() -> None:
    """A threshold implausible in seconds is reported with what to write for milliseconds."""
    assert of("slos: [{name: s, ttft_seconds: 500, tpot_seconds: 20, e2e_seconds: 10000}]") == (
        "slo s: ttft_seconds 500 is in seconds; if 500 milliseconds are intended, write 0.5",
        "slo s: tpot_seconds 20 is in seconds; if 20 milliseconds are intended, write 0.02",
        "slo s: e2e_seconds 10000 is in seconds; if 10000 milliseconds are intended, write 10",
    )
    assert of("slos: [{name: s, ttft_seconds: 60, tpot_seconds: 2, e2e_seconds: 900}]") == ()


def test_thresholds_inside_a_bucket() -> None:
    """Thresholds are compared with the default buckets of each engine that a server names, once per engine."""
    vllm = load_profiles()["vllm"].model_copy(update={"default_edges": {Signal.TTFT: (0.25, 0.5)}})
    text = (
        "servers: [{name: a, url: 'http://h', engine: vllm}, {name: b, url: 'http://i', engine: vllm}, "
        "{name: c, url: 'http://j'}]\nslos: [{name: s, ttft_seconds: 0.45}]"
    )
    assert of(text, {"vllm": vllm}) == (
        "slo s: ttft 0.45 s lies inside the bucket (0.25, 0.5]; 0.5 s would be exact, here bounds are narrow only at "
        "about one request per read or fewer (default buckets of vllm; to change them: --custom-histogram-buckets)",
    )


def test_an_objective_without_a_histogram() -> None:
    """A threshold without a histogram in a server's engine is reported, except for the default objective."""
    text = "servers: [{name: a, url: 'http://h', engine: llamacpp}]\n"
    assert of(text) == ()
    assert of(text + "slos: [{name: s, ttft_seconds: 1, e2e_seconds: 9}]") == (
        "slo s: llamacpp offers no ttft and no e2e histogram, so it cannot be evaluated there",
    )


def test_loopback_is_recognised_without_a_lookup() -> None:
    """Loopback names and addresses are recognised by their text."""
    assert [
        host for host in ("localhost", "a.localhost", "127.0.0.9", "::1", "10.0.0.1", "h") if is_loopback(host)
    ] == [
        "localhost",
        "a.localhost",
        "127.0.0.9",
        "::1",
    ]


def test_discovery_sections_get_advice_too() -> None:
    """Timeouts, certificates and files of a discovery section get the same advice as those of a server."""
    assert of(
        "interval_seconds: 1\nserver_discovery: [{files: [a.yaml], timeout_seconds: 3, bearer_token_file: /nowhere, "
        "tls: {insecure_skip_verify: true}}]"
    ) == (
        "server_discovery[0]: timeout_seconds 3 is too long; 0.75 s is used, three quarters of interval_seconds",
        "server_discovery[0]: tls.insecure_skip_verify accepts any certificate; set tls.ca_file instead",
        "server_discovery[0]: bearer_token_file /nowhere does not exist; until it can be read, the server counts as "
        "unavailable",
    )


def test_a_custom_profile_has_buckets_too() -> None:
    """An SLO on a server with a custom profile is compared with that profile's buckets."""
    own = (
        "profiles: [{name: toy, title: Toy, ports: [], detect: {any_of: [toy]}, default_edges: {ttft: [1, 2]}, "
        "traits: {tokens_move: step, one_token_tpot: zero}, signals: {ttft: [{sum: [{metric: toy}]}]}}]\n"
    )
    said = of(own + "servers: [{name: a, url: 'http://h', engine: toy}]\nslos: [{name: s, ttft_seconds: 1.5}]")
    assert any("1.5 s lies inside the bucket (1, 2]" in line for line in said)


def of_otlp(text: str, missing: bool = False) -> tuple[str, ...]:
    return config_advice(parse(f"slos: []\n{text}"), None, PROTOBUF_MISSING if missing else None)


def test_spans_without_a_server() -> None:
    """Advice names an empty server list and services of unlisted servers, unless target files may list them."""
    servers = "servers: [{name: a, url: 'http://h'}, {name: b, url: 'http://i'}]\n"
    assert of_otlp("otlp: {}\nservers: []") == (
        "otlp: servers is empty, so no span can be assigned; list the servers that send spans",
    )
    assert of_otlp(servers + "otlp: {services: {x: a, y: c}}") == (
        "otlp: services names c, which servers does not list; servers: a, b",
    )
    assert of_otlp("server_discovery: [{files: [x.yaml]}]\notlp: {services: {y: c}}") == ()
    assert of_otlp("otlp: {services: {y: c}}") == of_otlp(servers + "otlp: {services: {x: a}}") == ()


def test_spans_that_cannot_be_read() -> None:
    """Without the protobuf package, advice says what to install."""
    assert of_otlp("otlp: {}", missing=True) == (
        "otlp: reading protobuf needs the package opentelemetry-proto; pip install 'goodwatt[otlp]'",
    )


@pytest.mark.parametrize("listen", [":4318", "0.0.0.0:4318", "10.0.0.1:4318", "gpu-1:4318"])
def test_spans_from_anywhere(listen: str) -> None:
    """An address that other machines can reach is reported, because senders are not authenticated."""
    assert of_otlp(f"otlp: {{listen: '{listen}'}}") == (
        f"otlp: anyone who can reach {listen} can send spans; restrict access, or listen on 127.0.0.1",
    )
    assert of_otlp("otlp: {listen: '[::1]:1'}") == of_otlp("otlp: {listen: 'localhost:1'}") == ()


def proxied(keys: str = "", server: str = "", upstream: str = "http://10.0.0.1:8000") -> tuple[str, ...]:
    listen = "" if "listen" in keys else "listen: '127.0.0.1:9000', "
    return of(f"servers: [{{name: a, {server}proxy: {{{listen}upstream: '{upstream}', {keys}}}}}]")


def test_a_proxy_that_opens_a_server_to_other_machines() -> None:
    """A proxy that exposes a loopback server to other machines is reported."""
    line = (
        "server a: proxy.listen lets other machines reach a server that listens on this machine only; is that intended?"
    )
    assert proxied("listen: ':9000'", upstream="http://localhost:8000") == (line,)
    assert proxied("listen: ':9000'") == ()
    assert proxied(upstream="http://localhost:8000") == ()


def test_keys_without_effect_beside_a_proxy() -> None:
    """Without a url, scrape settings have no effect; neither has tls on http."""
    line = "without a url no metrics are read and engine, timeout_seconds has no effect; add the url of its metrics"
    assert proxied(server="timeout_seconds: 1, engine: vllm, ") == (f"server a: {line}",)
    assert proxied(server="url: 'http://h', engine: vllm, ") == ()
    assert proxied("tls: {server_name: x}") == (
        "server a: proxy.tls has no effect on an http:// upstream; write https:// or remove tls",
    )


def test_certificates_of_a_proxy() -> None:
    """Settings that weaken or break the verification of the upstream are reported."""
    assert proxied("tls: {insecure_skip_verify: true, ca_file: /no/ca}", upstream="https://h") == (
        "server a: proxy.tls.insecure_skip_verify accepts any certificate; set proxy.tls.ca_file instead",
        "server a: proxy.tls.ca_file /no/ca does not exist; until it can be read, clients are answered 502",
    )


def test_a_proxy_makes_up_for_missing_histograms() -> None:
    """The proxy's request records replace the missing histograms."""
    slo = "\nslos: [{name: s, ttft_seconds: 1}]"
    server = "servers: [{name: a, url: 'http://h', engine: llamacpp%s}]"
    assert of(server % ", proxy: {listen: '127.0.0.1:9', upstream: 'http://h'}" + slo) == ()
    assert of(server % "" + slo) == ("slo s: llamacpp offers no ttft histogram, so it cannot be evaluated there",)
