"""Reads GPUs through a driver such as NVML."""
