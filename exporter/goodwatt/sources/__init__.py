"""Effects in: everything that is read from GPU drivers, inference servers and request telemetry."""
