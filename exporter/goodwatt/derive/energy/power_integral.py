"""Energy from sampled power: trapezoids in integer arithmetic, which loses nothing to rounding."""

from dataclasses import dataclass

GAP_LIMIT_SECONDS = 3.0
_NANOSECONDS = 1_000_000_000
_PARTS = 2 * _NANOSECONDS  # (milliwatt + milliwatt) x nanoseconds in a millijoule


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerIntegral:
    """Energy integrated so far, and the last power sample.

    `millijoules` never falls. `parts` is the fraction not yet in it, in units of 1 / 2e9 mJ, 0 <= parts < 2e9.
    `gaps` counts intervals that were too long to interpolate and added nothing.
    """

    millijoules: int = 0
    parts: int = 0
    gaps: int = 0
    at_nanoseconds: int | None = None
    power_milliwatts: int = 0


def extend_integral(integral: PowerIntegral, at_seconds: float, power_milliwatts: int) -> PowerIntegral:
    """Add the trapezoid from the last sample to this one.

    `at_seconds` is monotonic, `power_milliwatts` >= 0. The first sample adds 0, and so does one more than
    GAP_LIMIT_SECONDS after the last, or one older than the last.
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


def _moved(integral: PowerIntegral, at: int, power_milliwatts: int, *, parts: int = 0, gaps: int = 0) -> PowerIntegral:
    whole, rest = divmod(integral.parts + parts, _PARTS)
    return PowerIntegral(
        millijoules=integral.millijoules + whole,
        parts=rest,
        gaps=integral.gaps + gaps,
        at_nanoseconds=at,
        power_milliwatts=power_milliwatts,
    )
