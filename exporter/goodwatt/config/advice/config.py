"""Advice for `goodwatt check` on settings that are valid but probably not intended. Opens no file that they name."""

import os
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from goodwatt.config.advice.alerts import alert_advice
from goodwatt.config.advice.bucket_edges import edge_advice, width_estimate
from goodwatt.config.config import Config, SloSection
from goodwatt.config.plan import READ_SHARE, engine_profiles
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo
from goodwatt.settings.sources import DiscoverySection, OtlpSection, ProxySection, ServerSection, TlsSection
from goodwatt.web.address import parse_address

# Thresholds this high are implausible in seconds but common in milliseconds.
_LIKE_MILLISECONDS = {Signal.TTFT: 100.0, Signal.TPOT: 5.0, Signal.E2E: 3600.0}
_OF_A_PAGE = ("engine", "timeout_seconds", "read_interval_seconds", "headers", "bearer_token_file", "basic_auth", "tls")


def config_advice(
    config: Config,
    profiles: Mapping[str, Profile] | None = None,
    protobuf_problem: str | None = None,
) -> tuple[str, ...]:
    """Return one line for each piece of advice: where, what, what to do. Never contains a secret.

    `profiles` (by default all known ones) supply the bucket edges. `protobuf_problem` is why protobuf spans cannot be
    read here; None if they can.
    """
    lines = [line for server in config.servers or () for line in _server(server, config.interval_seconds)]
    for at, section in enumerate(config.server_discovery):
        lines += _reached(f"server_discovery[{at}]:", section, config.interval_seconds)
    own = config.slos if "slos" in config.model_fields_set else ()  # the operator did not write the default one
    if profiles is None:
        profiles = engine_profiles(config) if own else {}  # only now: it reads every profile file
    lines += [line for slo in own for line in _slo(slo, config, profiles)]
    lines += [] if config.otlp is None else _otlp(config.otlp, config, protobuf_problem)
    lines += [*_money(config), *_margin(config), *_no_gpus(config), *alert_advice(config)]
    return tuple(dict.fromkeys(lines))


def slo_widths(config: Config) -> tuple[str, ...]:
    """Return one line for each configured SLO and engine of its servers: how far apart its bounds will be."""
    own = config.slos if "slos" in config.model_fields_set else ()
    profiles = engine_profiles(config) if own else {}
    lines = []
    for slo in own:
        for engine in _engines_of(slo, config, profiles):
            width = width_estimate(slo.to_model(), profiles[engine].default_edges)
            lines += [] if width is None else [f"slo {slo.name} on {engine}: {width}"]
    return tuple(lines)


def _engines_of(slo: SloSection, config: Config, profiles: Mapping[str, Profile]) -> list[str]:
    """The engines named for the servers that the SLO applies to; those behind a proxy have exact goodput."""
    meant = (server for server in config.servers or () if any(fnmatchcase(server.name, one) for one in slo.servers))
    return sorted({server.engine for server in meant if server.proxy is None} & profiles.keys())


def _server(server: ServerSection, interval_seconds: float) -> Iterator[str]:
    place = f"server {server.name}:"
    if server.proxy is not None:
        yield from _proxy(place, server, server.proxy)
    if server.url is None:
        return
    url = urlsplit(server.url)
    yield from _reached(place, server, interval_seconds)
    if url.path.rstrip("/").endswith("/v1"):
        yield f"{place} url ends in /v1, the path of the API; remove it, and the engine's metrics path is used"
    if server.tls != TlsSection() and url.scheme == "http":
        yield f"{place} tls has no effect on an http:// url; write https:// or remove tls"
    if _has_credentials(server) and url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield f"{place} its credentials cross the network unencrypted; use https://"


def _proxy(place: str, server: ServerSection, proxy: ProxySection) -> Iterator[str]:
    idle = [key for key in _OF_A_PAGE if key in server.model_fields_set and server.url is None]
    if idle:
        unused = ", ".join(idle)
        yield f"{place} without a url no metrics are read and {unused} has no effect; add the url of its metrics"
    upstream = urlsplit(proxy.upstream)
    if proxy.tls != TlsSection() and upstream.scheme == "http":
        yield f"{place} proxy.tls has no effect on an http:// upstream; write https:// or remove tls"
    if proxy.tls.insecure_skip_verify:
        yield f"{place} proxy.tls.insecure_skip_verify accepts any certificate; set proxy.tls.ca_file instead"
    for key, path in _tls_files(proxy.tls):
        problem = unreadable(path)
        if problem:
            yield f"{place} proxy.{key} {path} {problem}; until it can be read, clients are answered 502"
    if is_loopback(upstream.hostname or "") and not is_loopback(parse_address(proxy.listen).host):
        exposed = "a server that listens on this machine only; is that intended?"
        yield f"{place} proxy.listen lets other machines reach {exposed}"


def _reached(place: str, section: ServerSection | DiscoverySection, interval_seconds: float) -> Iterator[str]:
    longest = interval_seconds * READ_SHARE
    if section.timeout_seconds > longest and "timeout_seconds" in section.model_fields_set:
        cut = f"{longest:g} s is used, three quarters of interval_seconds"
        yield f"{place} timeout_seconds {section.timeout_seconds:g} is too long; {cut}"
    between = section.read_interval_seconds
    if isinstance(between, float) and between >= interval_seconds:
        yield f"{place} read_interval_seconds {between:g} has no effect: every tick reads; write tick or a lower number"
    if section.tls.insecure_skip_verify:
        yield f"{place} tls.insecure_skip_verify accepts any certificate; set tls.ca_file instead"
    for key, path in _files(section):
        problem = unreadable(path)
        if problem:
            yield f"{place} {key} {path} {problem}; until it can be read, the server counts as unavailable"


