"""Turns proxied requests and their streamed answers into request records."""
