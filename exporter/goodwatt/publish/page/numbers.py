"""Numbers formatted for people."""

from math import floor, log10

_SMALLEST_PLAIN = 1e-4
_LEAST_MISSING = 1e-7  # percent; below it floats have no digits left


def short(value: float) -> str:
    """Format with three significant digits (0.0912, 8.4, 614, 5,160), and with an exponent below 0.0001."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < _SMALLEST_PLAIN:
        return f"{value:.2e}"
    decimals = max(0, 2 - floor(log10(size)))
    plain = f"{value:,.{decimals}f}" if size < 1000 else f"{float(f'{value:.3g}'):,.0f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def span(lower: float, upper: float) -> str:
    """Format two bounds as `3.2 to 4.1`, or as one number if both look the same."""
    low, high = short(lower), short(upper)
    return low if low == high else f"{low} to {high}"


def percent(lower: float, upper: float) -> str:
    """Format two bounds of a share in percent. Less than the whole is never rounded up to 100."""
    low, high = _hundredths(lower), _hundredths(upper)
    return f"{low if low == high else f'{low} to {high}'} %"


def _hundredths(share: float) -> str:
    """Close to 100, keep two significant digits of what is missing: 99.95, 99.999."""
    rest = (1 - share) * 100
    if not _LEAST_MISSING <= rest < 1:
        return short(share * 100)
    return f"{100 - rest:.{1 - floor(log10(rest))}f}".rstrip("0").rstrip(".")


def ago(seconds: float) -> str:
    """Format an age: `0.4 s ago`, `3 min ago`."""
    return f"{_duration(seconds)} ago"


def last_period(seconds: float) -> str:
    """Format a period that ends now: `last 45 s`, `last 12 min`."""
    return f"last {_duration(round(seconds))}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{short(round(seconds, 1))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
