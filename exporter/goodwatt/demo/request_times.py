"""The exact times of one finished request."""

from dataclasses import dataclass

from goodwatt.demo.arrivals import Ending, Request


@dataclass(frozen=True, slots=True)
class RequestTimes:
    """When each stage of a request ended, in nanoseconds of the simulation."""

    request: Request
    admitted_ns: int
    first_token_ns: int
    ended_ns: int

    @property
    def succeeded(self) -> bool:
        """False if the client disconnected before the last token."""
        return self.request.ending is not Ending.DISCONNECT

    @property
    def ttft_ns(self) -> int:
        """Arrival to first token, including queueing."""
        return self.first_token_ns - self.request.arrival_ns

    @property
    def tpot_ns(self) -> int:
        """Mean gap between tokens, in whole nanoseconds; 0 for a single token."""
        return (self.ended_ns - self.first_token_ns) // max(1, self.request.output_tokens - 1)

    @property
    def e2e_ns(self) -> int:
        """Arrival to last token (end-to-end latency)."""
        return self.ended_ns - self.request.arrival_ns

    @property
    def queue_ns(self) -> int:
        """Arrival to admission into the batch."""
        return self.admitted_ns - self.request.arrival_ns
