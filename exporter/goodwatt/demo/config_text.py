"""A configuration file that points goodwatt at the running demo."""

import json
from collections.abc import Sequence

from goodwatt.demo.server_spec import RunningServer
from goodwatt.model.slo import Slo

FRAME = """\
# The demo's servers and GPUs are simulated: do not base decisions on these figures.
interval_seconds: 1
window_seconds: 60
gpus: {{kind: auto}}
servers:
{servers}
{otlp}slos:
{slos}
cost: {{currency: USD, price_per_gpu_hour: 1.69}}
revenue:
  prices:
    - {{prompt_per_million_tokens: 0.04, cached_prompt_per_million_tokens: 0.01, generated_per_million_tokens: 0.16}}
facility: {{host_factor: 1.4, pue: 1.3}}
carbon: {{grams_per_kwh: 400}}
"""


def demo_config_text(servers: Sequence[RunningServer], slos: Sequence[Slo], span_port: int | None = None) -> str:
    """Return the YAML for these servers, each with its own GPUs by UUID, and these SLOs. Both lists may be empty.

    `span_port` is the loopback port that the servers send spans to; None: they send none.
    """
    otlp = "" if span_port is None else f'otlp: {{listen: "127.0.0.1:{span_port}"}}\n'
    listed = (_list([_server(server) for server in servers]), _list([_slo(slo) for slo in slos]))
    return FRAME.format(servers=listed[0], otlp=otlp, slos=listed[1])


def _list(entries: Sequence[dict[str, object]]) -> str:
    # JSON is valid YAML, and its strings are always quoted.
    return "\n".join(f"  - {json.dumps(entry)}" for entry in entries) or "  []"


def _server(server: RunningServer) -> dict[str, object]:
    return {"name": server.name, "url": server.url, "engine": "vllm", "gpus": list(server.gpu_uuids)}


def _slo(slo: Slo) -> dict[str, object]:
    latencies = {f"{threshold.signal}_seconds": threshold.seconds for threshold in slo.thresholds}
    return {"name": slo.name, **latencies, "objective_ratio": slo.objective}
