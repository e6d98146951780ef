"""Listen addresses, connection limits and plain-text responses shared by every HTTP listener."""
