"""Sizes with units (`10 MB` is 10,000,000 and `4 GiB` is 4 x 2^30 bytes) and spans of time (`7d`)."""

from __future__ import annotations

import re
from fractions import Fraction

from lading.model.lfn import shown

MAX_INT = 2**63 - 1
MIN_INT = -(2**63)
_PREFIXES = "kmgtpe"
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([kmgtpe]?)(i?)b", re.I)
# The spellings that are written, the largest first; a size is shown in the one that needs the smallest whole number.
_UNITS = [
    unit
    for n, prefix in reversed(list(enumerate(_PREFIXES, 1)))
    for unit in ((1024**n, f"{prefix.upper()}iB"), (1000**n, "kB" if prefix == "k" else f"{prefix.upper()}B"))
]
SPANS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}


def parse_size(text: str) -> int:
    """Bytes. Case does not matter. Raises ValueError for a part of a byte and for 2^63 bytes and more."""
    found = _SIZE.fullmatch(text)
    if not found or (found[3] and not found[2]):
        raise ValueError(f"'{shown(text, 40)}' is not a size such as 10 MB or 4 GiB")
    power = _PREFIXES.index(found[2].lower()) + 1 if found[2] else 0
    size = Fraction(found[1]) * (1024 if found[3] else 1000) ** power
    if size.denominator != 1:
        raise ValueError(f"{shown(text, 40)} is not a whole number of bytes")
    if size > MAX_INT:
        raise ValueError(f"{shown(text, 40)} is more than the largest size, 2^63-1 bytes")
    return int(size)


def show_size(size: int) -> str:
    """`size` with the largest unit it is a whole number of: exact, and `parse_size` takes it back."""
    scale, unit = max(((s, u) for s, u in _UNITS if size and size % s == 0), default=(1, "B"))
    return f"{size // scale} {unit}"


def parse_span(text: str) -> int:
    """Microseconds of `7d`. Units s m h d w. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})\s*([smhdw])", text.lower())
    if not found:
        raise ValueError(f"'{shown(text, 40)}' is not a span of time such as 7d (units s m h d w)")
    return int(found[1]) * SPANS[found[2]]


def show_span(span: int) -> str:
    """A whole number of seconds, given in microseconds, with the largest unit it is a whole number of."""
    unit = next(u for u, length in SPANS.items() if span % length == 0)
    return f"{span // SPANS[unit]}{unit}"
