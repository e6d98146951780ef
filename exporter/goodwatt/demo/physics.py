"""Duration and power of one engine step on one GPU, in integer nanoseconds and milliwatts.

Integers make the simulation exact: advancing in one large step or in many small ones gives the same figures.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepCost:
    """One step of the engine: its prefill part runs first, then its decode part. Power is that of one GPU."""

    prefill_ns: int
    decode_ns: int
    prefill_milliwatts: int
    decode_milliwatts: int

    @property
    def duration_ns(self) -> int:
        """Duration of the whole step."""
        return self.prefill_ns + self.decode_ns


@dataclass(frozen=True, slots=True)
class Physics:
    """One model on one kind of GPU.

    A decode step reads all weights once (`step_ns`) and each sequence's cache (`sequence_ns`); prefill is bound by
    arithmetic (`prompt_token_ns`). Decode power climbs from `decode_floor_milliwatts` towards
    `decode_ceiling_milliwatts` as the batch grows; 63 % of the climb is done at `knee_sequences`.
    """

    step_ns: int
    sequence_ns: int
    prompt_token_ns: int
    idle_milliwatts: int
    prefill_milliwatts: int
    decode_floor_milliwatts: int
    decode_ceiling_milliwatts: int
    knee_sequences: float
    kv_cache_tokens: int

    def decode_milliwatts(self, sequences: int) -> int:
        """Return one GPU's power while it decodes this many sequences."""
        climb = self.decode_ceiling_milliwatts - self.decode_floor_milliwatts
        return self.decode_ceiling_milliwatts - round(climb * math.exp(-sequences / self.knee_sequences))

    def step(self, sequences: int, prompt_tokens: int, slowdown: float = 1.0) -> StepCost:
        """Return the cost of a step that decodes `sequences` and prefills `prompt_tokens`, slowed by `slowdown`."""
        return StepCost(
            prefill_ns=round(prompt_tokens * self.prompt_token_ns * slowdown),
            decode_ns=round((self.step_ns + sequences * self.sequence_ns) * slowdown),
            prefill_milliwatts=self.prefill_milliwatts,
            decode_milliwatts=self.decode_milliwatts(sequences),
        )


# Fitted to the joules per output token that ML.ENERGY (v3) measured on one H100 at batches of 8, 64 and 256.
LLAMA_8B_ON_H100 = Physics(
    step_ns=6_800_000,
    sequence_ns=25_000,
    prompt_token_ns=30_000,
    idle_milliwatts=118_000,
    prefill_milliwatts=690_000,
    decode_floor_milliwatts=449_000,
    decode_ceiling_milliwatts=700_000,
    knee_sequences=87.0,
    kv_cache_tokens=400_000,
)
GPT_OSS_20B_ON_H100 = Physics(
    step_ns=5_700_000,
    sequence_ns=30_000,
    prompt_token_ns=20_000,
    idle_milliwatts=118_000,
    prefill_milliwatts=680_000,
    decode_floor_milliwatts=425_000,
    decode_ceiling_milliwatts=680_000,
    knee_sequences=60.0,
    kv_cache_tokens=800_000,
)
