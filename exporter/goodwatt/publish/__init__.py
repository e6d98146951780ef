"""Effects out: the metric table, its formats, and the HTTP server."""
