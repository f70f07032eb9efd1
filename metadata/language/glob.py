"""Globs, the patterns of `like`: they match the whole value, and case counts.

`*` any characters or none, `/` among them · `?` one character · `[a-z]`, `[!a-z]` one character of a class (in it `\\`
escapes) · `\\` takes the next sign as it is.
"""

from __future__ import annotations

from functools import lru_cache

from .automaton import ANY, Anchor, Automaton, Chars, Pattern, Repeat, Sequence_
from .regex import RegexError, render

MAX_LENGTH = 500
_MANY = Repeat(ANY, 0, None)


class GlobError(RegexError):
    """`offset` is where in the glob."""


@lru_cache(maxsize=256)
def parse_glob(text: str) -> tuple[Chars | Repeat, ...]:
    """The glob sign by sign; `*` is a `Repeat`. Raises GlobError."""
    if len(text) > MAX_LENGTH:
        raise GlobError(f"a glob has at most {MAX_LENGTH} characters", MAX_LENGTH)
    parts: list[Chars | Repeat] = []
    here = 0
    while here < len(text):
        char = text[here]
        if char == "*":
            parts += [] if parts and parts[-1] is _MANY else [_MANY]
        elif char == "?":
            parts.append(ANY)
        elif char == "[":
            chars, here = _class(text, here)
            parts.append(chars)
        else:
            if char == "\\":
                here += 1
                if here == len(text):
                    raise GlobError("a glob can't end with a lone \\; write \\\\ for the character", here - 1)
            parts.append(Chars(((text[here], text[here]),)))
        here += 1
    return tuple(parts)


def matches(text: str, value: str) -> bool:
    """True when the glob `text` matches the whole of `value`, in time linear in `value`. Raises GlobError."""
    return _automaton(text).search(value)


def as_regex(text: str) -> str:
    """The glob as a regular expression that PostgreSQL and Python understand alike. Raises GlobError."""
    return render(_pattern(text))


def as_like(text: str) -> str | None:
    """The glob as a pattern of SQL's LIKE (escape `\\`), or None when it has a class and so has none. Raises
    GlobError."""
    signs = []
    for part in parse_glob(text):
        if part is _MANY:
            signs.append("%")
        elif part == ANY:
            signs.append("_")
        elif (char := _single(part)) is None:
            return None
        else:
            signs.append(f"\\{char}" if char in "\\%_" else char)
    return "".join(signs)


def prefix(text: str) -> tuple[str, bool]:
    """What every match begins with, and whether it is the whole glob (a glob without wildcards). Raises GlobError."""
    fixed: list[str] = []
    for part in parse_glob(text):
        char = _single(part)
        if char is None:
            return "".join(fixed), False
        fixed.append(char)
    return "".join(fixed), True


def escape(plain: str) -> str:
    """A glob that matches just `plain`."""
    return "".join(f"\\{c}" if c in "\\*?[" else c for c in plain)


def _single(part: Chars | Repeat) -> str | None:
    if (
        isinstance(part, Chars)
        and not part.negated
        and len(part.ranges) == 1
        and part.ranges[0][0] == part.ranges[0][1]
    ):
        return part.ranges[0][0]
    return None


def _pattern(text: str) -> Pattern:
    return Sequence_((Anchor.START, *parse_glob(text), Anchor.END))


@lru_cache(maxsize=256)
def _automaton(text: str) -> Automaton:
    return Automaton(_pattern(text))


def _class(text: str, start: int) -> tuple[Chars, int]:
    """The class that opens at `start`, and where it closes. A `]` or `-` that comes first is itself."""
    here = start + 1
    negated = text[here : here + 1] in ("!", "^") and bool(text[here : here + 1])
    here += negated
    ranges: list[tuple[str, str]] = []
    while True:
        if here >= len(text):
            raise GlobError("this [ is never closed; write \\[ for the character", start)
        if text[here] == "]" and ranges:
            return Chars(tuple(ranges), negated), here
        low, here = _member(text, here, start)
        high = low
        if text[here : here + 1] == "-" and text[here + 1 : here + 2] not in ("]", ""):
            high, here = _member(text, here + 1, start)
            if low > high:
                raise GlobError("a range goes from the smaller character to the larger", start)
        ranges.append((low, high))


def _member(text: str, here: int, start: int) -> tuple[str, int]:
    if text[here] == "\\":
        here += 1
    if here >= len(text):
        raise GlobError("this [ is never closed; write \\[ for the character", start)
    return text[here], here + 1
