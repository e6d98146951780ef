"""Energy from sampled power: trapezoids in whole numbers, so that nothing is lost however often it is called."""

from dataclasses import dataclass

GAP_LIMIT_SECONDS = 3.0
_NANOSECONDS = 1_000_000_000
_PARTS = 2 * _NANOSECONDS  # a millijoule holds this many (milliwatt + milliwatt) x nanosecond


@dataclass(frozen=True, slots=True)
class Integral:
    """Energy counted so far, and the last sample it stands on.

    `millijoules` never falls. `parts` is the fraction not yet in it, in units of 1 / 2e9 mJ, 0 <= parts < 2e9.
    `gaps` counts the intervals that were too long to bridge and added nothing.
    """

    millijoules: int = 0
    parts: int = 0
    gaps: int = 0
    at_nanoseconds: int | None = None
    power_milliwatts: int = 0


def extend(integral: Integral, at_seconds: float, power_milliwatts: int) -> Integral:
    """Add the trapezoid from the last sample to this one.

    `at_seconds` is monotonic. The first sample adds nothing; nor does one more than GAP_LIMIT_SECONDS after the last,
    nor one that is older than the last. `power_milliwatts` is >= 0.
    """
    at = round(at_seconds * _NANOSECONDS)
    if integral.at_nanoseconds is None:
        return _moved(integral, at, power_milliwatts)
    elapsed = at - integral.at_nanoseconds
    if elapsed < 0:
        return integral
    if elapsed > GAP_LIMIT_SECONDS * _NANOSECONDS:
        return _moved(integral, at, power_milliwatts, gaps=1)
    area = (integral.power_milliwatts + power_milliwatts) * elapsed
    return _moved(integral, at, power_milliwatts, parts=area)


def _moved(integral: Integral, at: int, power_milliwatts: int, *, parts: int = 0, gaps: int = 0) -> Integral:
    whole, rest = divmod(integral.parts + parts, _PARTS)
    return Integral(integral.millijoules + whole, rest, integral.gaps + gaps, at, power_milliwatts)
