"""Which bytes a text column really held, whatever the dump's client made of them, and what text they are.

mysqldump converts text columns (never BLOBs) from the column's character set to the client's, which `SET NAMES` tells.
A name stored as UTF-8 bytes in a latin1 column, the usual case, so arrives encoded twice. `original` undoes that, and
`to_text` reads the bytes. MySQL's latin1 is Windows-1252, with U+0081 and the like for the five bytes that leaves open.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

_OPEN = frozenset(b"\x81\x8d\x8f\x90\x9d")
_TABLE = "".join(chr(i) if i in _OPEN else bytes([i]).decode("cp1252") for i in range(256))
_ENCODING = codecs.charmap_build(_TABLE)
_SAME = {
    "utf8": "utf8",
    "utf8mb3": "utf8",
    "utf8mb4": "utf8",
    "latin1": "latin1",
    "cp1252": "latin1",
    "ascii": "latin1",  # a part of it
    "binary": "binary",
}
CHARSETS = ("latin1", "utf8", "cp1252", "binary")


def family(charset: str) -> str | None:
    """`utf8`, `latin1` or `binary`; None for a character set this program doesn't read."""
    return _SAME.get(charset.lower())


def latin1_decode(data: bytes) -> str:
    return codecs.charmap_decode(data, "strict", _TABLE)[0]


def latin1_encode(text: str) -> bytes:
    """Raises UnicodeEncodeError for characters latin1 lacks."""
    return codecs.charmap_encode(text, "strict", _ENCODING)[0]


def original(client: str, column: str) -> Callable[[bytes], bytes] | None:
    """How to get a column's own bytes from what the client wrote (both are families); None when they are the same.

    The function raises UnicodeError for bytes that this client can't have written.
    """
    if client == "utf8" and column == "latin1":
        return lambda cell: latin1_encode(cell.decode("utf-8"))
    if client == "latin1" and column == "utf8":
        return lambda cell: latin1_decode(cell).encode()
    return None


def to_text(data: bytes) -> tuple[str, str]:
    """(text, how): `utf8` the bytes are UTF-8, `latin1` they are not, `undefined` nor are they all Windows-1252."""
    try:
        return data.decode("utf-8"), "utf8"
    except UnicodeDecodeError:
        return latin1_decode(data), "latin1" if _OPEN.isdisjoint(data) else "undefined"


def looks_double_encoded(data: bytes) -> bool:
    """True for UTF-8 that, read as latin1, is UTF-8 once more: the client's conversion was not undone."""
    try:
        inner = latin1_encode(data.decode("utf-8"))
        return not inner.isascii() and bool(inner.decode("utf-8"))
    except UnicodeError:
        return False
