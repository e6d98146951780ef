"""A program whose kernel reads where it may not: the driver ends its work and reports an Xid. Nobody else is hurt."""

import cupy

SOURCE = r"""
extern "C" __global__ void reads_nowhere(int *out) { *out = *(volatile int *)0x10; }
"""

if __name__ == "__main__":
    out = cupy.zeros(1, dtype=cupy.int32)
    cupy.RawKernel(SOURCE, "reads_nowhere")((1,), (1,), (out,))
    cupy.cuda.Device().synchronize()
