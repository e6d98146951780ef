"""The specification of a simulated server: its load, limits and physics."""

from dataclasses import dataclass

from goodwatt.demo.physics import Physics


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of token counts: log-normal around `median`, clipped to 1..`maximum`."""

    median: int
    spread: float
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.median <= self.maximum or self.spread < 0:
            raise ValueError(f"lengths need 1 <= median <= maximum and spread >= 0, not {self}")


@dataclass(frozen=True, slots=True)
class Load:
    """A Poisson stream whose rate varies by `swing_ratio` around its mean once every `day_seconds`.

    `cached_share` of the requests hit the prefix cache for most of their prompt, `one_token_share` generate one token,
    and `disconnect_share` of the others are cancelled by a disconnect before the last token.
    """

    requests_per_second: float
    prompt: Lengths = Lengths(median=420, spread=0.7, maximum=4096)
    output: Lengths = Lengths(median=240, spread=0.6, maximum=2048)
    swing_ratio: float = 0.0
    day_seconds: float = 600.0
    cached_share: float = 0.3
    one_token_share: float = 0.01
    disconnect_share: float = 0.02
    total_requests: int | None = None  # None: unlimited

    def __post_init__(self) -> None:
        shares = (self.swing_ratio, self.cached_share, self.one_token_share, self.disconnect_share)
        if not (self.requests_per_second > 0 and self.day_seconds > 0):
            raise ValueError(f"a load needs requests_per_second and day_seconds above 0, not {self}")
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"a load's shares and swing_ratio must be in 0..1, not {shares}")


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """A simulated inference server with `gpus` GPUs, all drawing the same power."""

    name: str
    model: str
    physics: Physics
    load: Load
    max_num_seqs: int = 256
    max_batched_tokens: int = 8192
    gpus: int = 1

    def __post_init__(self) -> None:
        longest = self.load.prompt.maximum + self.load.output.maximum
        if min(self.max_num_seqs, self.max_batched_tokens, self.gpus) < 1:
            raise ValueError(f"server {self.name}: max_num_seqs, max_batched_tokens and gpus must be at least 1")
        if longest > self.physics.kv_cache_tokens:
            raise ValueError(
                f"server {self.name}: a request of {longest} tokens never fits into "
                f"a cache of {self.physics.kv_cache_tokens}; lower the lengths' maximum"
            )


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A started simulated server, with what a configuration needs to name it."""

    name: str
    url: str
    model: str
    gpu_uuids: tuple[str, ...]
