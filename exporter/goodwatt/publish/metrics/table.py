"""The rows of every module beside this one, in the order of /metrics and of docs/metrics.md.

To add a metric, add a row to the module of its subject; the collector, the reference and the naming tests follow.
"""

from goodwatt.publish.metrics.goodwatt import GOODWATT, about_rows
from goodwatt.publish.metrics.gpus import GPUS
from goodwatt.publish.metrics.ledger import LEDGER
from goodwatt.publish.metrics.live import LIVE
from goodwatt.publish.metrics.requests import REQUESTS
from goodwatt.publish.metrics.row import About, Metric
from goodwatt.publish.metrics.servers import SERVERS
from goodwatt.publish.metrics.slo import SLOS


def metric_groups(about: About | None = None) -> tuple[tuple[str, tuple[Metric, ...]], ...]:
    """Return every row under its heading in the reference. `about` fills the rows of the program itself."""
    return (
        ("GPUs", GPUS),
        ("Inference servers", SERVERS),
        ("Request records", REQUESTS),
        ("Energy, cost, carbon and SLOs since start", LEDGER + SLOS),
        ("Live metrics over the window", LIVE),
        ("goodwatt itself", about_rows(about or About()) + GOODWATT),
    )


def metric_table(about: About | None = None) -> tuple[Metric, ...]:
    """Return every row, in the order of publication."""
    return tuple(row for _, rows in metric_groups(about) for row in rows)
