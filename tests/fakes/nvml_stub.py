"""The C driver stub, used from Python: compile it, run a process with it, and change its answers at run time.

Use: `library = build(tmp_path)`, `stub = stub_of(tmp_path, 8)`, start a process with `env=stub.environ(library)`,
change the stub's attributes, `stub.write()`.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_stub.c")
SONAME = "libnvidia-ml.so.1"


def build(folder: Path, missing: Iterable[str] = ()) -> Path:
    """Compile the stub to FOLDER/libnvidia-ml.so.1, leaving out the symbols in `missing` (an older driver)."""
    compiler = shutil.which("gcc")
    assert compiler, "the GPU tests compile a stub driver: install gcc (apt-get install gcc libc6-dev)"
    hidden = folder / "hidden.map"
    hidden.write_text("{ local: nothing_at_all; " + "".join(f"{name}; " for name in missing) + "};\n")
    library = folder / SONAME
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(
        [*command, f"-Wl,--version-script={hidden}", "-o", library, SOURCE], check=True, capture_output=True, text=True
    )
    return library


@dataclass
class StubGpu:
    """One GPU, in the stub's own units. Power is `low_mw`, or a square wave when `period_ms` is not 0."""

    uuid: str
    product: str = "NVIDIA H100 80GB HBM3"
    serial: str = "1650123"  # "": not supported
    low_mw: int = 400_000
    high_mw: int = 0
    period_ms: int = 0
    counter: bool = True
    offset_mj: int = 0
    step_ms: int = 0  # update interval of the counter; about 100 ms on real GPUs, 0: continuous
    limit_mw: int = 700_000
    percent: int = 57
    memory_used: int = 60 << 30
    memory_total: int = 80 << 30
    celsius: int = 61
    megahertz: int = 1755
    mask: int = 0
    lost: bool = False
    module: bool = False  # field 191 has the module scope, and the counter is the module's
    xid: int = 0  # number of every Xid reported
    xid_count: int = 0  # one Xid is reported for each increase
    gpu_share_percent: int = 100  # field 191 at GPU scope, as a share of the counter

    def wave_mj(self, at_seconds: float) -> float:
        """Energy of the wave alone since the monotonic clock's zero."""
        if not self.period_ms:
            return self.low_mw * at_seconds
        period = self.period_ms / 1000
        whole, rest = divmod(at_seconds, period)
        low = whole * period / 2 + min(rest, period / 2)
        return self.low_mw * low + self.high_mw * (at_seconds - low)

    def true_mj(self, at_seconds: float) -> float:
        """Value of the energy counter at a monotonic time (with step_ms 0)."""
        return self.wave_mj(at_seconds) + self.offset_mj


@dataclass
class Stub:
    """The state file. Change attributes at any time and call `write` to apply them to running processes.

    `errors` and `hangs` are keyed by (NVML function, slot); either may be "*". Their values are a return code and a
    number of seconds. `order` lists the slot of each index.
    """

    folder: Path
    gpus: list[StubGpu]
    driver: str = "570.86.15"
    order: list[int] | None = None
    errors: dict[tuple[str, int | str], int] = field(default_factory=dict)
    hangs: dict[tuple[str, int | str], float] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "nvml_stub_state"

    def environ(self, library: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment of a process that loads this stub instead of a driver."""
        return {
            **(os.environ if base is None else base),
            "LD_LIBRARY_PATH": str(library.parent),
            "NVML_STUB_STATE": str(self.path),
        }

    def write(self) -> None:
        """Replace the state file atomically."""
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in self._lines()))
        new.replace(self.path)

    def set_power(self, slot: int, low_mw: int, high_mw: int = 0, period_ms: int = 0) -> None:
        """Change the wave without a jump in the energy counter."""
        gpu, now = self.gpus[slot], time.monotonic()
        stood = gpu.true_mj(now)
        gpu.low_mw, gpu.high_mw, gpu.period_ms = low_mw, high_mw, period_ms
        gpu.offset_mj += round(stood - gpu.true_mj(now))

    def reset_counter(self, slot: int) -> None:
        """Reset the energy counter to zero."""
        self.gpus[slot].offset_mj = -round(self.gpus[slot].wave_mj(time.monotonic()))

    def glitch(self, slot: int, millijoules: int = 10**12) -> None:
        """Make the energy counter jump."""
        self.gpus[slot].offset_mj += millijoules

    def _lines(self) -> Iterable[str]:
        yield f"driver {self.driver}"
        yield f"count {len(self.order or self.gpus)}"
        if self.order:
            yield "order " + " ".join(map(str, self.order))
        for slot, gpu in enumerate(self.gpus):
            for key in fields(gpu):
                value = getattr(gpu, key.name)
                yield f"gpu {slot} {key.name} {int(value) if isinstance(value, bool) else value}"
        for (function, slot), code in self.errors.items():
            yield f"error {function} {slot} {code}"
        for (function, slot), seconds in self.hangs.items():
            yield f"hang {function} {slot} {seconds}"


def stub_of(folder: Path, count: int = 1) -> Stub:
    """Write the state of `count` equal GPUs with UUIDs GPU-00000000-..., GPU-00000001-... ."""
    stub = Stub(folder, [StubGpu(f"GPU-{slot:08x}-0000-4000-8000-000000000000") for slot in range(count)])
    stub.write()
    return stub
