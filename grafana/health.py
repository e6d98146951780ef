"""Dashboard Exporter health: what goodwatt reads, what it fails to read, and what it costs to run."""

from dataclasses import replace

from grafana import queries as q
from grafana.board import INSTANCE, JOB, Board, Variable
from grafana.looks import BAD_WHEN_ANY, COUNT, JUST_STARTED, LATENCY, PER_MINUTE, SHARE
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
            "Instances that Prometheus can scrape (up) and cannot scrape (down).",
            [Query(f"sum(up{{{q.JOBS}}})", "up"), Query(f"sum(up{{{q.JOBS}}} == bool 0)", "down")],
            NUMBER,
        ),
        stat(
            "Sources down",
            "GPU drivers, servers and listeners whose last read failed.",
            [Query(q.how_many("source_up", "== bool 0", SOURCES))],
            ALARM,
        ),
        stat(
            "Oldest reading",
            "Longest time since any source was last read successfully.",
            [Query(f"max(goodwatt_source_age_seconds{{{SOURCES}}})")],
            Look("s", decimals=1, nothing=NO_EXPORTER, steps=((None, "green"), (30, "orange"), (120, "red"))),
        ),
        stat(
            "Configuration rejected",
            "Instances that rejected their last reload; the previous configuration is still active there.",
            [Query(q.how_many("config_last_reload_successful", "== bool 0", q.JOBS))],
            ALARM,
        ),
        stat(
            "CPU",
            "Share of one core, for the busiest instance.",
            [Query(f"max({CPU})")],
            Look("percentunit", decimals=2, nothing=NO_EXPORTER),
        ),
        stat(
            "Memory",
            "Resident memory of the largest instance.",
            [Query(f"max({MEMORY})")],
            Look("bytes", decimals=0, nothing=NO_EXPORTER),
        ),
    ]


def _source_table() -> Panel:
    gauges = ("up", "age_seconds", "read_duration_seconds")
    failures = q.events("source_failures_total", SOURCES, by="instance, source", window="$__range")
    return table(
        "Sources",
        "Every source: whether its last read succeeded, the age of its reading, and failed reads over the time range.",
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
        "Every instance: version, whether its figures are simulated, a hash of its configuration, and its uptime.",
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
            Column("Value #C", "Uptime", "s", 0),
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
    lines = f"60 * {q.rate('server_dropped_lines_total', q.JOBS, by='server')}"
    return [
        timeseries(
            "Read time",
            "Duration of the last read of each source.",
            [Query(f"goodwatt_source_read_duration_seconds{{{SOURCES}}}", EACH)],
            LATENCY,
        ),
        timeseries(
            "Age of readings",
            "Time since each source was last read successfully; 0 while reads succeed.",
            [Query(f"goodwatt_source_age_seconds{{{SOURCES}}}", EACH)],
            LATENCY,
            lines=Lines(reach=10),
        ),
        timeseries(
            "Failures by reason",
            "Failed reads in the four minutes before each point, or longer where points are further apart.",
            [Query(failures, "{{source}} {{reason}}", optional=NO_FAILURE, step="1m")],
            COUNT,
            width=8,
        ),
        timeseries(
            "Lines dropped",
            "Malformed lines on servers' metrics pages, per minute.",
            [Query(lines, "{{server}}")],
            Look(PER_MINUTE, least=0),
            width=8,
            lines=Lines(reach=1),
        ),
        timeseries(
            "Request records dropped",
            "Request records that arrived in the four minutes before each point and could not be counted, by reason.",
            [
                Query(
                    dropped, "{{source}} {{reason}}", optional="no record was dropped, or none are received", step="1m"
                )
            ],
            COUNT,
            width=8,
        ),
    ]


def _missed_ticks() -> str:
    """Return the share of missed ticks. Skips instances younger than the window, whose `rate` would be too low."""
    ticks, interval = f"goodwatt_ticks_total{{{q.JOBS}}}", f"goodwatt_interval_seconds{{{q.JOBS}}}"
    missed = f"clamp_min(round(1 - rate({ticks}[$__rate_interval]) * {interval}, 0.001), 0)"
    return f"{missed} and {ticks} offset $__rate_interval"


def _cost() -> list[Panel]:
    busy = q.ratio(f"goodwatt_tick_duration_seconds{{{q.JOBS}}}", f"goodwatt_interval_seconds{{{q.JOBS}}}")
    return [
        timeseries(
            "Tick duration, share of interval",
            "At 100 % a tick takes the whole interval until the next one.",
            [Query(busy, "{{instance}}")],
            SHARE,
            width=8,
        ),
        timeseries(
            "Ticks missed",
            "Share of the due ticks that were skipped. Above 0, the machine is too busy or a tick is too slow.",
            [
                Query(_missed_ticks(), "{{instance}}", optional=JUST_STARTED, step="1m"),
            ],
            SHARE,
            width=8,
        ),
        timeseries(
            "Scrapes",
            "Duration of Prometheus's scrapes of goodwatt.",
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
            "Samples per scrape.",
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
        row("Sources"),
        _source_table(),
        *_sources(),
        row("Resource usage"),
        _exporter_table(),
        *_cost(),
    ),
)
