"""From the samples of an engine's metrics page to canonical signals, as its profile says."""
