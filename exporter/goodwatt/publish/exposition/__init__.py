"""Render the metric table and a snapshot as Prometheus text."""
