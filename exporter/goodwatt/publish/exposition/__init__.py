"""Rows and a snapshot to Prometheus text."""
