"""The sections of the sources in the operator's file."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from goodwatt.settings.section import Section, SourceSection

MAX_SERVERS = 64  # inference servers that one process reads
LONGEST_SERVICE_NAME = 256


class GpusSection(SourceSection):
    """Where GPU power and energy are read."""

    kind: Literal["auto", "nvml", "none"] = Field(
        "auto", description="`auto` and `nvml` read NVIDIA GPUs through NVML; `none` reads no GPU."
    )

    def resolved(self) -> Self:
        """`auto` becomes `nvml`, the only GPU reader there is."""
        return self.model_copy(update={"kind": "nvml"}) if self.kind == "auto" else self


class BasicAuthSection(Section):
    """HTTP basic authentication."""

    username: str = Field(description="User name.")
    password_file: Path = Field(description="File that holds the password; read again whenever it changes.")


class TlsSection(Section):
    """How an https server is verified."""

    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust; absent: the system's.")
    cert_file: Path | None = Field(None, description="PEM file of the client certificate; needs `key_file`.")
    key_file: Path | None = Field(None, description="PEM file of the client's key; needs `cert_file`.")
    server_name: str | None = Field(None, description="Name to expect in the certificate; absent: the URL's host.")
    insecure_skip_verify: bool = Field(False, description="`true` accepts any certificate.")


Timeout = Annotated[
    float,
    Field(gt=0, le=60, description="Deadline of one read; at most three quarters of `interval_seconds` are used."),
]
Headers = Annotated[dict[str, str], Field(description="HTTP headers to send. Values are never shown.")]
TokenFile = Annotated[
    Path | None,
    Field(description="File that holds a bearer token; read again whenever it changes. Not with `basic_auth`."),
]
Login = Annotated[BasicAuthSection | None, Field(description="User name and password. Not with `bearer_token_file`.")]
Tls = Annotated[TlsSection, Field(description="How an https server is verified.")]


class ProxySection(Section):
    """A pass-through in front of a server, which measures every request on its way (docs/proxy.md)."""

    listen: str = Field(
        description="Where clients connect: `host:port`, `:port` for every interface, or `[IPv6]:port`. Plain HTTP."
    )
    upstream: str = Field(
        repr=False, description="`http://` or `https://` address of the server; a path is put before every request's."
    )
    tls: TlsSection = Field(default_factory=TlsSection, description="How an https `upstream` is verified.")
    connect_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="Longest time to connect to the server; later clients are answered 504."
    )
    silence_timeout_seconds: float = Field(
        600.0, ge=1, le=86400, description="Longest time in which nothing of a running request moves; then it is cut."
    )
    max_concurrent_requests: int = Field(
        2048, ge=1, le=65536, description="Requests that run at once; one more is answered 503 with Retry-After."
    )
    max_header_bytes: int = Field(
        65_536, ge=1024, le=1_048_576, description="Longest header; a request with a longer one is answered 431."
    )
    max_body_bytes: int = Field(
        104_857_600,
        ge=1024,
        le=1_099_511_627_776,
        description="Longest body of a request; a longer one is answered 413.",
    )


class ServerSection(Section):
    """One inference server."""

    name: str = Field(description="Value of the label `server`: 1 to 64 of letters, digits, `.`, `_` and `-`; unique.")
    url: str | None = Field(
        None,
        repr=False,
        description="`http://` or `https://` address; without a path, the engine's metrics path is used. May be left "
        "out only where there is a `proxy`, which then counts tokens too.",
    )
    proxy: ProxySection | None = Field(
        None, description="A pass-through in front of the server that tells of every request. Absent: none."
    )
    engine: str = Field("auto", description="Name of an engine profile; `auto` recognises it from its metrics.")
    gpus: Literal["all"] | tuple[int, ...] | tuple[str, ...] = Field(
        "all", description="GPUs that the server runs on: `all`, or a list of indexes, or a list of UUIDs."
    )
    timeout_seconds: Timeout = 2.0
    headers: Headers = Field(default_factory=dict, repr=False)
    bearer_token_file: TokenFile = None
    basic_auth: Login = None
    tls: Tls = Field(default_factory=TlsSection)


class DiscoverySection(Section):
    """Servers listed in files of Prometheus's file_sd format, which may change at any time; how they are reached."""

    files: tuple[str, ...] = Field(
        min_length=1,
        description="Paths ending in `.json`, `.yml` or `.yaml`; the last part may hold one or more `*`.",
    )
    timeout_seconds: Timeout = 2.0
    headers: Headers = Field(default_factory=dict, repr=False)
    bearer_token_file: TokenFile = None
    basic_auth: Login = None
    tls: Tls = Field(default_factory=TlsSection)


class OtlpSection(SourceSection):
    """Where inference servers send a span for each request, so that goodput is exact (docs/otlp.md)."""

    uses_engine_profiles: ClassVar[bool] = True

    listen: str = Field(
        "127.0.0.1:4318",
        description="`host:port` of OTLP over HTTP; who can reach it can send spans. `:4318` is every interface.",
    )
    services: dict[str, str] = Field(
        default_factory=dict,
        description="Whose spans are whose: from a `service.instance.id` or `service.name` to the `name` of a server. "
        "Equal names need no entry. Without any entry, the only server there is gets the spans of every service.",
    )
    queue_requests: int = Field(
        20000, ge=1, le=1000000, description="Requests that may wait for the next tick; more are refused and counted."
    )
    largest_body_bytes: int = Field(
        4194304,
        ge=1024,
        le=16777216,
        description="Largest body, as it comes and inflated; larger ones are refused. Decoded, it takes far more.",
    )


class SourceKeys(Section):
    """The top-level keys that say what is read and when. A new source adds its section here, under its own key."""

    interval_seconds: float = Field(5.0, ge=0.2, le=300, description="Time between two reads of every source.")
    window_seconds: float = Field(
        60.0, le=3600, description="Time that the live gauges look back over; at least twice `interval_seconds`."
    )
    gpus: GpusSection = Field(default_factory=GpusSection, description="Where GPU power and energy are read.")
    servers: tuple[ServerSection, ...] | None = Field(
        None,
        description="The inference servers to read. Absent: the usual local ports are tried; `[]`: none.",
    )
    server_discovery: tuple[DiscoverySection, ...] = Field(
        (), description="Files that list more servers to read and may change at any time. With it no port is tried."
    )
    otlp: OtlpSection | None = Field(
        None, description="Where servers send their spans; `{}` takes the defaults. Absent: nothing listens."
    )
