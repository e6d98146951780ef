"""Simulated GPUs and simulated inference servers with known ground truth."""
