"""Whether goodwatt itself is well: what it reads, what it fails to read, and what it costs."""

from dataclasses import replace

from grafana import queries as q
from grafana.board import INSTANCE, JOB, Board, Variable
from grafana.looks import BAD_WHEN_ANY, COUNT, JUST_BEGUN, LATENCY, PER_MINUTE, SHARE
from grafana.panels import Column, Lines, Look, Panel, Query, row, stat, table, timeseries

SOURCE = Variable("source", "Source", "goodwatt_source_up", q.JOBS)
SOURCES = f'{q.JOBS}, source=~"$source"'
EACH = "{{source}} {{instance}}"
NO_FAILURE = "no source has failed"
NO_EXPORTER = "no goodwatt was scraped"
CPU = f"rate(process_cpu_seconds_total{{{q.JOBS}}}[$__rate_interval])"
MEMORY = f"process_resident_memory_bytes{{{q.JOBS}}}"
NUMBER = Look("short", decimals=0, nothing=NO_EXPORTER)
ALARM = replace(NUMBER, steps=BAD_WHEN_ANY)


def _headline() -> list[Panel]:
    return [
        stat(
            "Exporters",
            "goodwatts that Prometheus can scrape, and those that it cannot.",
            [Query(f"sum(up{{{q.JOBS}}})", "up"), Query(f"sum(up{{{q.JOBS}}} == bool 0)", "down")],
            NUMBER,
        ),
        stat(
            "Sources down",
            "GPU drivers, servers and listeners whose latest read failed.",
            [Query(q.how_many("source_up", "== bool 0", SOURCES))],
            ALARM,
        ),
        stat(
            "Oldest reading",
            "Time since the source that was read last of all was read with success.",
            [Query(f"max(goodwatt_source_age_seconds{{{SOURCES}}})")],
            Look("s", decimals=1, nothing=NO_EXPORTER, steps=((None, "green"), (30, "orange"), (120, "red"))),
        ),
        stat(
            "Configuration refused",
            "goodwatts whose latest configuration file was refused; the one before is in force there.",
            [Query(q.how_many("config_last_reload_successful", "== bool 0", q.JOBS))],
            ALARM,
        ),
        stat(
            "CPU",
            "Share of one core, of the costliest goodwatt.",
            [Query(f"max({CPU})")],
            Look("percentunit", decimals=2, nothing=NO_EXPORTER),
        ),
        stat(
            "Memory",
            "Resident, of the largest goodwatt.",
            [Query(f"max({MEMORY})")],
            Look("bytes", decimals=0, nothing=NO_EXPORTER),
        ),
    ]


def _source_table() -> Panel:
    gauges = ("up", "age_seconds", "read_duration_seconds")
    failures = q.events("source_failures_total", SOURCES, by="instance, source", window="$__range")
    return table(
        "Sources",
        "Every source: whether its latest read succeeded, how old its reading is, and how many reads failed "
        "in the time shown.",
        [
            *(
                Query(f"max by (instance, source) (goodwatt_source_{gauge}{{{SOURCES}}})", instant=True)
                for gauge in gauges
            ),
            Query(failures, instant=True, optional=NO_FAILURE),
        ],
        (
            Column("instance", "goodwatt", width=170),
            Column("source", "Source"),
            Column("Value #A", "Up", "bool_yes_no", 0),
            Column("Value #B", "Age", "s", 1),
            Column("Value #C", "Read time", "s"),
            Column("Value #D", "Failures", "short", 0),
        ),
        height=7,
        nothing=NO_EXPORTER,
    )


def _exporter_table() -> Panel:
    per_instance = f"max by (instance, version, python, simulated) (goodwatt_build_info{{{q.JOBS}}})"
    settings = f"max by (instance, hash) (goodwatt_config_info{{{q.JOBS}}})"
    return table(
        "Exporters",
        "Every goodwatt: its version, whether anything simulated stands behind its figures, a hash of its "
        "configuration, and how long it has been running.",
        [
            Query(per_instance, instant=True),
            Query(settings, instant=True),
            Query(f"max by (instance) (time() - process_start_time_seconds{{{q.JOBS}}})", instant=True),
            Query(f"max by (instance) (goodwatt_interval_seconds{{{q.JOBS}}})", instant=True),
        ],
        (
            Column("instance", "goodwatt", width=170),
            Column("version", "Version"),
            Column("python", "Python"),
            Column("simulated", "Simulated"),
            Column("hash", "Configuration", width=150),
            Column("Value #C", "Running for", "s", 0),
            Column("Value #D", "Interval", "s", 0),
        ),
        height=5,
        nothing=NO_EXPORTER,
    )


