"""`goodwatt engines --url`: how it explains a server's metrics, and its errors."""

from pathlib import Path

import pytest

from goodwatt.cli import main
from goodwatt.commands.engines import explain_server
from goodwatt.config.config import Config
from goodwatt.config.load import parse
from goodwatt.engines.profile import NameCondition
from goodwatt.engines.report.explain import match_explanation
from goodwatt.engines.report.missing_signals import CONSEQUENCES, consequence
from goodwatt.model.engine import Signal
from goodwatt.runtime.errors import StartupError, UsageError
from tests.fakes.http_server import Reply, page, serving, unused_port

ROOT = Path(__file__).parents[2]
ENGINES = Path(__file__).parents[1] / "engines"
VLLM = (ENGINES / "vllm" / "0.32.0" / "after-c4.prom").read_text()
LLAMACPP = (ENGINES / "llamacpp" / "b11434" / "after.prom").read_text()


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


async def test_a_page_with_every_signal() -> None:
    """It prints the engine and why it was detected, the models, and each signal's total and source metric."""
    async with serving(page(VLLM)) as fake:
        printed = await explain_server(Config(), fake.url)
    lines = words(printed)
    assert lines[0] == ["engine", "vLLM", "(profile", "vllm)"]
    assert printed.splitlines()[1].startswith("because    the page has vllm:*: vllm:")
    assert lines[3] == ["models", "tiny"]
    assert ["generated_tokens", "3904", "vllm:generation_tokens_total"] in lines
    assert ["ttft", "64", "observations", "vllm:time_to_first_token_seconds"] in lines
    assert any(line[:3] == ["requests", "64", "(success"] for line in lines)
    assert "missing" not in printed and "only when a request ends" not in printed
    assert all(any(line[:1] == [signal] for line in lines) for signal in Signal)


async def test_a_missing_signal_is_explained() -> None:
    """Each signal that the page lacks is listed with the figures that depend on it."""
    async with serving(page(LLAMACPP + "llamacpp:prompt_tokens_total NaN\n")) as fake:
        printed = await explain_server(Config(), fake.url)
    there, missing = printed.split("missing\n")
    assert "\ncounted    tokens only when a request ends: live figures cover five times window_seconds\n" in there
    assert "llamacpp:tokens_predicted_total" in there and "dropped    1 invalid lines" in there
    assert "ttft                  no TTFT histogram: goodput needs the proxy or spans" in missing
    assert {line[0] for line in words(missing)} >= {"ttft", "tpot", "e2e", "requests"}


async def test_an_engine_that_has_served_no_request() -> None:
    """The engine is recognised even when its counters have no series yet."""
    async with serving(page('vllm:num_requests_running{model_name="m"} 0\n')) as fake:
        printed = await explain_server(Config(), fake.url)
    assert "models     m" in printed and "generated_tokens      no generated tokens" in printed
    async with serving(page("vllm:something 0\n")) as fake:
        assert "none yet: no request has been counted" in await explain_server(Config(), fake.url)


async def test_control_characters_of_a_model_name_are_escaped() -> None:
    """A model name from the page cannot send control sequences to the terminal or add lines."""
    async with serving(page('vllm:num_requests_running{model_name="a\\nb\x1b[2Jü"} 0\n')) as fake:
        printed = await explain_server(Config(), fake.url)
    assert "models     a\\nb\\x1b[2Jü\n" in printed


async def test_the_configuration_s_profiles_and_credentials_are_used() -> None:
    """With --config, its profiles are recognised and the headers of the server with this URL are sent."""
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
        printed = await explain_server(parse(config.format(fake.url)), fake.url + "/", "toy")
        assert fake.requests[-1].headers["X-Key"] == "k"
        assert await explain_server(parse(config.format(fake.url)), fake.url) == printed
    assert "version    1.2" in printed and "; and has no toy:router" in printed
    assert ["requests", "7", "(success", "5,", "error", "2)", "toy:all", "(less", "toy:bad)", "+", "toy:bad"] in words(
        printed
    )
    assert ["kv_cache_usage", "0.25", "toy:kv"] in words(printed)


