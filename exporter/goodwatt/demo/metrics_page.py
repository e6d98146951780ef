"""The simulated engine's metrics page, with vLLM's names, labels and bucket edges, in the Prometheus text format.

One table row per family. A comment and a gauge on the page mark it as simulated.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.counters import Buckets
from goodwatt.demo.engine import SimulatedEngine

PageLabels = dict[str, str]
PageSample = tuple[str, PageLabels, float]  # suffix of the name, labels, value

BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family; `samples` reads its samples from the engine."""

    name: str
    kind: str
    meaning: str
    samples: Callable[[SimulatedEngine], Iterable[PageSample]]


def render_metrics_page(engine: SimulatedEngine, epoch_seconds: float) -> str:
    """Return the page in its current state. `epoch_seconds` is the Unix time at which the simulation starts."""
    started = epoch_seconds + engine.counters.started_ns / NANOSECONDS
    lines = ["# simulated: no model and no GPU stand behind these figures"]
    for family in FAMILIES:
        lines += _lines(family, engine)
        if family.kind != "gauge":
            lines += _lines(_created(family, started), engine)
    lines += _lines(_process_start(started), engine)
    return "\n".join(lines) + "\n"


def _lines(family: Family, engine: SimulatedEngine) -> Iterator[str]:
    yield f"# HELP {family.name} {family.meaning}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, labels, value in family.samples(engine):
        text = ",".join(f'{name}="{_escaped(labels[name])}"' for name in sorted(labels))
        yield f"{family.name}{suffix}{{{text}}} {float(value)!r}" if text else f"{family.name}{suffix} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _own(engine: SimulatedEngine) -> PageLabels:
    return {"engine": "0", "model_name": engine.spec.model}


def _one(name: str, kind: str, meaning: str, value: Callable[[SimulatedEngine], float]) -> Family:
    return Family(name, kind, meaning, lambda engine: [("", _own(engine), value(engine))])


def _split(
    name: str, kind: str, meaning: str, label: str, value: Callable[[SimulatedEngine], dict[str, int]]
) -> Family:
    def samples(engine: SimulatedEngine) -> list[PageSample]:
        return [("", {**_own(engine), label: part}, count) for part, count in value(engine).items()]

    return Family(name, kind, meaning, samples)


def _histogram(name: str, meaning: str, buckets: Callable[[SimulatedEngine], Buckets]) -> Family:
    return Family(name, "histogram", meaning, lambda engine: _buckets(buckets(engine), _own(engine)))


def _buckets(buckets: Buckets, labels: PageLabels) -> Iterator[PageSample]:
    counts = buckets.cumulative()
    for edge, count in zip((*map(repr, buckets.edges), "+Inf"), counts, strict=True):
        yield "_bucket", {**labels, "le": edge}, count
    yield "_count", labels, counts[-1]
    yield "_sum", labels, buckets.sum_ns / NANOSECONDS


def _created(family: Family, started: float) -> Family:
    name = f"{family.name.removesuffix('_total')}_created"

    def samples(engine: SimulatedEngine) -> list[PageSample]:
        apart = dict.fromkeys(
            tuple((k, v) for k, v in own.items() if k != "le") for _, own, _ in family.samples(engine)
        )
        return [("", dict(labels), started) for labels in apart]

    return Family(name, "gauge", f"When {family.name} was last zero, as Unix time.", samples)


def _process_start(started: float) -> Family:
    meaning = "When the simulated process started, as Unix time."
    return Family("process_start_time_seconds", "gauge", meaning, lambda _: [("", {}, started)])


def _cache_config(engine: SimulatedEngine) -> list[PageSample]:
    blocks = engine.spec.physics.kv_cache_tokens // BLOCK_TOKENS
    labels = {"block_size": str(BLOCK_TOKENS), "enable_prefix_caching": "True", "num_gpu_blocks": str(blocks)}
    return [("", {"engine": "0", **labels}, 1)]


FAMILIES: tuple[Family, ...] = (
    Family("goodwatt_demo_simulated", "gauge", "1: this page comes from a simulation.", lambda _: [("", {}, 1)]),
    _one("vllm:num_requests_running", "gauge", "Requests in the batch.", lambda e: e.running),
    _one("vllm:num_requests_waiting", "gauge", "Requests not yet in the batch.", lambda e: e.waiting),
    _split(
        "vllm:num_requests_waiting_by_reason",
        "gauge",
        "Requests not yet in the batch, by what they wait for.",
        "reason",
        lambda e: {"capacity": e.waiting, "deferred": 0},
    ),
    _one("vllm:kv_cache_usage_perc", "gauge", "Share of the KV cache in use, 0 to 1.", lambda e: e.kv_cache_ratio),
    _one("vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked up.", lambda e: e.counters.prefix_queries),
    _one("vllm:prefix_cache_hits_total", "counter", "Prompt tokens found.", lambda e: e.counters.prefix_hits),
    _one("vllm:num_preemptions_total", "counter", "Preemptions; this engine makes none.", lambda _: 0),
    _one("vllm:prompt_tokens_total", "counter", "Prompt tokens, cached included.", lambda e: e.counters.prompt_tokens),
    _split(
        "vllm:prompt_tokens_by_source_total",
        "counter",
        "Prompt tokens by where their keys and values came from.",
        "source",
        lambda e: {
            "local_compute": e.counters.prompt_tokens - e.counters.cached_prompt_tokens,
            "local_cache_hit": e.counters.cached_prompt_tokens,
            "external_kv_transfer": 0,
        },
    ),
    _one("vllm:prompt_tokens_cached_total", "counter", "Cached ones.", lambda e: e.counters.cached_prompt_tokens),
    _one("vllm:generation_tokens_total", "counter", "Generated tokens.", lambda e: e.counters.generated_tokens),
    _split(
        "vllm:request_success_total",
        "counter",
        "Requests that ended, by reason.",
        "finished_reason",
        lambda e: e.counters.finished,
    ),
    _histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", lambda e: e.counters.ttft),
    _histogram("vllm:inter_token_latency_seconds", "Gap between two tokens.", lambda e: e.counters.itl),
    _histogram("vllm:request_time_per_output_token_seconds", "Mean gap of a request.", lambda e: e.counters.tpot),
    _histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", lambda e: e.counters.e2e),
    _histogram("vllm:request_queue_time_seconds", "Arrival to admission.", lambda e: e.counters.queue),
    _histogram("vllm:request_prefill_time_seconds", "Admission to first token.", lambda e: e.counters.prefill),
    _histogram("vllm:request_decode_time_seconds", "First to last token.", lambda e: e.counters.decode),
    _histogram("vllm:request_generation_tokens", "Tokens generated for a request.", lambda e: e.counters.lengths),
    Family("vllm:cache_config_info", "gauge", "Size of the simulated KV cache.", _cache_config),
)
