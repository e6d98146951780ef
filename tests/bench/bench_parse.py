"""CPU time of reading a page compared with prometheus_client's parser, in one run: `python tests/bench/bench_parse.py`.

Prints one JSON line per page; exits 1 if a page takes a third of prometheus_client's time or more.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from goodwatt.engines import load_profiles  # noqa: E402
from goodwatt.engines.page.reader import read_page  # noqa: E402
from goodwatt.sources.engine.exposition import ExpositionParser  # noqa: E402
from tests.bench.rows import Row  # noqa: E402

LIMIT = 1 / 3
ROUNDS = 21
PAGES = {
    "vllm": ("0.33.0/generated.prom", "0.33.0/dp2-multiproc-generated.prom", "0.32.0/after.prom"),
    "sglang": ("0.5.23/multiproc-generated.prom",),
    "llamacpp": ("b11434/after.prom",),
}


def milliseconds(work: Callable[[], object]) -> float:
    """Median CPU time of one call."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent) * 1e3


def measure(engine: str, page: str) -> dict[str, object]:
    """goodwatt parses and reads signals, cold (a new parser, as at the first tick) and warm; the other only parses."""
    profile = load_profiles()[engine]
    text = (ROOT / "tests/engines" / engine / page).read_text()
    parser = ExpositionParser(profile.all_sample_names())
    previous = read_page(profile, parser.parse(text), server="s", at_seconds=0.0)

    def ours(parser: ExpositionParser) -> object:
        return read_page(profile, parser.parse(text), server="s", at_seconds=1.0, previous=previous)

    theirs = milliseconds(lambda: list(text_string_to_metric_families(text)))
    figures = {
        "prometheus_client_ms": theirs,
        "parse_ms": milliseconds(lambda: parser.parse(text)),
        "cold_parse_ms": milliseconds(lambda: ExpositionParser(profile.all_sample_names()).parse(text)),
        "parse_and_read_ms": milliseconds(lambda: ours(parser)),
    }
    ratios = {
        "parse_ratio": figures["parse_ms"] / theirs,
        "parse_and_read_ratio": figures["parse_and_read_ms"] / theirs,
    }
    rounded = {name: round(figure, 4) for name, figure in (figures | ratios).items()}
    return {"bench": "parse", "page": f"{engine}/{page}", "bytes": len(text.encode()), **rounded}


def rows(quick: bool) -> list[Row]:
    """The 58 KB page if `quick`, otherwise every page. Targets apply to parsing plus reading, warm."""
    pages = [("vllm", PAGES["vllm"][0])] if quick else [(engine, page) for engine in PAGES for page in PAGES[engine]]
    return [row for engine, page in pages for row in _as_rows(measure(engine, page))]


def _as_rows(found: dict[str, object]) -> list[Row]:
    page = f"{found['page']}, {found['bytes']} bytes"
    return [
        Row(f"{page}: to prometheus_client's parser", float(str(found["parse_and_read_ratio"])), "ratio", LIMIT),
        Row(f"{page}: parse and read", float(str(found["parse_and_read_ms"])), "ms"),
        Row(f"{page}: prometheus_client", float(str(found["prometheus_client_ms"])), "ms"),
    ]


def main() -> int:
    """Print every page's figures."""
    found = [measure(engine, page) for engine, pages in PAGES.items() for page in pages]
    for line in found:
        print(json.dumps(line))
    return int(any(float(str(line["parse_and_read_ratio"])) >= LIMIT for line in found))


if __name__ == "__main__":
    sys.exit(main())
