"""What the tests of publication look at: a small snapshot, and pages taken apart again."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from goodwatt.model.engine import Outcome
from goodwatt.model.ledger import TickTotals
from goodwatt.model.request import Dropped, RequestsReading
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import Reason, Unavailable
from goodwatt.publish.exposition import writer
from goodwatt.publish.exposition.collector import SnapshotCollector
from goodwatt.publish.metrics.row import About
from goodwatt.publish.metrics.table import metric_table
from tests.fakes.readings import record
from tests.fakes.snapshots import INTERVAL, START, after, gpus, page

ABOUT = About("0.1.0", "3.11.7", "0123456789ab", reload_ok=True, reloaded_unix_seconds=1_750_000_000.0)
ROWS = metric_table(ABOUT)
WRITERS = {"text": (writer.write_text, parse_text), "openmetrics": (writer.write_openmetrics, parse_openmetrics)}

Series = tuple[str, frozenset[tuple[str, str]]]


def small() -> Snapshot:
    """Two GPUs, one server that works, one that never answered; a window behind it."""
    refused = Unavailable(Reason.UNREACHABLE, "http://127.0.0.1:8001: connection refused; is the server running?")
    ticks = [
        {"nvml": gpus(2, tick), "server/vllm-0": page("vllm-0", tick, "tiny"), "server/vllm-1": refused}
        for tick in range(14)
    ]
    return after(ticks)


def recorded() -> Snapshot:
    """The same, with spans of the server's requests: of five requests a tick three are good, one is slow and one
    failed; now and then one is not judged, and some spans are shed."""
    quick = record(0.4, 0.05, 2.0, tokens=33, server="vllm-0", model="tiny")
    told = (quick, quick, replace(quick, ttft_seconds=1.5, generated_tokens=100), replace(quick, tokens_estimated=True))
    failed = replace(quick, outcome=Outcome.ERROR, ttft_seconds=None, tpot_seconds=None, generated_tokens=None)
    odd = replace(quick, ttft_seconds=None)
    return after(
        [
            {
                "nvml": gpus(2, tick),
                "server/vllm-0": page("vllm-0", tick, "tiny"),
                "otlp": RequestsReading(
                    at_seconds=START + tick * INTERVAL,
                    records=(*told, failed, *([odd] if tick == 7 else [])),
                    dropped={Dropped.DUPLICATE: 2},
                ),
            }
            for tick in range(14)
        ]
    )


def timed() -> Snapshot:
    """The small one, where method "tick" judges: of 100 requests 90 to 95 are good."""
    s = small()
    (key,) = s.ledger.slos
    judged = replace(s.ledger.evidence[key], tick=TickTotals(eligible=100.0, good_lower=90.0, good_upper=95.0))
    ledger = replace(s.ledger, evidence={**s.ledger.evidence, key: judged})
    return replace(s, ledger=ledger, tick_margins={key.account: 0.002})


def rendered(snapshot: Snapshot, form: str = "text", rows: Sequence[object] = ROWS) -> str:
    """The page without the process_* families, which differ from run to run."""
    return WRITERS[form][0](SnapshotCollector(rows, lambda: snapshot).collect()).decode()  # type: ignore[arg-type]


def parsed(page_text: str, form: str = "text") -> list[tuple[Series, float]]:
    """Every series of a page with its value, in page order."""
    parse: Callable = WRITERS[form][1]
    return [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in parse(page_text)
        for sample in family.samples
    ]


def series(snapshot: Snapshot) -> dict[Series, float]:
    """Every series of a snapshot with its value."""
    return dict(parsed(rendered(snapshot)))


def names(snapshot: Snapshot) -> set[str]:
    """Names of the series of a snapshot, without the goodwatt_ prefix."""
    return {name.removeprefix("goodwatt_") for name, _ in series(snapshot)}


def value(snapshot: Snapshot, name: str, **labels: str) -> float | None:
    """The only series of this name that has these labels; None when there is none."""
    found = [v for (n, has), v in series(snapshot).items() if n == f"goodwatt_{name}" and labels.items() <= set(has)]
    assert len(found) <= 1, f"{len(found)} series of {name} have {labels}"
    return found[0] if found else None
