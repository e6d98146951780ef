"""Sections of the configuration file that sources and alert rules use."""
