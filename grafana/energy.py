"""What the GPUs draw, who it is for, and whether the figure can be trusted."""

from dataclasses import replace

from grafana import queries as q
from grafana.board import GPU, INSTANCE, JOB, MODEL, SERVER, Board
from grafana.looks import BAD_WHEN_ANY, COUNT, JOULES, JUST_BEGUN, POWER, SHARE, WATTS
from grafana.panels import STACKED, Column, Lines, Look, Panel, Query, bars, row, stat, table, timeseries

MEASURED, UNATTRIBUTED = "gpu_energy_joules_total", "gpu_unattributed_energy_joules_total"
ONE_GPU = "instance, gpu"
EACH = "gpu {{gpu}} {{instance}}"
NO_GPU = "no GPU is read"
ENERGY = Look("kwatth", decimals=1, least=0, nothing=NO_GPU)
PART = replace(SHARE, nothing=NO_GPU)
AGREEMENT_STEP = "1m"  # over a quarter of this both would be as noisy as the sampling of power


def _kwh(joules: str) -> str:
    return f"{joules} / 3.6e6"


def _beyond_the_gpu(*factors: str) -> str:
    """Energy of the time shown up to the boundary that the configured factors of each instance reach."""
    scale = "".join(
        f" * on (job, instance) group_left () goodwatt_facility_{factor}_ratio{{{q.JOBS}}}" for factor in factors
    )
    return _kwh(f"sum(increase(goodwatt_{MEASURED}{{{q.GPUS}}}[$__range]){scale})")


def _conserved() -> str:
    closed = f"(sum(goodwatt_closed_accounts_energy_joules_total{{{q.JOBS}}}) or vector(0))"
    given = f"({q.total('energy_joules_total', q.JOBS)} + {q.total(UNATTRIBUTED, q.JOBS)} + {closed})"
    return q.ratio(given, q.total(MEASURED, q.JOBS))


def _agreement() -> str:
    """Only where the counter was there a whole window ago: to `rate` a younger one looks as if it had counted less."""
    sensed = f"sum by ({ONE_GPU}) (avg_over_time(goodwatt_gpu_power_watts{{{q.GPUS}}}[$__rate_interval]))"
    counted = q.ratio(q.rate(MEASURED, q.GPUS, by=ONE_GPU), sensed)
    return f"{counted} and on ({ONE_GPU}) goodwatt_{MEASURED}{{{q.GPUS}}} offset $__rate_interval"


def _throttled() -> str:
    """GPUs that any reason holds back."""
    return f"sum(max by ({ONE_GPU}) (goodwatt_gpu_throttled{{{q.GPUS}}}))"


def _headline() -> list[Panel]:
    return [
        stat(
            "Power now",
            "Drawn by all chosen GPUs.",
            [Query(q.total("gpu_power_watts", q.GPUS))],
            POWER,
        ),
        stat(
            "Energy",
            "Of the chosen GPUs over the time shown.",
            [Query(_kwh(q.increase(MEASURED, q.GPUS)), instant=True)],
            ENERGY,
        ),
        stat(
            "Unattributed",
            "Share of the joules of the time shown that no server claimed.",
            [Query(q.ratio(q.increase(UNATTRIBUTED, q.GPUS), q.increase(MEASURED, q.GPUS)), instant=True)],
            Look("percentunit", decimals=1, nothing=NO_GPU, steps=((None, "green"), (0.1, "orange"), (0.5, "red"))),
        ),
        stat(
            "Conservation",
            "Joules given to servers and models, unattributed and closed, over joules measured, since start and of all "
            "chosen instances. The ledger conserves: 100 % always.",
            [Query(_conserved(), instant=True)],
            replace(PART, decimals=2, least=None, most=None),
        ),
        stat(
            "GPUs lost",
            "GPUs that do not answer; their energy is not counted while they are lost.",
            [Query(f'sum(goodwatt_gpu_state{{{q.GPUS}, state!="ok"}})')],
            Look("short", decimals=0, nothing=NO_GPU, steps=BAD_WHEN_ANY),
        ),
        stat(
            "GPUs throttled",
            "GPUs whose clocks are held back now, for reasons other than having nothing to do.",
            [Query(_throttled())],
            Look("short", decimals=0, nothing=NO_GPU, steps=((None, "green"), (1, "orange"))),
        ),
    ]


