"""The worked example of CONTRIBUTING.md, executed as it stands there."""

from textwrap import dedent

from goodwatt.engines import load_profile
from goodwatt.engines.detection import detect_engine
from goodwatt.engines.page.reader import read_page
from goodwatt.model.engine import Outcome, Signal
from goodwatt.sources.engine.exposition import ExpositionParser
from tests.engines.golden import HERE, PROFILES, seen

TEXT = (HERE.parents[1] / "CONTRIBUTING.md").read_text().partition("## An engine, from its page to figures")[2]


def test_an_engine_is_one_file_and_its_page() -> None:
    """The example's page and profile give the figures that it promises, and no shipped engine claims the page."""
    page = TEXT.partition("```\n")[2].partition("```")[0]
    profile = load_profile(dedent(TEXT.partition("```yaml\n")[2].partition("```")[0]))
    assert detect_engine({**PROFILES, "toy": profile}, seen(page)).engine == "toy"
    assert detect_engine(PROFILES, seen(page)).engine is None
    reading = read_page(profile, ExpositionParser(profile.wanted()).parse(page), server="s", at_seconds=0.0)
    assert {(key.signal, key.outcome): value for key, value in reading.counters.items()} == {
        (Signal.PROMPT_TOKENS, None): 100,
        (Signal.GENERATED_TOKENS, None): 40,
        (Signal.REQUESTS, Outcome.SUCCESS): 3,
        (Signal.REQUESTS, Outcome.CANCELLED): 1,
    }
    ((key, histogram),) = reading.histograms.items()
    assert (key.signal, key.model) == (Signal.TTFT, "m")
    assert (histogram.edges, histogram.counts, histogram.count) == ((0.25,), (2,), 4)
    promised = (
        "100 prompt tokens, 40 generated, 3 requests that succeeded and 1 cancelled, 2 of 4 first tokens within 0.25 s"
    )
    assert promised in " ".join(TEXT.split())
