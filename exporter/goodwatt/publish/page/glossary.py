"""What each figure on the page means, in one to three sentences."""

from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.table import UNKNOWN, section

_MEANINGS = (
    (
        "Tokens per watt",
        "Generated tokens per second per watt of GPU power, which equals tokens per joule; joules per token is the "
        "inverse. Idle energy is included, so it falls when a server has little traffic.",
    ),
    (
        "Cost per million tokens",
        "The model's cost over the window divided by the tokens it generated, idle time included. Rental is charged "
        "per GPU-hour; electricity is GPU energy x host factor x PUE.",
    ),
    (
        "Goodput",
        "Requests that met every threshold of an SLO. A histogram covers one latency at a time, so histograms only "
        "prove a lower and an upper bound. Where request records are available, the figure is exact.",
    ),
    (
        "Met",
        "Yes if even the lower bound reaches the target, no if even the upper bound misses it, otherwise unknown. Put "
        "thresholds on bucket boundaries to bring the bounds together.",
    ),
    ("Idle", "Share of a model's energy used while it had no work."),
    (
        "Power of a model",
        "In each interval a GPU's energy is attributed to its models by generated tokens, else by prompt tokens, else "
        "by running requests. If no model is working it is split evenly; if no server claims the GPU "
        "it is unattributed.",
    ),
    (
        "Energy: measured, integrated",
        "Measured energy is read from the driver's own counter. Where the driver has none, energy is integrated from "
        "sampled power.",
    ),
    (
        "Throttled by",
        "Why the driver limits the GPU's clocks; a power cap is normal at full load. Being idle is not a "
        "throttle reason.",
    ),
    (
        f"A dash ({UNKNOWN})",
        "An unknown figure, which is not a zero. The reason is next to it or below the table.",
    ),
)


def glossary_section() -> Element:
    """Return the glossary, with every entry collapsed."""
    entries = (el("details", el("summary", name), el("p", text)) for name, text in _MEANINGS)
    return section("meanings", "What the figures mean", el("div", *entries, class_="meanings"))


def further_reading() -> Element:
    """Return pointers to the commands and documents that explain more."""
    return section("more", "Learn more", *(el("p", *words) for words in _MORE))


_MORE = (
    (
        el("code", "goodwatt engines --url URL"),
        " shows which of a server's metrics feeds each figure, what is missing, and how to enable it.",
    ),
    (
        el("code", "goodwatt metrics"),
        " documents every metric, and ",
        el("code", "goodwatt check --config FILE"),
        " reviews a configuration. For everything else, see the folder ",
        el("code", "docs/"),
        " of the source.",
    ),
)
