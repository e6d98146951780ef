"""Simulated GPUs and simulated inference servers with known ground truth."""

from exporter.demo.demo import Demo

__all__ = ["Demo"]
