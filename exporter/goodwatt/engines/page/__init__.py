"""Turns the samples of an engine's metrics page into canonical signals."""
