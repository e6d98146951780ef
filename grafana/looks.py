"""Units, colours and empty-panel texts shared by every dashboard."""

from grafana.overrides import Json, by_name, by_pattern, coloured
from grafana.panels import Look

# Grafana's unit ids where one exists; otherwise `si:` scales and labels, and `suffix:` only labels.
TOKENS_PER_SECOND = "si:tok/s"
TOKENS_PER_JOULE = "suffix:tok/J"
TOKENS = "si:tok"
GRAMS_PER_HOUR = "suffix:g/h"
PER_MINUTE = "suffix:/min"
TIMES = "suffix:x"
RATIO = "percentunit"
WATTS = "watt"
JOULES = "joule"
MONEY = "none"  # the currency is a label, shown in the legend

NO_PRICE = "no price is configured"
NO_OBJECTIVE = "no objective, or no request yet"
NO_RECORDS = "no request records received"  # neither otlp nor a proxy is configured
JUST_STARTED = "goodwatt has only just started"
NOT_COUNTED = "the engine does not count them"

EFFICIENCY = Look(TOKENS_PER_JOULE, decimals=2, least=0, nothing="no tokens, or no GPU energy")
PRICE = Look(MONEY, decimals=3, least=0, nothing=NO_PRICE)
COST_LOOK = Look(MONEY, decimals=2, nothing=NO_PRICE)
SHARE = Look(RATIO, decimals=1, least=0, most=1)
GOOD = Look(RATIO, decimals=2, least=0, most=1, nothing=NO_OBJECTIVE)
SPEED = Look(TOKENS_PER_SECOND, decimals=1, least=0)
POWER = Look(WATTS, least=0, nothing="no GPU is read")
LATENCY = Look("s", least=0)
COUNT = Look("short", least=0)

BAD_WHEN_ANY = ((None, "green"), (1, "red"))

LOWER, UPPER, EXACT, OBJECTIVE = "blue", "light-blue", "green", "orange"


def band(lower: str = "at least", upper: str = "at most") -> list[Json]:
    """Return overrides that fill the band between two bounds."""
    between = {"custom.fillBelowTo": lower, "custom.fillOpacity": 30}
    return [
        by_name(lower, coloured(LOWER)),
        by_name(upper, coloured(UPPER) | between),
        by_name("exact", coloured(EXACT) | {"custom.lineWidth": 2}),
        by_name("objective", dashed(OBJECTIVE)),
    ]


def dashed(color: str) -> Json:
    """Return the style of a target line, as opposed to a measured one."""
    return coloured(color) | {"custom.lineStyle": {"fill": "dash", "dash": [8, 6]}}


# Patterns for bucket edges in seconds, in steps of 1, 2 and 5, from below 10 ms to above 100 s.
_STEPS = tuple(
    f"{decade}{digits}{rest}"
    for decade, rest in ((r"0\.0", r"\d*"), (r"0\.", r"\d*"), ("", r"(\.\d+)?"), ("", r"\d(\.\d+)?"))
    for digits in ("1", "[2-4]", "[5-9]")
)
_FASTEST, _SLOWEST = r"0\.00\d*", r"(\d{3,}(\.\d+)?|\+Inf)"
_HEAT = ("#14532d", "#1f7a3d", "#37872d", "#73bf69", "#c8dc5b", "#fade2a", "#ff9830", "#f2495c", "#c4162a", "#8f3bb8")


def heat(coolest: int, pace: float) -> list[Json]:
    """Return overrides that colour buckets by their edge, from green to violet, in steps of 1, 2 and 5.

    `coolest` is the last step in the darkest green; step 1 is 10 ms. `pace` is the number of colours per step.
    """
    edges = (_FASTEST, *_STEPS, _SLOWEST)
    colors = [_HEAT[min(max(round((at - coolest) * pace), 0), len(_HEAT) - 1)] for at in range(len(edges))]
    return [by_pattern(f"/^{edge}$/", coloured(color)) for edge, color in zip(edges, colors, strict=True)]