def _has_credentials(server: ServerSection) -> bool:
    named = any(name.lower() in ("authorization", "x-api-key", "api-key", "cookie") for name in server.headers)
    return named or server.bearer_token_file is not None or server.basic_auth is not None


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback name or address. Does no DNS lookup."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _files(server: ServerSection | DiscoverySection) -> Iterator[tuple[str, Path]]:
    named = {
        "bearer_token_file": server.bearer_token_file,
        "basic_auth.password_file": server.basic_auth.password_file if server.basic_auth else None,
    }
    yield from ((key, path) for key, path in named.items() if path is not None)
    yield from _tls_files(server.tls)


def _tls_files(tls: TlsSection) -> Iterator[tuple[str, Path]]:
    named = {"tls.ca_file": tls.ca_file, "tls.cert_file": tls.cert_file, "tls.key_file": tls.key_file}
    yield from ((key, path) for key, path in named.items() if path is not None)


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)


def unreadable(path: Path, readable: Callable[[Path], bool] = _readable) -> str | None:
    """Return why this user cannot read `path`, or None. Does not open the file, which may be a pipe."""
    try:
        if not path.exists():
            return "does not exist"
    except (OSError, ValueError):
        return "cannot be reached"
    if path.is_dir():
        return "is a directory"
    return None if readable(path) else "may not be read by this user"


def _slo(slo: SloSection, config: Config, profiles: Mapping[str, Profile]) -> Iterator[str]:
    place = f"slo {slo.name}:"
    if config.servers:
        meant = [server for server in config.servers if any(fnmatchcase(server.name, one) for one in slo.servers)]
        if not meant:
            yield f"{place} its servers match none of {', '.join(server.name for server in config.servers)}"
        for engine in _engines_of(slo, config, profiles):
            yield from _slo_on_engine(slo.to_model(), profiles[engine])
    if slo.e2e_seconds is not None and slo.ttft_seconds is not None and slo.e2e_seconds <= slo.ttft_seconds:
        yield f"{place} e2e_seconds is not above ttft_seconds, which therefore has no effect; raise e2e_seconds"
    for threshold in slo.to_model().thresholds:
        limit = threshold.seconds
        if limit >= _LIKE_MILLISECONDS[threshold.signal]:
            instead = f"if {limit:g} milliseconds are intended, write {limit / 1000:g}"
            yield f"{place} {threshold.signal.value}_seconds {limit:g} is in seconds; {instead}"


def _slo_on_engine(slo: Slo, profile: Profile) -> Iterator[str]:
    missing = [threshold.signal for threshold in slo.thresholds if threshold.signal not in profile.signals]
    if missing:
        lacking = f"{profile.name} offers no {' and no '.join(missing)} histogram"
        yield f"slo {slo.name}: {lacking}, so it cannot be evaluated there"
    for line in edge_advice(slo, profile.default_edges):
        yield f"{line} (default buckets of {profile.name}{_changed_by(profile)})"


def _changed_by(profile: Profile) -> str:
    return "" if profile.edges_option is None else f"; to change them: {profile.edges_option}"


def _otlp(otlp: OtlpSection, config: Config, protobuf_problem: str | None) -> Iterator[str]:
    if protobuf_problem is not None:
        yield f"otlp: {protobuf_problem}"
    host = parse_address(otlp.listen).host
    if not is_loopback(host):
        yield f"otlp: anyone who can reach {otlp.listen} can send spans; restrict access, or listen on 127.0.0.1"
    if config.server_discovery or config.servers is None:
        return
    names = [server.name for server in config.servers]
    if not names:
        yield "otlp: servers is empty, so no span can be assigned; list the servers that send spans"
    strangers = sorted(set(otlp.services.values()) - set(names)) if names else []
    if strangers:
        yield f"otlp: services names {', '.join(strangers)}, which servers does not list; servers: {', '.join(names)}"


def _money(config: Config) -> Iterator[str]:
    rented = config.cost is not None and config.cost.price_per_gpu_hour is not None
    for key, factor in (("host_factor", config.facility.host_factor), ("pue", config.facility.pue)):
        if rented and factor != 1.0 and config.carbon is None:
            yield f"facility: {key} has no effect: rent includes electricity and no carbon is configured; remove it"
        elif rented and factor != 1.0:
            yield f"facility: {key} has no effect on cost, as rent includes electricity; it applies to carbon only"


def _margin(config: Config) -> Iterator[str]:
    earned, spent = config.revenue, config.cost
    if earned is not None and spent is not None and earned.currency != spent.currency:
        yield f"revenue: is in {earned.currency} and cost in {spent.currency}; no margin can be calculated"


def _no_gpus(config: Config) -> Iterator[str]:
    if config.gpus.kind != "none":
        return
    if config.carbon is not None:
        yield "carbon: has no effect without GPUs; set gpus: {kind: auto}"
    if config.cost is not None:
        yield "cost: has no effect without GPUs; set gpus: {kind: auto}"
