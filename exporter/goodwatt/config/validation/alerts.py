"""Checks the `alerts` section: every configured alert can fire, and every disabled name is an alert."""

import difflib
from collections.abc import Iterator, Mapping

from goodwatt.config.config import SloSection
from goodwatt.config.validation.entries import list_entries, mapping_under, mistake, number_or_none
from goodwatt.config.yaml.document import Document, Mistake, YamlValue
from goodwatt.rules import alert_names
from goodwatt.rules.burn_rate import can_fire, max_burn_rate

BURN_KEYS = ("burn_1h_factor", "burn_6h_factor", "burn_1d_factor", "burn_3d_factor")


def alert_mistakes(document: Document) -> Iterator[Mistake]:
    """Find every mistake in the section."""
    alerts = mapping_under(document, "alerts")
    yield from _burns(document, alerts)
    yield from _cost(document, alerts)
    yield from _disabled(document, alerts)


def _burns(document: Document, alerts: Mapping[str, YamlValue]) -> Iterator[Mistake]:
    """Reject a factor if an objective's budget can never burn that fast, because its alert could never fire."""
    for key in BURN_KEYS:
        factor = number_or_none(alerts.get(key))
        for name, objective in _objectives(document):
            if factor is not None and not can_fire(factor, objective):
                most = f"{max_burn_rate(objective):.6g}"
                yield mistake(
                    document,
                    ("alerts", key),
                    f"can never fire: with its objective of {objective:g}, {name} burns at most {most} times as fast; "
                    f"write less than {most}, or remove the key to get a factor that fits",
                )
                break


def _objectives(document: Document) -> Iterator[tuple[str, float]]:
    if "slos" not in document.value:
        yield "the default SLO", float(SloSection.model_fields["objective_ratio"].default)
    for path, slo in list_entries(document, "slos"):
        given = number_or_none(slo.get("objective_ratio", SloSection.model_fields["objective_ratio"].default))
        if given is not None and 0 < given < 1:
            yield f"slos[{path[1]}]", given


def _cost(document: Document, alerts: Mapping[str, YamlValue]) -> Iterator[Mistake]:
    key = "generated_cost_per_million_tokens"
    if key in alerts and "cost" not in document.value:
        yield mistake(document, ("alerts", key), "can never fire: no cost is configured; add cost, or remove the key")


def _disabled(document: Document, alerts: Mapping[str, YamlValue]) -> Iterator[Mistake]:
    listed, known = alerts.get("disabled"), alert_names()
    for at, name in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(name, str) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            more = f"did you mean '{near[0]}'?" if near else "docs/runbooks.md lists all names"
            yield mistake(document, ("alerts", "disabled", at), f"is not the name of an alert; {more}")
