"""Scrapes an inference server's metrics page."""
