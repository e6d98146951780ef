"""Receives request spans over OTLP/HTTP."""
