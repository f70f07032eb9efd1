"""How the rows of one INSERT header are taken apart by one regular expression, and what its tokens stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .mysql_syntax import ANY_ROW, Column
from .rows import Cell

_INTEGER = rb"-?[0-9]++(?![xX])|NULL"
_VALUE = rb"(?:_binary )?'[^'\\]*+'|NULL|[-+.0-9]++(?![xX])|0x[0-9A-Fa-f]++"


class Table:
    """How to read the rows of one INSERT header."""

    def __init__(self, spelled: str, layout: list[Column], wanted: frozenset[str] | None) -> None:
        self.spelled, self.name = spelled, spelled.lower()
        self.width = len(layout)
        self.layout = layout
        keep = [(i, c) for i, c in enumerate(layout) if wanted is not None and c.name.lower() in wanted]
        self.indexes = [i for i, _ in keep]
        self.columns = [c.name.lower() for _, c in keep]
        self.charsets = [c.charset for _, c in keep]
        self.integer = [c.integer for _, c in keep]
        kept = set(self.indexes)
        fast = rb",".join(
            (rb"(" if i in kept else rb"(?:") + (_INTEGER if c.integer else _VALUE) + rb")"
            for i, c in enumerate(layout)
        )
        # The groups after the cells: a whole row for the slow path, and what is no row at all.
        self.pattern = re.compile(rb"[\s,]*+(?:\(" + fast + rb"\)|(" + ANY_ROW + rb")|(.))", re.S)


def plain(tokens: Sequence[bytes]) -> Sequence[Cell]:
    """The cells of one column of strings and numbers."""
    joined = b"".join(tokens)
    if joined[:1] == b"'" and joined.count(b"'") == 2 * len(tokens):
        # Nothing but strings, as most columns are, and no quote is inside one: take them apart where they touch.
        cells = joined[1:-1].split(b"''")
        if len(cells) == len(tokens):  # one that begins with _binary touches nothing
            return cells
    return [t[1:-1] if t[0] == 39 else t if t[0] < 58 and t[1:2] != b"x" else _rare(t) for t in tokens]


def integers(tokens: Sequence[bytes]) -> Sequence[Cell]:
    """The cells of one column of integers."""
    return [None if t == b"NULL" else t for t in tokens] if b"NULL" in tokens else tokens


def _rare(token: bytes) -> Cell:
    if token == b"NULL":
        return None
    if token.startswith(b"0x"):
        return bytes.fromhex(token[2:].decode())
    return token[token.index(b"'") + 1 : -1]
