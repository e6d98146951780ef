"""How a source's read ended: a reading, or a reason that it could not be had."""

from dataclasses import dataclass
from enum import StrEnum

from goodwatt.model.engine import EngineReading
from goodwatt.model.gpu import GpusReading
from goodwatt.model.request import RequestsReading


class Reason(StrEnum):
    """Closed vocabulary of the `reason` label. The detail beside it says what, where and what to do."""

    # a library that is not installed, of the GPU's driver or of Python
    LIBRARY_MISSING = "library_missing"
    # GPU
    DRIVER_MISSING = "driver_missing"
    DRIVER_ERROR = "driver_error"
    PERMISSION = "permission"
    NO_GPUS = "no_gpus"
    # any source
    TIMEOUT = "timeout"
    WEDGED = "wedged"  # an earlier call has not come back
    # HTTP
    UNREACHABLE = "unreachable"
    HTTP_ERROR = "http_error"
    AUTH_REFUSED = "auth_refused"
    TLS = "tls"
    TOO_LARGE = "too_large"
    NOT_METRICS = "not_metrics"
    METRICS_OFF = "metrics_off"
    UNKNOWN_ENGINE = "unknown_engine"
    CREDENTIALS = "credentials"  # a token or password file cannot be read
    # sources that listen
    CANNOT_LISTEN = "cannot_listen"  # the address is taken, or not ours


Reading = GpusReading | EngineReading | RequestsReading


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Could not be read now. `detail` is one line for a person; it never holds a secret."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What the frame saw of one source in one tick."""

    source: str
    duration_seconds: float
    outcome: Reading | Unavailable


class SourceUnavailable(Exception):
    """A source cannot be read now; the frame turns it into `Unavailable` and tries again at the next tick."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def server_source(server: str) -> str:
    """The `source` label of the server of this name."""
    return f"server/{server}"


def proxy_source(server: str) -> str:
    """The `source` label of the proxy in front of a server whose metrics page is read as well."""
    return f"proxy/{server}"


GPU_SOURCE = "nvml"
