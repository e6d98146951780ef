"""A kernel that reads an illegal address: the driver stops it and reports an Xid. Other programs are unaffected."""

import cupy

SOURCE = r"""
extern "C" __global__ void reads_nowhere(int *out) { *out = *(volatile int *)0x10; }
"""

if __name__ == "__main__":
    out = cupy.zeros(1, dtype=cupy.int32)
    cupy.RawKernel(SOURCE, "reads_nowhere")((1,), (1,), (out,))
    cupy.cuda.Device().synchronize()
