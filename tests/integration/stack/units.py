"""Numbers as Grafana writes them in the units that the dashboards use."""

from __future__ import annotations

import math
import time

NOTHING = "-"
_SHORT = ((1e9, "G"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"))
_SECONDS = ((86_400.0, " d"), (3_600.0, " h"), (60.0, " min"))
_SUFFIXES = {"recps": " rec/s", "rowsps": " rows/s"}


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A number with its unit.

    Parameters
    ----------
    value
        The number.
    unit
        Grafana's id.
    decimals
        Digits after the point; as many as are worth reading if None.

    Examples
    --------
    >>> written(0.123, "percentunit"), written(90, "s"), written(0.0042, "s"), written(1536, "bytes")
    ('12.3%', '1.5 min', '4.2 ms', '1.5 KiB')
    >>> written(12_345, "locale", 0), written(12_345, "short"), written(3, "none"), written(61, "d")
    ('12,345', '12.3K', '3', '61 d')
    """
    if math.isnan(value):
        return NOTHING
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit == "percent":
        return f"{_digits(value, decimals)}%"
    if unit == "dateTimeFromNow":
        return f"{_duration(round(time.time() - value / 1000, -2), None)} ago"
    if unit == "s":
        return _duration(value, decimals)
    if unit == "d":
        return f"{_digits(value, decimals)} d"
    if unit == "locale":
        return f"{value:,.{decimals or 0}f}"
    if unit in ("bytes", "binBps"):
        return _scaled(value, _BYTES, " B", decimals) + ("/s" if unit == "binBps" else "")
    if unit == "none":
        return _digits(value, decimals)
    return _scaled(value, _SHORT, "", decimals) + _SUFFIXES.get(unit, "")


def _digits(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.2e}"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], plain: str, decimals: int | None) -> str:
    for size, name in steps:
        if abs(value) >= size:
            return f"{_digits(value / size, None)}{name}"
    return f"{_digits(value, decimals)}{plain}"


def _duration(seconds: float, decimals: int | None) -> str:
    if seconds == 0 or 1 <= abs(seconds) < 60:
        return f"{_digits(seconds, decimals)} s"
    if abs(seconds) < 1e-3:
        return f"{_digits(seconds * 1e6, None)} µs"
    if abs(seconds) < 1:
        return f"{_digits(seconds * 1e3, None)} ms"
    return _scaled(seconds, _SECONDS, " s", decimals)
