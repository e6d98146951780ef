"""The JSON report of a server's ground truth."""

from collections.abc import Mapping

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.truth import Truth

PICOJOULES_A_JOULE = 1_000_000_000_000


def truth_report(engine: SimulatedEngine) -> Mapping[str, object]:
    """Return exact counts since the simulation started, across restarts. `joules` is the sum over the server's GPUs."""
    truth, spec = engine.truth, engine.spec
    return {
        "simulated": True,
        "server": spec.name,
        "model": spec.model,
        "at_seconds": engine.now_ns / NANOSECONDS,
        "requests": {
            "arrived": truth.arrived,
            "waiting": engine.waiting,
            "running": engine.running,
            "succeeded": truth.succeeded,
            "disconnected": truth.disconnected,
            "lost": truth.lost,
        },
        "tokens": {
            "prompt": truth.prompt_tokens,
            "cached_prompt": truth.cached_prompt_tokens,
            "generated": truth.generated_tokens,
        },
        "joules": engine.power.picojoules * spec.gpus / PICOJOULES_A_JOULE,
        "slos": _slos(truth),
    }


def _slos(truth: Truth) -> Mapping[str, object]:
    return {
        name: {
            "thresholds": {str(threshold.signal): threshold.seconds for threshold in slo.thresholds},
            "eligible": count.eligible,
            "good": count.good,
            "good_tokens": count.good_tokens,
        }
        for name, (slo, count) in truth.watched.items()
    }
