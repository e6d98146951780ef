"""One request that has ended: what a client with a perfect clock would have noted."""

from dataclasses import dataclass

from goodwatt.demo.arrivals import Ending, Request


@dataclass(frozen=True, slots=True)
class RequestTimes:
    """The moments are nanoseconds of the simulation."""

    request: Request
    admitted_ns: int
    first_token_ns: int
    ended_ns: int

    @property
    def succeeded(self) -> bool:
        """False when the client went away before the last token."""
        return self.request.ending is not Ending.DISCONNECT

    @property
    def ttft_ns(self) -> int:
        """Arrival to first token, queueing included."""
        return self.first_token_ns - self.request.arrival_ns

    @property
    def tpot_ns(self) -> int:
        """Mean gap between tokens, whole nanoseconds; 0 for a single token."""
        return (self.ended_ns - self.first_token_ns) // max(1, self.request.output_tokens - 1)

    @property
    def e2e_ns(self) -> int:
        """Arrival to last token."""
        return self.ended_ns - self.request.arrival_ns

    @property
    def queue_ns(self) -> int:
        """Arrival to admission."""
        return self.admitted_ns - self.request.arrival_ns
