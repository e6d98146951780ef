"""What each figure of the page means, in a sentence or three."""

from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.table import UNKNOWN, section

_MEANINGS = (
    (
        "Tokens per watt",
        "Generated tokens per second for each watt that the GPUs draw, which is the same as tokens per joule. "
        "Joules per token is its inverse. Idle energy is inside, so it falls when little is asked of a server.",
    ),
    (
        "Cost of a million tokens",
        "What was spent on a model in the window over the tokens it generated in it, idle time included. Rent counts "
        "by the GPU-hour; electricity counts the GPUs' joules times host factor and PUE.",
    ),
    (
        "Goodput",
        "Requests that met all thresholds of an objective at once. Histograms know one latency at a time, so they only "
        "prove a lower and an upper bound, and the truth is between them; where single requests are recorded "
        "the figure is one exact number.",
    ),
    (
        "Kept",
        "Yes when even the lower bound reaches what is wanted, no when even the upper bound does not, and "
        "otherwise it cannot be told from histograms. Thresholds on bucket edges bring the bounds together.",
    ),
    ("Idle", "The share of a model's joules that were drawn while it worked on nothing."),
    (
        "Power of a model",
        "In each interval a GPU's joules go to the models on it by generated tokens, else by prompt tokens, else by "
        "running requests; if nobody works they are shared evenly, and if nobody is there they are unattributed.",
    ),
    (
        "Energy: measured, integrated",
        "Measured joules are the driver's own counter. Integrated ones are sampled power over time, where the driver "
        "has no counter.",
    ),
    (
        "Held back by",
        "Why the driver keeps the GPU's clocks below what they could be; a power cap is usual at full load. Having "
        "nothing to do is not among the reasons.",
    ),
    (
        f"A dash ({UNKNOWN})",
        "A figure that is not known, which is never a zero. The reason stands beside it or under the table.",
    ),
)


def meanings() -> Element:
    """All of them, closed until somebody asks."""
    entries = (el("details", el("summary", name), el("p", text)) for name, text in _MEANINGS)
    return section("meanings", "What the figures mean", el("div", *entries, class_="meanings"))


def more() -> Element:
    """Where to look further."""
    return section("more", "Look further", *(el("p", *words) for words in _MORE))


_MORE = (
    (
        el("code", "goodwatt engines --url URL"),
        " tells of one server which metric is behind each figure, what is missing, and what to change for it.",
    ),
    (
        el("code", "goodwatt metrics"),
        " is the reference of every metric, and ",
        el("code", "goodwatt check --config FILE"),
        " gives advice on a configuration. The folder ",
        el("code", "docs/"),
        " of the source has the rest.",
    ),
)
