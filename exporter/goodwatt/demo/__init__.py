"""Simulated GPUs and simulated inference servers with known ground truth."""

from goodwatt.demo.demo import Demo

__all__ = ["Demo"]
