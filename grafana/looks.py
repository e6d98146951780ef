"""How quantities are written, the same on every dashboard."""

from grafana.panels import Json, Look, by_name

# Grafana's own ids where there is one; `si:` scales and names what it has none for.
TOKENS_PER_SECOND = "si:tok/s"
TOKENS_PER_JOULE = "suffix: tok/J"
TOKENS = "si:tok"
REQUESTS = "suffix: req"
RATIO = "percentunit"
WATTS = "watt"
JOULES = "joule"
SECONDS = "s"
MONEY = "none"  # the currency is a label, and stands in the legend

EFFICIENCY = Look(TOKENS_PER_JOULE, decimals=2, least=0)
PRICE = Look(MONEY, decimals=3, least=0)
SHARE = Look(RATIO, decimals=1, least=0, most=1)
POWER = Look(WATTS, least=0)
LATENCY = Look(SECONDS, least=0)
COUNT = Look("short", least=0)

BAD_WHEN_ANY = ((None, "green"), (1, "red"))


def band(lower: str = "at least", upper: str = "at most") -> list[Json]:
    """Overrides that fill the space between two lines: what is known lies in it."""
    quiet = {"custom.fillOpacity": 0, "color": {"mode": "fixed", "fixedColor": "blue"}}
    return [
        by_name(lower, quiet),
        by_name(
            upper,
            {
                "custom.fillBelowTo": lower,
                "custom.fillOpacity": 25,
                "color": {"mode": "fixed", "fixedColor": "light-blue"},
            },
        ),
        by_name("exact", {"color": {"mode": "fixed", "fixedColor": "green"}, "custom.lineWidth": 2}),
        by_name(
            "objective",
            {"color": {"mode": "fixed", "fixedColor": "orange"}, "custom.lineStyle": {"fill": "dash", "dash": [8, 6]}},
        ),
    ]
