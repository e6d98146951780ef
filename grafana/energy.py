"""What the GPUs draw, who it is for, and whether the figure can be trusted."""

from grafana import queries as q
from grafana.board import GPU, JOB, MODEL, SERVER, Board
from grafana.looks import BAD_WHEN_ANY, COUNT, POWER, SHARE, WATTS
from grafana.panels import Column, Look, Query, row, stat, table, timeseries

MEASURED, UNATTRIBUTED = "gpu_energy_joules_total", "gpu_unattributed_energy_joules_total"
EACH = "gpu {{gpu}} {{instance}}"
ALL_GPUS = q.JOBS

BOARD = Board(
    "goodwatt-energy",
    "goodwatt / Energy and GPUs",
    "Power and energy of every GPU, to whom the joules were given, and what nobody claimed.",
    (JOB, SERVER, MODEL, GPU),
    (
        stat(
            "Power now",
            "Drawn by all chosen GPUs.",
            [Query(q.total("gpu_power_watts", q.GPUS))],
            POWER,
            graph=True,
        ),
        stat(
            "Energy",
            "Of the chosen GPUs over the time shown.",
            [Query(f"{q.increase(MEASURED, q.GPUS)} / 3.6e6", instant=True)],
            Look("kwatth", decimals=3),
        ),
        stat(
            "Unattributed",
            "Share of the joules of the time shown that no server claimed.",
            [Query(f"{q.increase(UNATTRIBUTED, q.GPUS)} / {q.increase(MEASURED, q.GPUS)}", instant=True)],
            Look("percentunit", decimals=1, steps=((None, "green"), (0.1, "orange"), (0.5, "red"))),
        ),
        stat(
            "Conservation",
            "Joules given to servers and models, unattributed and closed, over joules measured, since start. 100 "
            "% always.",
            [
                Query(
                    f"({q.total('energy_joules_total', ALL_GPUS)} + {q.total(UNATTRIBUTED, ALL_GPUS)}"
                    f" + (sum(goodwatt_closed_accounts_energy_joules_total{{{q.JOBS}}}) or vector(0)))"
                    f" / {q.total(MEASURED, ALL_GPUS)}",
                    instant=True,
                )
            ],
            Look("percentunit", decimals=2),
        ),
        stat(
            "GPUs lost",
            "GPUs that do not answer; their energy is not counted while they are lost.",
            [Query(f'sum(goodwatt_gpu_state{{{q.GPUS}, state!="ok"}})')],
            Look("short", decimals=0, steps=BAD_WHEN_ANY),
        ),
        stat(
            "GPUs throttled",
            "GPUs whose clocks are held back now, for reasons other than having nothing to do.",
            [Query(f"count(max by (instance, gpu) (goodwatt_gpu_throttled{{{q.GPUS}}}) == 1) or vector(0)")],
            Look("short", decimals=0, steps=((None, "green"), (1, "orange"))),
        ),
        row("Attribution"),
        timeseries(
            "Power by server and model",
            "Mean watts given to each server and model, and what no server claimed. Together they are what was "
            "measured.",
            [
                Query(q.rate("energy_joules_total", by=q.BY_ACCOUNT), q.ACCOUNT),
                Query(q.rate(UNATTRIBUTED, q.JOBS), "unattributed"),
            ],
            POWER,
            stacked=True,
        ),
        timeseries(
            "Power, busy and idle",
            "Mean watts while requests were served, and while none were.",
            [Query(q.rate("energy_joules_total", by="state"), "{{state}}")],
            POWER,
            stacked=True,
        ),
        row("GPUs"),
        table(
            "GPUs",
            "How the joules of each GPU are obtained: measured by the driver's counter, or integrated from "
            "sampled power.",
            [
                Query(
                    f"max by (instance, gpu, product, energy_method, energy_scope) (goodwatt_gpu_info{{{q.GPUS}}})",
                    instant=True,
                ),
                Query(f"max by (instance, gpu) (goodwatt_gpu_power_watts{{{q.GPUS}}})", instant=True),
                Query(f"max by (instance, gpu) (goodwatt_gpu_power_limit_watts{{{q.GPUS}}})", instant=True),
                Query(f"max by (instance, gpu) (goodwatt_gpu_utilization_ratio{{{q.GPUS}}})", instant=True),
                Query(f"max by (instance, gpu) (goodwatt_gpu_temperature_celsius{{{q.GPUS}}})", instant=True),
                Query(f"sum by (instance, gpu) (increase(goodwatt_{MEASURED}{{{q.GPUS}}}[$__range]))", instant=True),
            ],
            (
                Column("instance", "goodwatt", width=150),
                Column("gpu", "GPU"),
                Column("product", "Product", width=240),
                Column("energy_method", "Method"),
                Column("energy_scope", "Scope"),
                Column("Value #B", "Power", WATTS, 0),
                Column("Value #C", "Limit", WATTS, 0),
                Column("Value #D", "Busy", "percentunit", 0),
                Column("Value #E", "Temperature", "celsius", 0),
                Column("Value #F", "Energy", "joule", 1),
            ),
            height=6,
        ),
        timeseries(
            "Power by GPU",
            "As the driver reports it: a mean over one second on most GPUs since Ampere, the moment on older ones.",
            [Query(f"goodwatt_gpu_power_watts{{{q.GPUS}}}", EACH)],
            POWER,
        ),
        timeseries(
            "Share of the power limit",
            "Power over the limit in force. At 100 % the limit holds the clocks back.",
            [Query(f"goodwatt_gpu_power_watts{{{q.GPUS}}} / goodwatt_gpu_power_limit_watts{{{q.GPUS}}}", EACH)],
            SHARE,
        ),
        timeseries(
            "Busy",
            "Share of the driver's sample period in which any kernel ran. It says nothing of how full the GPU was.",
            [Query(f"goodwatt_gpu_utilization_ratio{{{q.GPUS}}}", EACH)],
            SHARE,
            width=8,
        ),
        timeseries(
            "Memory",
            "Share of the device memory in use.",
            [Query(f"goodwatt_gpu_memory_used_bytes{{{q.GPUS}}} / goodwatt_gpu_memory_total_bytes{{{q.GPUS}}}", EACH)],
            SHARE,
            width=8,
        ),
        timeseries(
            "Temperature",
            "Of the GPU die.",
            [Query(f"goodwatt_gpu_temperature_celsius{{{q.GPUS}}}", EACH)],
            Look("celsius", decimals=0),
            width=8,
        ),
        timeseries(
            "Clock",
            "Of the streaming multiprocessors.",
            [Query(f"goodwatt_gpu_sm_clock_hertz{{{q.GPUS}}}", EACH)],
            Look("hertz", least=0),
            width=8,
        ),
        timeseries(
            "Throttle reasons",
            "GPUs that each reason holds back.",
            [Query(f"sum by (reason) (goodwatt_gpu_throttled{{{q.GPUS}}})", "{{reason}}")],
            COUNT,
            width=8,
        ),
        timeseries(
            "Energy against power",
            "Joules counted over the mean of sampled power for the same time: near 100 % when counter and sensor "
            "agree.",
            [
                Query(
                    f"sum by (instance, gpu) (rate(goodwatt_{MEASURED}{{{q.GPUS}}}[5m]))"
                    f" / sum by (instance, gpu) (avg_over_time(goodwatt_gpu_power_watts{{{q.GPUS}}}[5m]))",
                    EACH,
                )
            ],
            Look("percentunit", decimals=0),
            width=8,
        ),
    ),
)
