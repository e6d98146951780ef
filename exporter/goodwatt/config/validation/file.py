"""Checks the configuration file beyond the types of its values.

Each check reads what it can and skips the rest, so that all mistakes are reported at once.
"""

import re
from collections.abc import Iterator, Mapping

from goodwatt.config.config import Config, CostSection, SloSection
from goodwatt.config.validation.alerts import alert_mistakes
from goodwatt.config.validation.entries import (
    Check,
    list_entries,
    mapping_under,
    mistake,
    name_check,
    name_message,
    number_or_none,
    repeated,
    text_values,
)
from goodwatt.config.validation.messages import did_you_mean
from goodwatt.config.validation.servers import server_checks
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue
from goodwatt.settings.sources import LONGEST_SERVICE_NAME
from goodwatt.web.address import parse_address

_ABSENT: Mapping[KeyPath, str] = {
    (
        "servers",
    ): "has no value; write [] for no server, or remove the key to discover servers on well-known local ports",
    ("otlp",): "has no value; write {} for its defaults, or remove the key to receive no spans",
    ("slos",): "has no value; write [] for none, or remove the key to get the default objective",
}
_THRESHOLDS = ("ttft_seconds", "tpot_seconds", "e2e_seconds")
_PRICES = ("price_per_gpu_hour", "price_per_kwh")
_CURRENCY = re.compile(r"[A-Z]{3}")


def rule_mistakes(document: Document, engines: tuple[str, ...]) -> Iterator[Mistake]:
    """Run every check; `engines` are the names of the shipped profiles."""
    own = (name for _, name in text_values(document, "profiles", "name") if name != "auto")
    known = tuple(dict.fromkeys((*engines, *own)))
    servers = (_values, _window, _gpus_kind, *server_checks(known))
    for rule in (*servers, _profile_check(engines), name_check("slos"), _slos, _cost, _revenue, _otlp, alert_mistakes):
        yield from rule(document)


def _values(document: Document) -> Iterator[Mistake]:
    known = {mistake.path for mistake in document.mistakes}
    for path, value in _leaves((), document.value):
        if value is None and path not in known:
            yield mistake(document, path, _ABSENT.get(path, "has no value; add one or remove the key"))


def _leaves(path: KeyPath, value: YamlValue) -> Iterator[tuple[KeyPath, YamlValue]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves((*path, key), item)
    else:
        yield path, value


def _window(document: Document) -> Iterator[Mistake]:
    top = document.value
    interval = number_or_none(top.get("interval_seconds", Config.model_fields["interval_seconds"].default))
    window = number_or_none(top.get("window_seconds", Config.model_fields["window_seconds"].default))
    if interval is None or window is None or window >= 2 * interval:
        return
    if "window_seconds" in top:
        message = f"must be at least twice interval_seconds ({2 * interval:g}); found {window:g}"
        yield mistake(document, ("window_seconds",), message)
    else:
        message = f"needs window_seconds of at least twice this ({2 * interval:g}); add it: the default is {window:g}"
        yield mistake(document, ("interval_seconds",), message)


def _gpus_kind(document: Document) -> Iterator[Mistake]:
    if isinstance(document.value.get("gpus"), str):
        yield mistake(document, ("gpus",), "must be a mapping; write gpus: {kind: auto}")


def _slos(document: Document) -> Iterator[Mistake]:
    for path, slo in list_entries(document, "slos"):
        if slo.keys() <= SloSection.model_fields.keys() and not any(key in slo for key in _THRESHOLDS):
            yield mistake(document, path, f"has no threshold; add at least one of {', '.join(_THRESHOLDS)}")
        yield from _patterns(document, path, slo)
        share = number_or_none(slo.get("objective_ratio"))
        if share is not None and 1 < share < 100:
            yield mistake(
                document,
                (*path, "objective_ratio"),
                f"must be below 1; found {share:g}: write {share / 100:g} for {share:g} %",
            )


def _cost(document: Document) -> Iterator[Mistake]:
    cost = mapping_under(document, "cost")
    if not isinstance(document.value.get("cost"), dict):
        return
    given = [key for key in _PRICES if key in cost]
    if len(given) != 1 and cost.keys() <= CostSection.model_fields.keys():
        problem = "has both prices; rent includes electricity, so keep one of" if given else "has no price; add one of"
        yield mistake(document, ("cost",), f"{problem} {' and '.join(_PRICES) if given else ' or '.join(_PRICES)}")
    yield from _currency(document, "cost", cost)


def _revenue(document: Document) -> Iterator[Mistake]:
    revenue = mapping_under(document, "revenue")
    yield from _currency(document, "revenue", revenue)
    listed = revenue.get("prices")
    for at, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, dict):
            yield from _patterns(document, ("revenue", "prices", at), entry)


def _otlp(document: Document) -> Iterator[Mistake]:
    otlp = mapping_under(document, "otlp")
    listen = otlp.get("listen")
    if isinstance(listen, str):
        try:
            parse_address(listen)
        except ValueError as wrong:
            yield mistake(document, ("otlp", "listen"), str(wrong))
    services = otlp.get("services")
    for service, server in services.items() if isinstance(services, dict) else ():
        message = name_message(server) if isinstance(server, str) else None
        if not service or len(service) > LONGEST_SERVICE_NAME:
            message = f"a service's name must have 1 to {LONGEST_SERVICE_NAME} characters"
        if message:
            yield mistake(document, ("otlp", "services", service), message)


def _patterns(document: Document, path: KeyPath, entry: Mapping[str, object]) -> Iterator[Mistake]:
    for key in ("models", "servers"):
        listed = entry.get(key)
        if isinstance(listed, list) and "" in listed:
            yield mistake(document, (*path, key), 'contains an empty pattern; write "*" for all')


def _currency(document: Document, key: str, money: Mapping[str, object]) -> Iterator[Mistake]:
    currency = money.get("currency")
    if isinstance(currency, str) and not _CURRENCY.fullmatch(currency):
        close = f"; did you mean '{currency.upper()}'?" if _CURRENCY.fullmatch(currency.upper()) else ""
        yield mistake(document, (key, "currency"), f"must be three capital letters such as USD or EUR{close}")


def _profile_check(shipped: tuple[str, ...]) -> Check:
    """Make a check that names are unique and differ from shipped ones unless the profile replaces one."""

    def check(document: Document) -> Iterator[Mistake]:
        yield from repeated(document, text_values(document, "profiles", "name"), "name")
        for path, profile in list_entries(document, "profiles"):
            message = _profile_name_message(profile.get("name"), profile.get("replaces_shipped") is True, shipped)
            if message:
                yield mistake(document, (*path, "name"), message)

    return check


def _profile_name_message(name: YamlValue, replaces: bool, shipped: tuple[str, ...]) -> str | None:
    if not isinstance(name, str):
        return None
    if name == "auto":
        return "must not be auto, which means that the engine is detected; choose another"
    if name in shipped and not replaces:
        return "is the name of a shipped profile; choose another, or add replaces_shipped: true to take its place"
    if name not in shipped and replaces:
        known = f"shipped: {', '.join(shipped)}"
        return f"replaces_shipped is true, but no shipped profile has this name; {known}{did_you_mean(name, shipped)}"
    return None
