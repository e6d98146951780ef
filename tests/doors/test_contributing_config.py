"""The worked example of CONTRIBUTING.md, executed as it stands: from an operator's file, over HTTP, to figures."""

from pathlib import Path

from goodwatt.commands.engines import explain_server
from goodwatt.config.load import parse
from goodwatt.config.plan import make_plan
from goodwatt.model.engine import Outcome, Signal
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import SourceSet
from goodwatt.sources.open import SourceContext
from tests.fakes.http_server import page, serving

HERE = Path(__file__).parents[2] / "CONTRIBUTING.md"
EXAMPLE = HERE.read_text().partition("## Try an engine without touching the code\n")[2]


def block(kind: str) -> str:
    """The first fenced block of this kind in the example."""
    return EXAMPLE.partition(f"```{kind}\n")[2].partition("```")[0]


def configured(address: str) -> str:
    """The example's configuration with the address that the system chose."""
    assert "http://127.0.0.1:9999" in block("yaml")
    return block("yaml").replace("http://127.0.0.1:9999", address)


async def test_what_is_printed_is_what_the_document_shows() -> None:
    """The page of the document, read over HTTP through the operator's profile, is explained word for word as shown."""
    async with serving(page(block(""))) as toy:
        said = await explain_server(parse(configured(toy.url), "CONTRIBUTING.md"), toy.url)
    shown, missing = said.split("\n\nmissing\n")
    assert shown == block("text").rstrip("\n")
    assert "no histogram of TPOT per request" in missing


async def test_a_running_goodwatt_reads_it() -> None:
    """The same file makes a server of that engine, found by `auto`, with the readings that the document says."""
    async with serving(page(block(""))) as toy:
        config = parse(configured(toy.url), "CONTRIBUTING.md").model_copy(update={"gpus": NO_GPUS})
        plan = make_plan(config)
        sampler = Sampler((), plan.policy, lambda _: None)
        source_set = SourceSet(sampler, plan, SourceContext())
        await source_set.refresh()
        reading = (await sampler.tick()).servers["toy-0"]
        await source_set.aclose()
        await sampler.aclose()
    assert (reading.engine, reading.engine_version) == ("toy", "1.4")
    counted = {(series.signal, series.outcome, series.model): value for series, value in reading.counters.items()}
    assert counted == {
        (Signal.PROMPT_TOKENS, None, "m"): 100,
        (Signal.GENERATED_TOKENS, None, "m"): 40,
        (Signal.REQUESTS, Outcome.SUCCESS, "m"): 3,
        (Signal.REQUESTS, Outcome.CANCELLED, "m"): 1,
    }
    ((series, ttft),) = reading.histograms.items()
    assert (series.signal, ttft.edges, ttft.counts, ttft.count) == (Signal.TTFT, (0.25,), (2,), 4)


NO_GPUS = parse("gpus: {kind: none}").gpus
