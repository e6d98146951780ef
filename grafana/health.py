"""Whether goodwatt itself is well: what it reads, what it fails to read, and what it costs."""

from grafana import queries as q
from grafana.board import JOB, Board, Variable
from grafana.looks import BAD_WHEN_ANY, LATENCY, SHARE
from grafana.panels import Column, Look, Query, row, stat, table, timeseries

SOURCE = Variable("source", "Source", "goodwatt_source_up", 'job=~"$job"')
SOURCES = 'job=~"$job", source=~"$source"'
EACH = "{{source}} {{instance}}"
NO_FAILURE = "no source has failed"

BOARD = Board(
    "goodwatt-health",
    "goodwatt / Exporter health",
    "What goodwatt reads, what it cannot read and why, and what it costs to run.",
    (JOB, SOURCE),
    (
        stat(
            "Exporters",
            "goodwatts that Prometheus can scrape, and those that it cannot.",
            [Query(f"sum(up{{{q.JOBS}}})", "up"), Query(f"count(up{{{q.JOBS}}} == 0) or vector(0)", "down")],
            Look("short", decimals=0),
        ),
        stat(
            "Sources down",
            "GPU drivers, servers and listeners whose latest read failed.",
            [Query(f"count(goodwatt_source_up{{{SOURCES}}} == 0) or vector(0)")],
            Look("short", decimals=0, steps=BAD_WHEN_ANY),
        ),
        stat(
            "Oldest reading",
            "Time since the source that was read last of all was read with success.",
            [Query(f"max(goodwatt_source_age_seconds{{{SOURCES}}})")],
            Look("s", decimals=1, steps=((None, "green"), (30, "orange"), (120, "red"))),
        ),
        stat(
            "Configuration refused",
            "goodwatts whose latest configuration file was refused; the one before is in force there.",
            [Query(f"count(goodwatt_config_last_reload_successful{{{q.JOBS}}} == 0) or vector(0)")],
            Look("short", decimals=0, steps=BAD_WHEN_ANY),
        ),
        stat(
            "CPU",
            "Share of one core, of the costliest goodwatt.",
            [Query(f"max(rate(process_cpu_seconds_total{{{q.JOBS}}}[$__rate_interval]))")],
            Look("percentunit", decimals=2),
        ),
        stat(
            "Memory",
            "Resident, of the largest goodwatt.",
            [Query(f"max(process_resident_memory_bytes{{{q.JOBS}}})")],
            Look("bytes", decimals=0),
        ),
        row("Sources"),
        table(
            "Sources",
            "Every source: whether its latest read succeeded, how old its reading is, and how many reads failed "
            "in the time shown.",
            [
                Query(f"max by (instance, source) (goodwatt_source_up{{{SOURCES}}})", instant=True),
                Query(f"max by (instance, source) (goodwatt_source_age_seconds{{{SOURCES}}})", instant=True),
                Query(f"max by (instance, source) (goodwatt_source_read_duration_seconds{{{SOURCES}}})", instant=True),
                Query(
                    f"sum by (instance, source) (increase(goodwatt_source_failures_total{{{SOURCES}}}[$__range]))",
                    instant=True,
                    optional=NO_FAILURE,
                ),
            ],
            (
                Column("instance", "goodwatt", width=150),
                Column("source", "Source"),
                Column("Value #A", "Up", "bool_yes_no", 0),
                Column("Value #B", "Age", "s", 1),
                Column("Value #C", "Read time", "s", 3),
                Column("Value #D", "Failures", "short", 0),
            ),
            width=14,
        ),
        timeseries(
            "Failures by reason",
            "Reads that failed, per minute.",
            [
                Query(
                    f"60 * {q.rate('source_failures_total', SOURCES, by='source, reason')}",
                    "{{source}} {{reason}}",
                    optional=NO_FAILURE,
                )
            ],
            Look("suffix: /min", decimals=1, least=0),
            width=10,
        ),
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
        ),
        row("Ticks and cost"),
        timeseries(
            "Tick duration, share of the interval",
            "At 100 % a tick takes as long as the time between two.",
            [
                Query(
                    f"goodwatt_tick_duration_seconds{{{q.JOBS}}} / goodwatt_interval_seconds{{{q.JOBS}}}",
                    "{{instance}}",
                )
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
            "Series",
            "Samples in one scrape.",
            [Query(f"scrape_samples_scraped{{{q.JOBS}}}", "{{instance}}")],
            Look("short", decimals=0, least=0),
            width=8,
        ),
        timeseries(
            "CPU",
            "Share of one core.",
            [Query(f"rate(process_cpu_seconds_total{{{q.JOBS}}}[$__rate_interval])", "{{instance}}")],
            Look("percentunit", decimals=2, least=0),
            width=8,
        ),
        timeseries(
            "Memory",
            "Resident memory.",
            [Query(f"process_resident_memory_bytes{{{q.JOBS}}}", "{{instance}}")],
            Look("bytes", decimals=0, least=0),
            width=8,
        ),
        timeseries(
            "Lines dropped",
            "Malformed lines of servers' pages that were left out, per minute.",
            [
                Query(
                    f"60 * sum by (server) (rate(goodwatt_server_dropped_lines_total{{{q.JOBS}}}[$__rate_interval]))",
                    "{{server}}",
                )
            ],
            Look("suffix: /min", decimals=1, least=0),
            width=8,
        ),
    ),
)
