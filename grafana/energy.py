"""Dashboard Energy and GPUs: GPU power, its attribution, and whether the figures can be trusted."""

from dataclasses import replace

from grafana import queries as q
from grafana.board import GPU, INSTANCE, JOB, MODEL, SERVER, Board
from grafana.looks import BAD_WHEN_ANY, COUNT, JOULES, JUST_STARTED, POWER, SHARE, WATTS
from grafana.panels import STACKED, Column, Lines, Look, Panel, Query, bars, row, stat, table, timeseries

MEASURED, UNATTRIBUTED = "gpu_energy_joules_total", "gpu_unattributed_energy_joules_total"
ONE_GPU = "instance, gpu"
EACH = "gpu {{gpu}} {{instance}}"
NO_GPU = "no GPU is read"
ENERGY = Look("kwatth", decimals=1, least=0, nothing=NO_GPU)
PART = replace(SHARE, nothing=NO_GPU)
AGREEMENT_STEP = "1m"  # shorter windows are dominated by the noise of power sampling


def _kwh(joules: str) -> str:
    return f"{joules} / 3.6e6"


def _with_factors(*factors: str) -> str:
    """Return the energy over the time range, times the given factors of each instance."""
    scale = "".join(
        f" * on (job, instance) group_left () goodwatt_facility_{factor}_ratio{{{q.JOBS}}}" for factor in factors
    )
    return _kwh(f"sum(increase(goodwatt_{MEASURED}{{{q.GPUS}}}[$__range]){scale})")


def _conserved() -> str:
    closed = f"(sum(goodwatt_closed_accounts_energy_joules_total{{{q.JOBS}}}) or vector(0))"
    given = f"({q.total('energy_joules_total', q.JOBS)} + {q.total(UNATTRIBUTED, q.JOBS)} + {closed})"
    return q.ratio(given, q.total(MEASURED, q.JOBS))


def _agreement() -> str:
    """Compare counter and sensor. Skips counters younger than the window, whose `rate` would be too low."""
    sensed = f"sum by ({ONE_GPU}) (avg_over_time(goodwatt_gpu_power_watts{{{q.GPUS}}}[$__rate_interval]))"
    counted = q.ratio(q.rate(MEASURED, q.GPUS, by=ONE_GPU), sensed)
    return f"{counted} and on ({ONE_GPU}) goodwatt_{MEASURED}{{{q.GPUS}}} offset $__rate_interval"


def _throttled() -> str:
    """Return the number of GPUs that any reason throttles."""
    return f"sum(max by ({ONE_GPU}) (goodwatt_gpu_throttled{{{q.GPUS}}}))"


def _headline() -> list[Panel]:
    return [
        stat(
            "Power now",
            "Total draw of the selected GPUs.",
            [Query(q.total("gpu_power_watts", q.GPUS))],
            POWER,
        ),
        stat(
            "Energy",
            "Energy of the selected GPUs over the time range.",
            [Query(_kwh(q.increase(MEASURED, q.GPUS)), instant=True)],
            ENERGY,
        ),
        stat(
            "Unattributed",
            "Share of the energy over the time range that no server claimed.",
            [Query(q.ratio(q.increase(UNATTRIBUTED, q.GPUS), q.increase(MEASURED, q.GPUS)), instant=True)],
            Look("percentunit", decimals=1, nothing=NO_GPU, steps=((None, "green"), (0.1, "orange"), (0.5, "red"))),
        ),
        stat(
            "Conservation",
            "Energy attributed to servers and models, unattributed and in closed accounts, over energy measured, since "
            "the start of all selected instances. It is always 100 %: no energy is lost or counted twice.",
            [Query(_conserved(), instant=True)],
            replace(PART, decimals=2, least=None, most=None),
        ),
        stat(
            "GPUs lost",
            "GPUs that do not respond; their energy is not counted while they are lost.",
            [Query(f'sum(goodwatt_gpu_state{{{q.GPUS}, state!="ok"}})')],
            Look("short", decimals=0, nothing=NO_GPU, steps=BAD_WHEN_ANY),
        ),
        stat(
            "GPUs throttled",
            "GPUs whose clocks are reduced now for any reason other than being idle.",
            [Query(_throttled())],
            Look("short", decimals=0, nothing=NO_GPU, steps=((None, "green"), (1, "orange"))),
        ),
    ]


