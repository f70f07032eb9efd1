"""The neutral records every source is turned into, and their COPY form. A new source yields `Batch`es of these tables.

Ids are the source's own, as integers. `parent` 0 marks the root. Cells are UTF-8 text of the value, None is NULL; numbers
are decimal digits. Nothing is resolved here: any order will do, children before parents and replicas before files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from .rows import Cell, SourceInfo

FILE, DIRECTORY, LINK = b"0", b"1", b"2"


class Column(NamedTuple):
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A staging table. `kind` is the word for its records in `anomalies` and in the report."""

    name: str
    kind: str
    columns: tuple[Column, ...]

    def names(self) -> list[str]:
        return [c.name for c in self.columns]


def _define(name: str, kind: str, columns: str) -> Table:
    return Table(name, kind, tuple(Column(*c.strip().split(" ", 1)) for c in columns.split(",")))


USER = _define("s_user", "user", "id bigint, name text, banned smallint")
GROUP = _define("s_group", "group", "id bigint, name text, banned smallint")
# `size`, `guid` are null when there is none to keep; `ad` is 8 hex digits, `csum` other checksums ('md5:…'); `claimed` is
# the number of children that the source says a directory has; `guid_raw` the GUID as it came when not in lower case.
ENTRY = _define(
    "s_entry",
    "entry",
    "id bigint, parent bigint, kind smallint, name text, size bigint, guid uuid, guid_raw text, mode smallint, owner bigint, grp bigint, "
    "atime bigint, mtime bigint, ctime bigint, status smallint, ad text, csum text, acl text, claimed bigint",
)
# `host` as stored, `sfn_host` out of the SFN; which of them is right is decided per distinct pair.
REPLICA = _define(
    "s_replica",
    "replica",
    "id bigint, entry bigint, host text, sfn_host text, pfn text, state smallint, status text, f_type text, r_type text, setname text, "
    "ctime bigint, atime bigint",
)
LINKS = _define("s_link", "link", "entry bigint, target text")
COMMENT = _define("s_comment", "comment", "entry bigint, text text")
# What a look at single rows found: `value` is what was there, fit to print, and `hex` its bytes if they are no longer kept.
NOTE = _define("s_found", "note", "kind text, id bigint, code text, value text, hex text")
TABLES = (USER, GROUP, ENTRY, REPLICA, LINKS, COMMENT, NOTE)


@dataclass(slots=True)
class Batch:
    """Rows of one table, a list per column in the table's order."""

    table: Table
    columns: list[Sequence[Cell]]

    def copy_text(self) -> bytes:
        """PostgreSQL's COPY text format."""
        ready = [
            _escaped(c) if t.type == "text" else _null(c) for c, t in zip(self.columns, self.table.columns, strict=True)
        ]
        lines = b"\n".join(map(b"\t".join, zip(*ready, strict=True)))
        return lines + b"\n" if lines else b""


_SPECIAL = {b"\\": b"\\\\", b"\t": b"\\t", b"\n": b"\\n", b"\r": b"\\r"}


def _escaped(column: Sequence[Cell]) -> Sequence[bytes]:
    ready = [v or b"" for v in column] if None in column else cast("list[bytes]", column)
    joined = b"".join(ready)
    for byte, escape in _SPECIAL.items():
        if byte in joined:
            ready = [v.replace(byte, escape) for v in ready]
    return [b"\\N" if raw is None else v for raw, v in zip(column, ready, strict=True)] if None in column else ready


def _null(column: Sequence[Cell]) -> Sequence[bytes]:
    # Without the look beforehand this line is a tenth of an import.
    return [b"\\N" if v is None else v for v in column] if None in column else cast("Sequence[bytes]", column)


class Notes:
    """Collects what is found wrong on the way."""

    def __init__(self) -> None:
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, kind: str, row_id: Cell, code: str, value: Cell = None, *, exact: Cell = None) -> None:
        """`exact` are bytes that nothing else keeps; they stand beside the printable form of `value`."""
        shown = None if value is None else printable(value).encode()
        kept = None if exact is None else exact.hex().encode()
        self._rows.append((kind.encode(), row_id, code.encode(), shown, kept))

    def batch(self) -> Batch | None:
        """What was collected since the last call."""
        if not self._rows:
            return None
        columns: list[Sequence[Cell]] = [list(c) for c in zip(*self._rows, strict=True)]
        self._rows = []
        return Batch(NOTE, columns)


def printable(data: bytes) -> str:
    """Bytes as text that is safe to store and to show: UTF-8 kept; control characters, stray bytes and backslashes escaped."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def visible(text: str) -> str:
    """Text whose control characters are escaped, and nothing else is."""
    return text if text.isprintable() else "".join(c if c == "\\" else _shown(c) for c in text)


def _shown(char: str) -> str:
    code = ord(char)
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x80 or 0xDC80 <= ord(char) <= 0xDCFF else f"\\u{{{code:x}}}"


class Source(Protocol):
    """A foreign catalogue, read once from start to end. Raises BadSource."""

    kind: str
    info: SourceInfo
    read: dict[str, int]
    """Rows read so far by source table, and `tables` which neutral kind they become."""
    tables: dict[str, str]

    def __iter__(self) -> Iterator[Batch]: ...
