"""What holds for every test."""

from hypothesis import settings

# A stopwatch beside an example tells of a busy machine, not of the code.
settings.register_profile("goodwatt", deadline=None)
settings.load_profile("goodwatt")
