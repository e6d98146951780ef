"""The sections of the configuration file that sources and rules own."""