def _attribution() -> list[Panel]:
    kinds = "energy_joules_total"
    return [
        timeseries(
            "Power by server and model",
            "Mean power attributed to each server and model, plus the unattributed part. Together they equal the "
            "measured power.",
            [
                Query(q.rate(kinds, by=q.BY_ACCOUNT), q.ACCOUNT),
                Query(q.rate(UNATTRIBUTED, q.JOBS), "unattributed"),
            ],
            POWER,
            lines=STACKED,
        ),
        timeseries(
            "Power, busy and idle",
            "Mean power while serving requests (busy), and while serving none (idle).",
            [Query(q.rate(kinds, by="state"), "{{state}}")],
            POWER,
            lines=STACKED,
        ),
        bars(
            "Energy by server and model",
            "Kilowatt-hours over the time range, by server and model.",
            [
                Query(_kwh(q.increase(kinds, by=q.BY_ACCOUNT)), q.ACCOUNT, instant=True),
                Query(_kwh(q.increase(UNATTRIBUTED, q.JOBS)), "unattributed", instant=True),
            ],
            ENERGY,
            height=6,
        ),
        bars(
            "From GPUs to the facility meter",
            "Kilowatt-hours over the time range: the selected GPUs, including their hosts (host_factor), and including "
            "cooling and power conversion (pue). A factor that is not configured is 1.",
            [
                Query(_with_factors(), "GPUs", instant=True),
                Query(_with_factors("host_factor"), "with hosts", instant=True),
                Query(_with_factors("host_factor", "pue"), "with cooling", instant=True),
            ],
            ENERGY,
            height=6,
        ),
    ]


def _inventory() -> Panel:
    gauges = ("power_watts", "power_limit_watts", "utilization_ratio", "temperature_celsius")
    return table(
        "GPUs",
        "Every selected GPU. Method: energy measured by the driver's counter, or integrated from sampled power.",
        [
            Query(
                f"max by ({ONE_GPU}, product, energy_method, energy_scope) (goodwatt_gpu_info{{{q.GPUS}}})",
                instant=True,
            ),
            *(Query(f"max by ({ONE_GPU}) (goodwatt_gpu_{gauge}{{{q.GPUS}}})", instant=True) for gauge in gauges),
            Query(q.increase(MEASURED, q.GPUS, by=ONE_GPU), instant=True),
            Query(
                f"max by ({ONE_GPU}) (goodwatt_gpu_last_xid{{{q.GPUS}}})",
                instant=True,
                optional="no Xid error has occurred",
            ),
        ],
        (
            Column("instance", "goodwatt", width=170),
            Column("gpu", "GPU"),
            Column("product", "Product", width=240),
            Column("energy_method", "Method"),
            Column("energy_scope", "Scope"),
            Column("Value #B", "Power", WATTS, 0),
            Column("Value #C", "Limit", WATTS, 0),
            Column("Value #D", "Busy", "percentunit", 0),
            Column("Value #E", "Temperature", "celsius", 0),
            Column("Value #F", "Energy", JOULES, 1),
            Column("Value #G", "Last Xid", "none", 0),
        ),
        height=6,
        nothing=NO_GPU,
    )


def _each(title: str, description: str, expression: str, look: Look, width: int = 8) -> Panel:
    return timeseries(title, description, [Query(expression, EACH)], look, width=width)


