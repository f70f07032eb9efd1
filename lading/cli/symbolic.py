"""Permissions as people write them: `640`, `u+rwx,g-w`, `a=rX`."""

from __future__ import annotations

import re

from ..model.errors import InvalidRequest

_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFT = {"u": 6, "g": 3, "o": 0}


def octal(text: str) -> int:
    """The permission bits of octal digits. Raises InvalidRequest."""
    if not re.fullmatch(r"0?o?[0-7]{1,4}", text):
        raise InvalidRequest(f"'{text[:40]}' is no mode: write octal digits such as 640, or u+rwx,g-w")
    return int(text.removeprefix("0o"), 8)


def is_octal(text: str) -> bool:
    return text[:1].isdigit()


def applied(text: str, mode: int, *, directory: bool) -> int:
    """`mode` changed as `chmod text` would. Raises InvalidRequest for what is no such text."""
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise InvalidRequest(f"'{text[:40]}' is no mode: write octal digits such as 640, or u+rwx,g-w")
        who, sign, what = match.groups()
        classes = "ugo" if not who or "a" in who else who
        bits = 0
        for letter in what:
            if letter in _BITS:
                bits |= sum(_BITS[letter] << _SHIFT[c] for c in set(classes))
            elif letter == "X":
                bits |= sum(1 << _SHIFT[c] for c in set(classes)) if directory or mode & 0o111 else 0
            elif letter == "t":
                bits |= 0o1000
            else:
                bits |= (0o4000 if "u" in classes else 0) | (0o2000 if "g" in classes else 0)
        if sign == "+":
            mode |= bits
        elif sign == "-":
            mode &= ~bits
        else:
            mode = mode & ~sum(7 << _SHIFT[c] for c in set(classes)) | bits
    return mode
