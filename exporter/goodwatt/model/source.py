"""Which sources there are, and how one read of a source ended: with a reading, or with the reason it failed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from goodwatt.model.engine import EngineReading
from goodwatt.model.gpu import GpusReading
from goodwatt.model.request import RequestsReading


class SourceKind(StrEnum):
    """What a source reads."""

    GPUS = "gpus"
    SERVER = "server"  # an inference server: its metrics page, or a proxy in front of it that counts in its place
    PROXY = "proxy"  # a proxy in front of a server that is scraped as well
    OTLP = "otlp"  # request spans that servers send


class SourceId(NamedTuple):
    """Identifies a source. `name` is the server's for SERVER and PROXY, the reader's for GPUS, and empty for OTLP.

    `str()` and `label` are the value of the `source` label, which also starts every log line about the source.
    """

    kind: SourceKind
    name: str = ""

    @property
    def label(self) -> str:
        """`server/chat`, `proxy/chat`, `otlp`; for GPUs the reader alone: `nvml`."""
        if self.kind is SourceKind.GPUS:
            return self.name
        return f"{self.kind}/{self.name}" if self.name else self.kind.value

    def __str__(self) -> str:
        return self.label


NVML_SOURCE = SourceId(SourceKind.GPUS, "nvml")
OTLP_SOURCE = SourceId(SourceKind.OTLP)


def server_source(server: str) -> SourceId:
    """Identifies what counts a server's tokens: its metrics page, or a proxy that counts in its place."""
    return SourceId(SourceKind.SERVER, server)


def proxy_source(server: str) -> SourceId:
    """Identifies the proxy in front of a server that is scraped as well."""
    return SourceId(SourceKind.PROXY, server)


class Reason(StrEnum):
    """Closed set of values of the `reason` label. The detail with it says what, where and what to do."""

    # a shared library of the GPU driver, or a Python package, is not installed
    LIBRARY_MISSING = "library_missing"
    # GPU
    DRIVER_MISSING = "driver_missing"
    DRIVER_ERROR = "driver_error"
    PERMISSION = "permission"
    NO_GPUS = "no_gpus"
    # any source
    TIMEOUT = "timeout"
    WEDGED = "wedged"  # an earlier call has not returned
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
    CANNOT_LISTEN = "cannot_listen"  # the address is in use, or not on this machine


Reading = GpusReading | EngineReading | RequestsReading


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The source could not be read now. `detail` is one line for the operator and never contains a secret."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What one read of one source in one tick returned, and how long it took."""

    source: SourceId
    duration_seconds: float
    outcome: Reading | Unavailable


class SourceUnavailable(Exception):
    """A source cannot be read now. The sampler turns it into `Unavailable` and tries again at the next tick."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
