"""The page at `/`, for people: rendered on the server, kept live by one script and one stream of events."""
