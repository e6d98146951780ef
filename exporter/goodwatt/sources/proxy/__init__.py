"""A streaming HTTP proxy that measures every request that passes through it."""
