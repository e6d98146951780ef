"""The front page: plain HTML, no script, nothing from elsewhere. Every text that comes from outside is escaped."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import NamedTuple

from exporter.model.gpu import GpuReading, GpuState
from exporter.model.ledger import Account
from exporter.model.snapshot import Live, Snapshot, SourceState
from exporter.publish.attained import Attained, in_window, objectives, since_start
from exporter.publish.headline import Figure, headline
from exporter.publish.numbers import ago, percent, short
from exporter.publish.row import About
from exporter.publish.values_live import lives
from exporter.publish.values_self import age_seconds, is_simulated

STYLE = files("exporter.publish").joinpath("landing.css").read_text("utf-8")
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_UNKNOWN = "\N{EN DASH}"


class Link(NamedTuple):
    """A path of this server, and its name."""

    path: str
    name: str


def page(snapshot: Snapshot | None, about: About, links: Iterable[Link]) -> str:
    """The whole page. Before the first snapshot it says so and comes again soon."""
    if snapshot is None:
        return _document("goodwatt", 1, f"{_header(about, about.simulated)}<p>No readings yet.</p>{_nav(links)}")
    body = (
        _header(about, is_simulated(snapshot, about), snapshot)
        + "".join(_account(snapshot, account, live) for account, live in lives(snapshot))
        + _no_servers(snapshot)
        + _table("GPUs", _GPU_HEADINGS, map(_gpu, snapshot.gpus.gpus if snapshot.gpus else ()))
        + _table("Missing on GPUs", ("What",), _missing(snapshot))
        + _table("Objectives", _SLO_HEADINGS, _slos(snapshot))
        + _table("Sources", _SOURCE_HEADINGS, (_source(snapshot, state) for state in snapshot.sources))
        + _factors(snapshot)
        + _nav(links)
    )
    return _document("goodwatt", max(1, round(snapshot.rules.interval_seconds)), body)


def not_found(links: Iterable[Link]) -> str:
    """What to offer where nothing is."""
    home = Link("/", "front page")
    return _document("not found", None, f"<h1>Nothing is here</h1><p>Try one of these:</p>{_nav((home, *links))}")


def _document(title: str, refresh_seconds: int | None, body: str) -> str:
    refresh = "" if refresh_seconds is None else f'<meta http-equiv="refresh" content="{refresh_seconds}">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _header(about: About, simulated: bool, snapshot: Snapshot | None = None) -> str:
    badge = '<span class="simulated">simulated: not measured on real hardware</span>' if simulated else ""
    when = ""
    if snapshot is not None:
        clock = datetime.fromtimestamp(snapshot.unix_seconds, UTC)
        when = f'<span class="soft">{clock:%Y-%m-%d %H:%M:%S} UTC, over {short(snapshot.rules.window_seconds)} s</span>'
    return f'<header><h1>goodwatt</h1><span class="soft">{escape(about.version)}</span>{badge}{when}</header>'


def _account(snapshot: Snapshot, account: Account, live: Live) -> str:
    figures = "".join(map(_figure, headline(snapshot, account, live)))
    name = f"{escape(account.model or account.server)} <small>on {escape(account.server)}</small>"
    return f'<section class="card"><h3>{name}</h3><dl class="figures">{figures}</dl></section>'


def _figure(figure: Figure) -> str:
    label, note = escape(figure.label), escape(figure.note)
    if figure.value is None:
        return f'<div><dt>{label}</dt><dd class="figure none">{_UNKNOWN}</dd><dd class="soft">{note}</dd></div>'
    value = f"{escape(figure.value)} <small>{escape(figure.unit)}</small>"
    return f'<div><dt>{label}</dt><dd class="figure">{value}</dd><dd class="soft">{note}</dd></div>'


def _no_servers(snapshot: Snapshot) -> str:
    if any(True for _ in lives(snapshot)):
        return ""
    why = "No model has been served for two ticks yet." if snapshot.servers else "No inference server can be read."
    return f'<section class="card"><p>{why}</p></section>'


_GPU_HEADINGS = ("GPU", "Product", "Power", "Utilization", "Memory", "Temperature", "Energy", "State")


def _gpu(reading: GpuReading) -> tuple[str, ...]:
    limit = "" if reading.power_limit_watts is None else f" of {short(reading.power_limit_watts)}"
    power = _UNKNOWN if reading.power_watts is None else f"{short(reading.power_watts)}{limit} W"
    used, whole = reading.memory_used_bytes, reading.memory_total_bytes
    memory = _UNKNOWN if used is None or whole is None else f"{short(used / 2**30)} of {short(whole / 2**30)} GiB"
    ratio, celsius = reading.utilization_ratio, reading.temperature_celsius
    return (
        _td(str(reading.gpu.index)),
        _td(reading.gpu.product),
        _td(power),
        _td(_UNKNOWN if ratio is None else percent(ratio, ratio)),
        _td(memory),
        _td(_UNKNOWN if celsius is None else f"{short(celsius)} °C"),
        _td(_UNKNOWN if reading.energy is None else reading.energy.method.value),
        _td(reading.state.value, "up" if reading.state is GpuState.OK else "down"),
    )


def _missing(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for note in snapshot.gpus.notes if snapshot.gpus else ():
        yield (_td(note, "wrap"),)


_SLO_HEADINGS = ("Objective", "Server", "Model", "Wanted", "Good over the window", "Good since start")


def _slos(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    wanted = {slo.name: slo.objective for slo in snapshot.rules.slos}
    for key in objectives(snapshot):
        yield (
            _td(key.slo),
            _td(key.account.server),
            _td(key.account.model),
            _td(percent(wanted[key.slo], wanted[key.slo])),
            _td(_share(in_window(snapshot, key))),
            _td(_share(since_start(snapshot, key))),
        )


def _share(attained: Attained | None) -> str:
    if attained is None or not attained.eligible:
        return _UNKNOWN
    low, high = attained.lower / attained.eligible, attained.upper / attained.eligible
    return f"{percent(low, high)} of {short(attained.eligible)}"


_SOURCE_HEADINGS = ("Source", "State", "Last read", "Why")


def _source(snapshot: Snapshot, state: SourceState) -> tuple[str, ...]:
    age = age_seconds(snapshot, state)
    why = "" if state.reason is None else f"{state.reason.value}: {state.detail}"
    return (
        _td(state.source),
        _td("up" if state.up else "down", "up" if state.up else "down"),
        _td("never" if age is None else ago(age)),
        _td(why, "wrap"),
    )


def _factors(snapshot: Snapshot) -> str:
    facility = snapshot.rules.facility
    return (
        '<p class="soft foot">Joules are those of the GPUs. Prices by the kilowatt-hour and carbon count them '
        f"times host factor {short(facility.host_factor)} and PUE {short(facility.pue)}.</p>"
    )


def _table(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    table = f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    return f"<h2>{escape(title)}</h2>{table}" if body else ""


def _td(text: str, css_class: str = "") -> str:
    attribute = f' class="{css_class}"' if css_class else ""
    return f"<td{attribute}>{escape(text)}</td>"


def _nav(links: Iterable[Link]) -> str:
    anchors = "".join(f'<a href="{escape(link.path)}">{escape(link.name)}</a>' for link in links)
    return f"<nav>{anchors}</nav>"
