"""A load on GPU 0 that another process controls: lines of `idle|steady|bursts SECONDS` on stdin, `done` on stdout."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


class Load:
    """Controls the load process."""

    def __enter__(self) -> "Load":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hardware.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, kind: str, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {seconds}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "done":
            raise RuntimeError("the load ended; its own error is above")


def main() -> None:
    import torch

    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    torch.matmul(left, right)
    torch.cuda.synchronize()
    print("done", flush=True)
    for line in sys.stdin:
        kind, seconds = line.split()
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            if kind == "idle":
                time.sleep(0.05)
                continue
            burst = time.monotonic() + 0.05
            while time.monotonic() < burst:
                torch.matmul(left, right)
                torch.cuda.synchronize()
            if kind == "bursts":
                time.sleep(0.05)
        print("done", flush=True)


if __name__ == "__main__":
    main()