def _attribution() -> list[Panel]:
    kinds = "energy_joules_total"
    return [
        timeseries(
            "Power by server and model",
            "Mean watts given to each server and model, and what no server claimed. Together they are what was "
            "measured.",
            [
                Query(q.rate(kinds, by=q.BY_ACCOUNT), q.ACCOUNT),
                Query(q.rate(UNATTRIBUTED, q.JOBS), "unattributed"),
            ],
            POWER,
            lines=STACKED,
        ),
        timeseries(
            "Power, busy and idle",
            "Mean watts while requests were served, and while none were.",
            [Query(q.rate(kinds, by="state"), "{{state}}")],
            POWER,
            lines=STACKED,
        ),
        bars(
            "Energy by server and model",
            "Kilowatt-hours of the time shown, by whom they were for.",
            [
                Query(_kwh(q.increase(kinds, by=q.BY_ACCOUNT)), q.ACCOUNT, instant=True),
                Query(_kwh(q.increase(UNATTRIBUTED, q.JOBS)), "unattributed", instant=True),
            ],
            ENERGY,
            height=6,
        ),
        bars(
            "From the GPU to the facility's meter",
            "Kilowatt-hours of the time shown: of the chosen GPUs, with the machines around them (host_factor), and "
            "with cooling and conversion (pue). A factor of 1 is one that is not configured.",
            [
                Query(_beyond_the_gpu(), "GPUs", instant=True),
                Query(_beyond_the_gpu("host_factor"), "with machines", instant=True),
                Query(_beyond_the_gpu("host_factor", "pue"), "with cooling", instant=True),
            ],
            ENERGY,
            height=6,
        ),
    ]


def _inventory() -> Panel:
    gauges = ("power_watts", "power_limit_watts", "utilization_ratio", "temperature_celsius")
    return table(
        "GPUs",
        "How the joules of each GPU are obtained: measured by the driver's counter, or integrated from sampled power.",
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
                optional="there was no Xid error",
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
            "As the driver reports it: a mean over one second on most GPUs since Ampere, the moment on older ones.",
            watts,
            POWER,
        ),
        _each(
            "Share of the power limit",
            "Power over the limit in force. At 100 % the limit holds the clocks back.",
            q.ratio(watts, limit),
            PART,
        ),
        _each("Temperature", "Of the GPU die.", f"goodwatt_gpu_temperature_celsius{{{q.GPUS}}}", Look("celsius")),
        _each(
            "Busy",
            "Share of the driver's sample period in which any kernel ran. It says nothing of how full the GPU was.",
            f"goodwatt_gpu_utilization_ratio{{{q.GPUS}}}",
            PART,
        ),
        _each("Memory", "Share of the device memory in use.", q.ratio(used, memory), PART),
        _each(
            "Clock",
            "Of the streaming multiprocessors.",
            f"goodwatt_gpu_sm_clock_hertz{{{q.GPUS}}}",
            Look("hertz", least=0, nothing=NO_GPU),
        ),
    ]


def _against_the_engine() -> str:
    """Joules by the driver over those that the inference server counts of the same GPU, itself."""
    driver = q.rate(MEASURED, q.GPUS, by=f"{ONE_GPU}, uuid")
    engine = f"max by (instance, uuid) (rate(goodwatt_server_gpu_energy_joules_total{{{q.SERVERS}}}[$__rate_interval]))"
    return q.ratio(driver, engine, matching="on (instance, uuid) group_left ()")


def _trust() -> list[Panel]:
    xids = f"sum by ({ONE_GPU}) (increase(goodwatt_gpu_xid_errors_total{{{q.GPUS}}}[$__rate_interval]))"
    jumps = f"60 * {q.rate('gpu_energy_glitches_total', q.GPUS, by=ONE_GPU)}"
    return [
        timeseries(
            "Throttle reasons",
            "GPUs that each reason holds back.",
            [Query(f"sum by (reason) (goodwatt_gpu_throttled{{{q.GPUS}}})", "{{reason}}")],
            replace(COUNT, nothing=NO_GPU),
            lines=Lines(legend="list", reach=1),
        ),
        timeseries(
            "Xid errors",
            "Errors that the driver reported in the four minutes before each point, or in more where points are "
            "further apart. The table above has each GPU's latest; NVIDIA's documentation lists what the numbers mean.",
            [Query(xids, EACH, optional="the driver does not report them", step="1m")],
            COUNT,
            lines=Lines(reach=1),
        ),
        timeseries(
            "Energy against power",
            "Joules counted over the mean of sampled power for the same time, and over what the inference server "
            "counts of the GPU where it does: near 100 % when they agree.",
            [
                Query(_agreement(), EACH, optional=f"{NO_GPU}, or {JUST_BEGUN}", step=AGREEMENT_STEP),
                Query(
                    _against_the_engine(),
                    f"{EACH}, by the server",
                    optional="the engine counts no energy itself",
                    step=AGREEMENT_STEP,
                ),
            ],
            Look("percentunit", least=0, nothing=NO_GPU),
            lines=Lines(reach=1.2),
        ),
        timeseries(
            "Refused jumps",
            "Jumps of the GPUs' energy counters, per minute, that the power limit rules out. They were left out of the "
            "energy.",
            [Query(jumps, EACH)],
            Look("suffix:/min", least=0, nothing=NO_GPU),
            lines=Lines(reach=1),
        ),
    ]


BOARD = Board(
    "goodwatt-energy",
    "goodwatt / Energy and GPUs",
    "Power and energy of every GPU, to whom the joules were given, and what nobody claimed.",
    (JOB, INSTANCE, SERVER, MODEL, GPU),
    (
        *_headline(),
        row("Attribution"),
        *_attribution(),
        row("GPUs"),
        _inventory(),
        *_of_each_gpu(),
        row("Throttling and trust"),
        *_trust(),
    ),
)