def _of_each_gpu() -> list[Panel]:
    watts, limit = (f"goodwatt_gpu_{gauge}{{{q.GPUS}}}" for gauge in ("power_watts", "power_limit_watts"))
    used, memory = (f"goodwatt_gpu_memory_{gauge}_bytes{{{q.GPUS}}}" for gauge in ("used", "total"))
    return [
        _each(
            "Power by GPU",
            "As reported by the driver: a one-second mean on most GPUs since Ampere, instantaneous on older ones.",
            watts,
            POWER,
        ),
        _each(
            "Share of the power limit",
            "Power over the current limit. At 100 % the limit reduces the clocks.",
            q.ratio(watts, limit),
            PART,
        ),
        _each("Temperature", "GPU die temperature.", f"goodwatt_gpu_temperature_celsius{{{q.GPUS}}}", Look("celsius")),
        _each(
            "Busy",
            "Share of the driver's sample period in which any kernel ran, however little of the GPU it used.",
            f"goodwatt_gpu_utilization_ratio{{{q.GPUS}}}",
            PART,
        ),
        _each("Memory", "Share of device memory in use.", q.ratio(used, memory), PART),
        _each(
            "Clock",
            "Clock of the streaming multiprocessors.",
            f"goodwatt_gpu_sm_clock_hertz{{{q.GPUS}}}",
            Look("hertz", least=0, nothing=NO_GPU),
        ),
    ]


def _against_the_engine() -> str:
    """Return the driver's energy over the energy that the inference server itself counts for the same GPU."""
    driver = q.rate(MEASURED, q.GPUS, by=f"{ONE_GPU}, uuid")
    engine = f"max by (instance, uuid) (rate(goodwatt_server_gpu_energy_joules_total{{{q.SERVERS}}}[$__rate_interval]))"
    return q.ratio(driver, engine, matching="on (instance, uuid) group_left ()")


def _accuracy() -> list[Panel]:
    xids = f"sum by ({ONE_GPU}) (increase(goodwatt_gpu_xid_errors_total{{{q.GPUS}}}[$__rate_interval]))"
    jumps = f"60 * {q.rate('gpu_energy_glitches_total', q.GPUS, by=ONE_GPU)}"
    return [
        timeseries(
            "Throttle reasons",
            "GPUs that each reason throttles.",
            [Query(f"sum by (reason) (goodwatt_gpu_throttled{{{q.GPUS}}})", "{{reason}}")],
            replace(COUNT, nothing=NO_GPU),
            lines=Lines(legend="list", reach=1),
        ),
        timeseries(
            "Xid errors",
            "Errors reported by the driver in the four minutes before each point, or longer where points are further "
            "apart. The table above shows each GPU's latest; NVIDIA's documentation explains the numbers.",
            [Query(xids, EACH, optional="the driver does not report them", step="1m")],
            COUNT,
            lines=Lines(reach=1),
        ),
        timeseries(
            "Energy counter against power sensor",
            "Counted energy over the mean of sampled power for the same time, and over the inference server's own "
            "energy count where it has one. Near 100 % when they agree.",
            [
                Query(_agreement(), EACH, optional=f"{NO_GPU}, or {JUST_STARTED}", step=AGREEMENT_STEP),
                Query(
                    _against_the_engine(),
                    f"{EACH}, by the server",
                    optional="the engine does not count energy",
                    step=AGREEMENT_STEP,
                ),
            ],
            Look("percentunit", least=0, nothing=NO_GPU),
            lines=Lines(reach=1.2),
        ),
        timeseries(
            "Rejected counter jumps",
            "Jumps of the GPUs' energy counters per minute that exceed what the power limit allows. They are excluded "
            "from the energy.",
            [Query(jumps, EACH)],
            Look("suffix:/min", least=0, nothing=NO_GPU),
            lines=Lines(reach=1),
        ),
    ]


BOARD = Board(
    "goodwatt-energy",
    "goodwatt / Energy and GPUs",
    "Power and energy of every GPU, attributed to servers and models, and the unattributed part.",
    (JOB, INSTANCE, SERVER, MODEL, GPU),
    (
        *_headline(),
        row("Attribution"),
        *_attribution(),
        row("GPUs"),
        _inventory(),
        *_of_each_gpu(),
        row("Throttling and accuracy"),
        *_accuracy(),
    ),
)