def _sources() -> list[Panel]:
    failures, dropped = (
        q.events(metric, SOURCES, by="source, reason", window="$__rate_interval")
        for metric in ("source_failures_total", "request_records_dropped_total")
    )
    dropped = f"60 * {q.rate('server_dropped_lines_total', q.JOBS, by='server')}"
    return [
        timeseries(
            "Read time",
            "How long the latest read of each source took.",
            [Query(f"goodwatt_source_read_duration_seconds{{{SOURCES}}}", EACH)],
            LATENCY,
        ),
        timeseries(
            "Age of readings",
            "Time since each source was last read with success. It is 0 while all is well.",
            [Query(f"goodwatt_source_age_seconds{{{SOURCES}}}", EACH)],
            LATENCY,
            lines=Lines(reach=10),
        ),
        timeseries(
            "Failures by reason",
            "Reads that failed in the four minutes before each point, or in more where points are further apart.",
            [Query(failures, "{{source}} {{reason}}", optional=NO_FAILURE, step="1m")],
            COUNT,
            width=8,
        ),
        timeseries(
            "Lines dropped",
            "Malformed lines of servers' pages that were left out, per minute.",
            [Query(dropped, "{{server}}")],
            Look(PER_MINUTE, least=0),
            width=8,
            lines=Lines(reach=1),
        ),
        timeseries(
            "Records shed",
            "What arrived as a request's record in the moments before each point and could not be counted, and why.",
            [
                Query(
                    dropped, "{{source}} {{reason}}", optional="no record was refused, or none are received", step="1m"
                )
            ],
            COUNT,
            width=8,
        ),
    ]


def _missed_ticks() -> str:
    """Only where goodwatt was there a whole window ago: to `rate` a younger one looks as if it had missed ticks."""
    ticks, interval = f"goodwatt_ticks_total{{{q.JOBS}}}", f"goodwatt_interval_seconds{{{q.JOBS}}}"
    missed = f"clamp_min(round(1 - rate({ticks}[$__rate_interval]) * {interval}, 0.001), 0)"
    return f"{missed} and {ticks} offset $__rate_interval"


def _cost() -> list[Panel]:
    busy = q.ratio(f"goodwatt_tick_duration_seconds{{{q.JOBS}}}", f"goodwatt_interval_seconds{{{q.JOBS}}}")
    return [
        timeseries(
            "Tick duration, share of the interval",
            "At 100 % a tick takes as long as the time between two.",
            [Query(busy, "{{instance}}")],
            SHARE,
            width=8,
        ),
        timeseries(
            "Ticks missed",
            "Share of the ticks that were due and did not happen. Above 0 the machine is too busy, or a tick too slow.",
            [
                Query(_missed_ticks(), "{{instance}}", optional=JUST_BEGUN, step="1m"),
            ],
            SHARE,
            width=8,
        ),
        timeseries(
            "Scrapes",
            "How long Prometheus's scrapes of goodwatt took.",
            [Query(f"scrape_duration_seconds{{{q.JOBS}}}", "{{instance}}")],
            LATENCY,
            width=8,
        ),
        timeseries(
            "CPU",
            "Share of one core.",
            [Query(CPU, "{{instance}}")],
            Look("percentunit", least=0),
            width=8,
        ),
        timeseries("Memory", "Resident memory.", [Query(MEMORY, "{{instance}}")], Look("bytes", least=0), width=8),
        timeseries(
            "Series",
            "Samples in one scrape.",
            [Query(f"scrape_samples_scraped{{{q.JOBS}}}", "{{instance}}")],
            Look("short", least=0),
            width=8,
        ),
    ]


BOARD = Board(
    "goodwatt-health",
    "goodwatt / Exporter health",
    "What goodwatt reads, what it cannot read and why, and what it costs to run.",
    (JOB, INSTANCE, SOURCE),
    (
        *_headline(),
        row("What is read"),
        _source_table(),
        *_sources(),
        row("What it costs"),
        _exporter_table(),
        *_cost(),
    ),
)
