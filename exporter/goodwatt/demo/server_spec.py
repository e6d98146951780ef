"""What a simulated server is made of: its load, its limits and its physics."""

from dataclasses import dataclass

from goodwatt.demo.physics import Physics


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts of one kind: log-normal about `median`, clipped to 1..`maximum`."""

    median: int
    spread: float
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.median <= self.maximum or self.spread < 0:
            raise ValueError(f"lengths want 1 <= median <= maximum and spread >= 0, not {self}")


@dataclass(frozen=True, slots=True)
class Load:
    """A Poisson stream whose rate swings by `swing_ratio` about its mean once in `day_seconds`.

    `cached_share` of the requests find most of their prompt in the prefix cache, `one_token_share` want one output
    token, and `disconnect_share` of the others lose their client before the last token.
    """

    requests_per_second: float
    prompt: Lengths = Lengths(median=420, spread=0.7, maximum=4096)
    output: Lengths = Lengths(median=240, spread=0.6, maximum=2048)
    swing_ratio: float = 0.0
    day_seconds: float = 600.0
    cached_share: float = 0.3
    one_token_share: float = 0.01
    disconnect_share: float = 0.02
    total_requests: int | None = None  # None never ends

    def __post_init__(self) -> None:
        shares = (self.swing_ratio, self.cached_share, self.one_token_share, self.disconnect_share)
        if not (self.requests_per_second > 0 and self.day_seconds > 0):
            raise ValueError(f"a load wants requests_per_second and day_seconds above 0, not {self}")
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"a load's shares and its swing lie in 0..1, not {shares}")


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """One simulated inference server on `gpus` GPUs of its own, all of which draw the same power."""

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
            raise ValueError(f"server {self.name}: max_num_seqs, max_batched_tokens and gpus are at least 1")
        if longest > self.physics.kv_cache_tokens:
            raise ValueError(
                f"server {self.name}: a request of {longest} tokens never fits into "
                f"a cache of {self.physics.kv_cache_tokens}; lower the lengths' maximum"
            )


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One simulated server that answers, as a configuration has to name it."""

    name: str
    url: str
    model: str
    gpu_uuids: tuple[str, ...]
