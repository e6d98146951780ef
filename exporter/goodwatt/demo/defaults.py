"""The demo's default servers and SLOs, chosen so that the dashboards have something to show."""

from goodwatt.demo.physics import GPT_OSS_20B_ON_H100, LLAMA_8B_ON_H100
from goodwatt.demo.server_spec import Lengths, Load, SimulatedServer
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold

CHAT = SimulatedServer(
    name="chat",
    model="meta-llama/Llama-3.1-8B-Instruct",
    physics=LLAMA_8B_ON_H100,
    load=Load(requests_per_second=9.0, swing_ratio=0.6, day_seconds=300.0),
)
# A batch of 64 serves about 21 requests/s and the peak is above 24: the queue fills and drains every three minutes.
BATCH = SimulatedServer(
    name="batch",
    model="openai/gpt-oss-20b",
    physics=GPT_OSS_20B_ON_H100,
    load=Load(
        requests_per_second=17.0,
        prompt=Lengths(median=600, spread=0.5, maximum=4096),
        swing_ratio=0.45,
        day_seconds=180.0,
        cached_share=0.1,
    ),
    max_num_seqs=64,
)
DEFAULT_SERVERS = (CHAT, BATCH)

# Thresholds on bucket edges, so that both bounds agree.
COMFORTABLE = Slo(
    name="comfortable", thresholds=(Threshold(Signal.TTFT, 1.0), Threshold(Signal.TPOT, 0.05)), objective=0.95
)
# Thresholds inside buckets, so that the bounds differ and the viewer sees why edges matter.
STRICT = Slo(name="strict", thresholds=(Threshold(Signal.TTFT, 0.03), Threshold(Signal.TPOT, 0.012)), objective=0.95)
DEFAULT_SLOS = (COMFORTABLE, STRICT)
