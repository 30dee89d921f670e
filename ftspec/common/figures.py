"""Numbers for people: in the terminal, in reports and in messages one figure is always written in one way."""

from __future__ import annotations

import math
import re

DURATION = r"[0-9]+(\.[0-9]+)?[smhd]?"
"""How a time is written: 90, 90s, 30m, 2h, 7d."""


def duration(seconds: float) -> str:
    """Seconds: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def moment(seconds: float) -> str:
    """Seconds of one answer, of which some take no tenth of one: 7 ms, 0.64 s; longer ones as `duration`."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.95 else duration(seconds)


def seconds(text: str) -> float:
    """What `duration`'s readers write: 90s, 30m, 2h, 7d → seconds. Raises ValueError for anything else."""
    if not re.fullmatch(DURATION, text):
        raise ValueError(f"'{text}' is not a duration; write 90s, 30m, 2h or 7d")
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1])
    return float(text[:-1]) * unit if unit else float(text)


def size(count: float) -> str:
    """Bytes, in powers of 1000: 532 B, 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def size_of(text: str) -> int:
    """What `size`'s readers write: 2GB, 1.5 GiB, 512MB → bytes. Raises ValueError for anything else."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", text.strip())
    if not found or found[2].upper() not in UNITS or not float(found[1]):
        raise ValueError(f"'{text}' is not an amount of memory; write 2GB, 512MB or 4GiB")
    return int(float(found[1]) * UNITS[found[2].upper()])


def number(value: float) -> str:
    """A count or a rate: 12,345 and 3.2."""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def plural(count: float, noun: str) -> str:
    """1 row, 2,000 rows."""
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def percent(share: float | None) -> str:
    """A share: 0.934 → 93.4%, – where it is not known.

    It is never rounded up to 100 or down to 0, which would hide that a few failed or passed.
    """
    if share is None:
        return "–"
    if share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if 0 < share < 0.001 else f"{min(100 * share, 99.9):.1f}%"


def beside(value: float, *bounds: float | None, digits: int = 3, style: str = "") -> str:
    """A value that is told beside bounds: with more digits where it would be written as one of them and is not it.

    0.983 beside 0.9; 0.9996 beside 1, which is not "1.000, wanted at least 1". Nine digits, by which gates decide.

    Args:
        style: "+" where a positive value has a sign, "," where thousands are set apart.
    """
    known = [(bound, _side(value, bound)) for bound in bounds if bound is not None]
    for places in range(digits, 10):
        text = f"{value:{style}.{places}f}"
        if all(_side(float(text.replace(",", "")), bound) == side for bound, side in known):
            break
    return text


def _side(value: float, bound: float) -> int:
    apart = round(value - bound, 9)
    return (apart > 0) - (apart < 0)


def points(difference: float) -> str:
    """A difference of shares in percentage points: 0.2 → +20.0 pp."""
    return f"{100 * difference:+.1f} pp"


def partly(known: int, unknown: int) -> str:
    """What follows a sum that lacks something: " (of 8 of 10 answers)"; "" where nothing lacks."""
    return f" (of {known:,} of {plural(known + unknown, 'answer')})" if unknown else ""


def money(amount: float, currency: str, *bounds: float) -> str:
    """An amount: 12.34 USD; a small one with two digits that tell it from another: 0.011 USD, 0.0042 USD.

    Args:
        bounds: what it must not be taken for, see `beside`.
    """
    small = 0 < abs(amount) < 0.1
    digits = 1 - math.floor(math.log10(abs(amount))) if small else 2
    return f"{beside(amount, *bounds, digits=digits, style=',')} {currency}".rstrip()