async def test_a_page_that_cannot_be_recognised_is_one_line() -> None:
    """A foreign page, a mismatch with --engine, an HTTP error and a closed port each say what to do."""
    async with serving(page("node_cpu_seconds_total 1\n")) as fake:
        with pytest.raises(StartupError, match=r"metrics such as node_cpu_seconds_total.*\(reason=unknown_engine\)"):
            await explain_server(Config(), fake.url)
    async with serving(page(LLAMACPP)) as fake:
        with pytest.raises(StartupError, match="the page is not from vLLM"):
            await explain_server(Config(), fake.url, "vllm")
    async with serving(Reply(b"", status=404)) as fake:
        with pytest.raises(StartupError, match="returned HTTP 404"):
            await explain_server(Config(), fake.url)
    with pytest.raises(StartupError, match=r"^cannot reach http://127.0.0.1"):
        await explain_server(Config(), f"http://127.0.0.1:{unused_port()}")


@pytest.mark.parametrize(
    ("url", "engine", "message"),
    [
        ("127.0.0.1:8000", "auto", "--url must start with http:// or https://"),
        ("http://u:p@h", "auto", "--url contains a user name or password"),
        ("http://h", "nope", "--engine: unknown engine 'nope'; known: auto, "),
    ],
)
async def test_a_usage_error_sends_no_request(url: str, engine: str, message: str) -> None:
    """An unusable URL or engine is rejected with the form or names that are allowed."""
    with pytest.raises(UsageError, match=message):
        await explain_server(Config(), url, engine)


def test_every_signal_has_a_consequence() -> None:
    """Each consequence is one line that begins with the missing signal."""
    assert set(CONSEQUENCES) == set(Signal)
    assert all(consequence(signal).startswith("no ") and "\n" not in consequence(signal) for signal in Signal)


def test_the_reason_names_the_metrics_that_matched() -> None:
    """It lists exact names; for a prefix it shows the first two matches and counts the rest."""
    names = frozenset({"a:1", "a:2", "a:3", "b", "c"})
    assert (
        match_explanation(NameCondition(any_of=("a:*", "z"), all_of=("b",)), names)
        == "the page has b; a:*: a:1, a:2 and 1 more"
    )


def test_engines_prints_the_coverage_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt engines` prints the tables of docs/engines.md."""
    assert main(["engines"]) == 0
    out = capsys.readouterr().out
    assert "vLLM" in out and "`ttft`" in out
    assert out in (ROOT / "docs" / "engines.md").read_text()


def test_engines_with_a_url_reads_that_server(capsys: pytest.CaptureFixture[str]) -> None:
    """An unreachable server gives one line and exit code 1, a malformed URL exit code 2."""
    assert main(["engines", "--url", f"http://127.0.0.1:{unused_port()}"]) == 1
    assert capsys.readouterr().err.startswith("goodwatt: cannot reach http://127.0.0.1")
    assert main(["engines", "--url", "nowhere"]) == 2
    assert capsys.readouterr().err == "goodwatt: --url must start with http:// or https://\n"


def test_engines_includes_the_profiles_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --config the table has a column for each of the operator's own engines."""
    (tmp_path / "g.yaml").write_text(
        "profiles: [{name: toy, title: Toy Engine, ports: [], detect: {any_of: [toy]}, "
        "traits: {tokens_move: step, one_token_tpot: zero}, signals: {ttft: [{sum: [{metric: toy}]}]}}]\n"
    )
    assert main(["engines", "--config", str(tmp_path / "g.yaml")]) == 0
    assert "Toy Engine" in capsys.readouterr().out


def test_an_engine_without_a_url_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """--engine has no effect without --url, and the error says so."""
    assert main(["engines", "--engine", "vllm"]) == 2
    assert capsys.readouterr().err == "goodwatt: --engine needs --url: it says how to read that server's page\n"
