"""`goodwatt engines --url`: what it says of a page, and of what is none."""

from pathlib import Path

import pytest

from goodwatt.commands.engines import explain_server
from goodwatt.config.config import Config
from goodwatt.config.load import parse
from goodwatt.engines.profile import NameCondition
from goodwatt.engines.report.explain import match_explanation
from goodwatt.engines.report.missing_signals import CONSEQUENCES, consequence
from goodwatt.model.engine import Signal
from goodwatt.runtime.errors import StartupError, UsageError
from tests.fakes.http_server import Reply, page, serving, unused_port

ENGINES = Path(__file__).parents[1] / "engines"
VLLM = (ENGINES / "vllm" / "0.32.0" / "after-c4.prom").read_text()
LLAMACPP = (ENGINES / "llamacpp" / "b11434" / "after.prom").read_text()


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


async def test_a_page_that_has_everything() -> None:
    """Engine, why, models, and every signal with its total and the metric that it is read from; nothing is missing."""
    async with serving(page(VLLM)) as fake:
        said = await explain_server(Config(), fake.url)
    lines = words(said)
    assert lines[0] == ["engine", "vLLM", "(profile", "vllm)"]
    assert said.splitlines()[1].startswith("because    the page has vllm:*: vllm:")
    assert lines[3] == ["models", "tiny"]
    assert ["generated_tokens", "3904", "vllm:generation_tokens_total"] in lines
    assert ["ttft", "64", "observations", "vllm:time_to_first_token_seconds"] in lines
    assert any(line[:3] == ["requests", "64", "(success"] for line in lines)
    assert "missing" not in said and "only when a request ends" not in said
    assert all(any(line[:1] == [signal] for line in lines) for signal in Signal)


async def test_what_is_missing_and_why_it_matters() -> None:
    """A signal that the page lacks is named with what the operator loses."""
    async with serving(page(LLAMACPP + "llamacpp:prompt_tokens_total NaN\n")) as fake:
        said = await explain_server(Config(), fake.url)
    there, missing = said.split("missing\n")
    assert "\ncounted    tokens only when a request ends: live figures look back five times window_seconds\n" in there
    assert "llamacpp:tokens_predicted_total" in there and "dropped    1 lines" in there
    assert "ttft                  no TTFT histogram: goodput needs the proxy or spans" in missing
    assert {line[0] for line in words(missing)} >= {"ttft", "tpot", "e2e", "requests"}


async def test_an_engine_that_has_only_just_started() -> None:
    """A page without a single series of the engine's counters still names the engine."""
    async with serving(page('vllm:num_requests_running{model_name="m"} 0\n')) as fake:
        said = await explain_server(Config(), fake.url)
    assert "models     m" in said and "generated_tokens      no generated tokens" in said
    async with serving(page("vllm:something 0\n")) as fake:
        assert "none yet: no request has been counted" in await explain_server(Config(), fake.url)


async def test_a_name_on_the_page_commands_no_terminal() -> None:
    """What a server calls its model is shown with its control characters escaped, on its own line."""
    async with serving(page('vllm:num_requests_running{model_name="a\\nb\x1b[2Jü"} 0\n')) as fake:
        said = await explain_server(Config(), fake.url)
    assert "models     a\\nb\\x1b[2Jü\n" in said


async def test_an_engine_of_ones_own_and_the_access_that_the_configuration_knows() -> None:
    """With --config its profiles are known, and a server of the same address lends its headers."""
    config = (
        "profiles: [{{name: toy, title: Toy, ports: [], detect: {{any_of: ['toy:*'], none_of: [toy:router]}}, "
        "version_label: [toy:build, version], traits: {{tokens_move: step, one_token_tpot: zero}}, signals: "
        "{{requests: [{{sum: [{{metric: 'toy:all', less: 'toy:bad', outcome: success}}, "
        "{{metric: 'toy:bad', outcome: error}}, {{metric: 'toy:odd', outcome: error, optional: true}}]}}], "
        "kv_cache_usage: [{{sum: [{{metric: 'toy:kv'}}]}}]}}}}]\n"
        "servers: [{{name: t, url: '{}', headers: {{X-Key: k}}}}]\n"
    )
    text = 'toy:all 7\ntoy:bad 2\ntoy:kv 0.25\ntoy:build{version="1.2"} 1\n'
    async with serving({"/": page(""), "/metrics": page(text)}) as fake:
        said = await explain_server(parse(config.format(fake.url)), fake.url + "/", "toy")
        assert fake.requests[-1].headers["X-Key"] == "k"
        assert await explain_server(parse(config.format(fake.url)), fake.url) == said
    assert "version    1.2" in said and "; and has no toy:router" in said
    assert ["requests", "7", "(success", "5,", "error", "2)", "toy:all", "(less", "toy:bad)", "+", "toy:bad"] in words(
        said
    )
    assert ["kv_cache_usage", "0.25", "toy:kv"] in words(said)


async def test_what_cannot_be_recognised_is_one_line() -> None:
    """A page of something else, another engine than asked for, an error and a silent port each say what to do."""
    async with serving(page("node_cpu_seconds_total 1\n")) as fake:
        with pytest.raises(StartupError, match=r"metrics such as node_cpu_seconds_total.*\(reason=unknown_engine\)"):
            await explain_server(Config(), fake.url)
    async with serving(page(LLAMACPP)) as fake:
        with pytest.raises(StartupError, match="the page is none of vLLM"):
            await explain_server(Config(), fake.url, "vllm")
    async with serving(Reply(b"", status=404)) as fake:
        with pytest.raises(StartupError, match="answers HTTP 404"):
            await explain_server(Config(), fake.url)
    with pytest.raises(StartupError, match=r"^cannot reach http://127.0.0.1"):
        await explain_server(Config(), f"http://127.0.0.1:{unused_port()}")


@pytest.mark.parametrize(
    ("url", "engine", "message"),
    [
        ("127.0.0.1:8000", "auto", "--url must begin with http:// or https://"),
        ("http://u:p@h", "auto", "--url holds a user name or password"),
        ("http://h", "nope", "--engine: unknown engine 'nope'; known: auto, "),
    ],
)
async def test_wrong_use_is_refused_before_anything_is_asked(url: str, engine: str, message: str) -> None:
    """What is no address or no engine is named with what may be written."""
    with pytest.raises(UsageError, match=message):
        await explain_server(Config(), url, engine)


def test_every_signal_has_a_consequence() -> None:
    """Each is one line that begins with what is missing."""
    assert set(CONSEQUENCES) == set(Signal)
    assert all(consequence(signal).startswith("no ") and "\n" not in consequence(signal) for signal in Signal)


def test_the_reason_names_what_was_met() -> None:
    """Exact names stand alone; of a prefix the first two are shown and the rest counted."""
    names = frozenset({"a:1", "a:2", "a:3", "b", "c"})
    assert (
        match_explanation(NameCondition(any_of=("a:*", "z"), all_of=("b",)), names)
        == "the page has b; a:*: a:1, a:2 and 1 more"
    )
