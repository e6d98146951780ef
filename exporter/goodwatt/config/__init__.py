"""The configuration file as strict, frozen sections. Every mistake in it is reported at once, by file and line."""
