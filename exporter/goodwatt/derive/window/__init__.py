"""Live figures over a sliding window."""
