"""The sections of the file that configure sources: GPUs, servers, discovery and the OTLP receiver."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from goodwatt.settings.section import Section, SourceSection

MAX_SERVERS = 64  # inference servers that one process reads
LONGEST_SERVICE_NAME = 256
SHORTEST_READ_SECONDS, LONGEST_READ_SECONDS = 0.2, 60.0  # of read_interval_seconds


class GpusSection(SourceSection):
    """How GPU power and energy are read."""

    kind: Literal["auto", "nvml", "none"] = Field(
        "auto", description="`auto` and `nvml` read NVIDIA GPUs through NVML; `none` reads no GPU."
    )

    def resolved(self) -> Self:
        """`auto` becomes `nvml`, the only GPU reader there is."""
        return self.model_copy(update={"kind": "nvml"}) if self.kind == "auto" else self


class BasicAuthSection(Section):
    """HTTP basic authentication."""

    username: str = Field(description="User name.")
    password_file: Path = Field(description="File with the password; read again when it changes.")


class TlsSection(Section):
    """How an https server is verified."""

    ca_file: Path | None = Field(
        None, description="PEM file of the trusted certificate authorities. Absent: the system's."
    )
    cert_file: Path | None = Field(None, description="PEM file of the client certificate. Needs `key_file`.")
    key_file: Path | None = Field(None, description="PEM file of the client certificate's key. Needs `cert_file`.")
    server_name: str | None = Field(None, description="Name to expect in the certificate. Absent: the URL's host.")
    insecure_skip_verify: bool = Field(False, description="`true` accepts any certificate.")


Timeout = Annotated[
    float,
    Field(gt=0, le=60, description="Timeout of one scrape, cut to three quarters of `interval_seconds`."),
]
ReadInterval = Literal["auto", "tick"] | float
ReadIntervalSeconds = Annotated[
    ReadInterval,
    Field(
        description="Time between two reads of the page, 0.2 to 60 s. Several in one tick prove more about goodput. "
        "`auto` reads faster than the tick while that pays and takes at most 1 % of a core; `tick` never does."
    ),
]
Headers = Annotated[dict[str, str], Field(description="HTTP headers to send. Their values are never shown.")]
TokenFile = Annotated[
    Path | None,
    Field(description="File with a bearer token; read again when it changes. Not together with `basic_auth`."),
]
Login = Annotated[
    BasicAuthSection | None, Field(description="User name and password. Not together with `bearer_token_file`.")
]
Tls = Annotated[TlsSection, Field(description="How an https server is verified.")]


class ProxySection(Section):
    """A reverse proxy in front of a server that measures every request (docs/proxy.md)."""

    listen: str = Field(
        description="Address that clients connect to: `host:port`, `:port` for all interfaces, or `[IPv6]:port`. "
        "Plain HTTP."
    )
    upstream: str = Field(
        repr=False,
        description="`http://` or `https://` address of the server. Its path is put in front of each request's path.",
    )
    tls: TlsSection = Field(default_factory=TlsSection, description="How an https `upstream` is verified.")
    connect_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="Timeout of a connection to the server; the client then gets 504."
    )
    silence_timeout_seconds: float = Field(
        600.0, ge=1, le=86400, description="A request on which no byte moves for this long is aborted."
    )
    max_concurrent_requests: int = Field(
        2048, ge=1, le=65536, description="Limit of concurrent requests; further ones get 503 with Retry-After."
    )
    max_header_bytes: int = Field(
        65_536, ge=1024, le=1_048_576, description="Largest request header; a larger one gets 431."
    )
    max_body_bytes: int = Field(
        104_857_600,
        ge=1024,
        le=1_099_511_627_776,
        description="Largest request body; a larger one gets 413.",
    )


class ServerSection(Section):
    """One inference server."""

    name: str = Field(description="Value of the label `server`: 1 to 64 letters, digits, `.`, `_` or `-`; unique.")
    url: str | None = Field(
        None,
        repr=False,
        description="`http://` or `https://` address; without a path, the engine's metrics path is used. Optional "
        "with a `proxy`, which then counts the tokens as well.",
    )
    proxy: ProxySection | None = Field(
        None, description="A reverse proxy in front of the server that records every request. Absent: none."
    )
    engine: str = Field("auto", description="Name of an engine profile; `auto` detects the engine from its metrics.")
    gpus: Literal["all"] | tuple[int, ...] | tuple[str, ...] = Field(
        "all", description="GPUs that the server runs on: `all`, a list of indexes, or a list of UUIDs."
    )
    role: Literal["any", "prefill", "decode"] = Field(
        "any",
        description="`prefill` and `decode` for the two halves of disaggregated serving, so that each request, prompt "
        "and first token counts once (docs/engines.md); `any` serves whole requests.",
    )
    timeout_seconds: Timeout = 2.0
    read_interval_seconds: ReadIntervalSeconds = "auto"
    headers: Headers = Field(default_factory=dict, repr=False)
    bearer_token_file: TokenFile = None
    basic_auth: Login = None
    tls: Tls = Field(default_factory=TlsSection)


class DiscoverySection(Section):
    """Servers listed in files in Prometheus's file_sd format, and how to connect to them."""

    files: tuple[str, ...] = Field(
        min_length=1,
        description="Paths ending in `.json`, `.yml` or `.yaml`; the file name may contain `*`. Changes are picked up.",
    )
    timeout_seconds: Timeout = 2.0
    read_interval_seconds: ReadIntervalSeconds = "auto"
    headers: Headers = Field(default_factory=dict, repr=False)
    bearer_token_file: TokenFile = None
    basic_auth: Login = None
    tls: Tls = Field(default_factory=TlsSection)


class OtlpSection(SourceSection):
    """A receiver for the span that inference servers send for each request; makes goodput exact (docs/otlp.md)."""

    uses_engine_profiles: ClassVar[bool] = True

    listen: str = Field(
        "127.0.0.1:4318",
        description="`host:port` for OTLP over HTTP. Senders are not authenticated. `:4318` listens on all interfaces.",
    )
    services: dict[str, str] = Field(
        default_factory=dict,
        description="Maps a `service.instance.id` or `service.name` to the `name` of a server. Equal names need no "
        "entry. Without any entry, a single server gets the spans of every service.",
    )
    queue_requests: int = Field(
        20000,
        ge=1,
        le=1000000,
        description="Requests that are queued for the next tick; further ones are rejected and counted.",
    )
    largest_body_bytes: int = Field(
        4194304,
        ge=1024,
        le=16777216,
        description="Largest body, both compressed and decompressed; a larger one is rejected. Decoding it takes "
        "far more memory.",
    )


class SourceKeys(Section):
    """The top-level keys that say what is read and how often. A new source adds its section here, under its own key."""

    interval_seconds: float = Field(5.0, ge=0.2, le=300, description="Time between two scrapes of every source.")
    window_seconds: float = Field(
        60.0, le=3600, description="Window of the live gauges; at least twice `interval_seconds`."
    )
    gpus: GpusSection = Field(default_factory=GpusSection, description="How GPU power and energy are read.")
    servers: tuple[ServerSection, ...] | None = Field(
        None,
        description="The inference servers to scrape. Absent: discover them on well-known local ports; `[]`: none.",
    )
    server_discovery: tuple[DiscoverySection, ...] = Field(
        (), description="Files that list more servers and may change at any time. Turns off discovery on local ports."
    )
    otlp: OtlpSection | None = Field(
        None, description="Receiver for request spans; `{}` takes the defaults. Absent: goodwatt receives no spans."
    )
