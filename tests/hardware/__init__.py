"""What only a real NVIDIA GPU can answer. `python -m tests.hardware FOLDER` asks, and keeps what NVML returned.

Needs an NVIDIA GPU and PyTorch; the joules per token also need transformers and Zeus. It reads: no clock, limit, mode
or persistence is ever changed.
"""
