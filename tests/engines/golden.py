"""The captured pages and their golden readings. `python -m tests.engines.golden` rewrites the readings."""

import json
from collections.abc import Mapping
from pathlib import Path

from goodwatt.engines import load_profiles
from goodwatt.engines.page.reader import read_page
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineReading, SeriesId
from goodwatt.sources.engine.exposition import ExpositionParser, labelled_names, metric_names

HERE = Path(__file__).parent
PROFILES: Mapping[str, Profile] = load_profiles()
PAGES = tuple(sorted(path for name in PROFILES for path in HERE.glob(f"{name}/*/*.prom")))


def engine_of(path: Path) -> str:
    return path.relative_to(HERE).parts[0]


def seen(text: str) -> frozenset[str]:
    """The names that detection uses."""
    return metric_names(text) | labelled_names(text)


def read(path: Path) -> EngineReading:
    return reading_of(engine_of(path), path.read_text())


def reading_of(engine: str, text: str, **extra: object) -> EngineReading:
    profile = PROFILES[engine]
    page = ExpositionParser(profile.all_sample_names()).parse(text)
    return read_page(profile, page, server="s", at_seconds=1.0, **extra)  # type: ignore[arg-type]


def as_golden(reading: EngineReading) -> dict[str, object]:
    """A reading as JSON that a person can review."""
    return {
        "engine": reading.engine,
        "tokens_move": str(reading.traits.tokens_move),
        "one_token_tpot": str(reading.traits.one_token_tpot),
        "prompt_includes_cached": reading.traits.prompt_includes_cached,
        "running_is_current": reading.traits.running_is_current,
        "dropped_lines": reading.dropped_lines,
        "counters": {_words(key): value for key, value in reading.counters.items()},
        "gauges": {f"{signal} {model}": value for (signal, model), value in reading.gauges.items()},
        "histograms": {
            _words(key): {
                "count": histogram.count,
                "sum": histogram.sum,
                "buckets": {str(edge): count for edge, count in zip(histogram.edges, histogram.counts, strict=True)},
            }
            for key, histogram in reading.histograms.items()
        },
    }


def _words(key: SeriesId) -> str:
    return " ".join(part for part in (key.signal, key.outcome, key.model, key.series) if part)


if __name__ == "__main__":
    for page in PAGES:
        page.with_suffix(".json").write_text(json.dumps(as_golden(read(page)), indent=1) + "\n")
