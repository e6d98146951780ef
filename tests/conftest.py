"""Settings for every test."""

from hypothesis import settings

# A deadline on an example would fail on a busy machine, whatever the code does.
settings.register_profile("goodwatt", deadline=None)
settings.load_profile("goodwatt")
