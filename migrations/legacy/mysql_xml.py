"""Reads `mysqldump --xml`. An XML parser can't: a control character or a NUL in a name makes it no XML at all.

Markup in text is written as entities, so the tags can be told from it without a parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .originals import Originals
from .rows import BadSource, Cell, Rows, SourceInfo, Wanted, WrongCharset

_FIELD = re.compile(
    rb'\s*+<field name="([^"]*+)"(?:( xsi:nil="true"\s*+/>)|( xsi:type="xs:hexBinary")?+>([^<]*+)</field>)'
)
_ROW = re.compile(rb"\s*+<row>((?:[^<]++|<(?!/?row>))*+)</row>")
_TABLE = re.compile(rb'<table_data name="(\w++)"\s*+(/?)>')
_STRUCTURE = re.compile(rb'<table_structure name="(\w++)">(.*?)</table_structure>', re.S)
_COLUMN = re.compile(rb'<field Field="([^"]*+)" Type="(\w+)')
_NEXT = re.compile(rb"<table_data |<table_structure |</mysqldump>")
_END = re.compile(rb"\s*+</table_data>")
_LONGEST = 16 << 20
_BATCH = 8192
_ENTITIES = ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"), (b"&amp;", b"&"))


class MysqlXml:
    """A `Reader` of it. `charset` and `client` are `Originals`'. Raises BadSource with the byte of what can't be read."""

    def __init__(
        self, chunks: Iterable[bytes], wanted: Wanted, *, charset: str | None = None, client: str | None = None
    ) -> None:
        self.info = SourceInfo(product="mysqldump --xml")
        self._chunks = iter(chunks)
        self._wanted = wanted
        self._originals = Originals(self.info, charset, client)
        self._types: dict[str, dict[str, str | None]] = {}
        self._buffer = b""
        self._at = self._byte = 0

    def __iter__(self) -> Iterator[Rows]:
        while (found := self._look(_NEXT)) is not None and found[0] != b"</mysqldump>":
            self._at = found.start()
            if found[0].startswith(b"<table_structure"):
                self._structure(self._whole(_STRUCTURE, "a table's structure"))
            else:
                head = self._whole(_TABLE, "a table's head")
                if not head[2]:
                    yield from self._table(head[1].decode())
        if found is None:
            raise self._bad("it does not end with </mysqldump>: it is cut short, take or copy it again")
        try:
            self._originals.finish()
        except WrongCharset as error:
            raise self._bad(str(error)) from None

    def _bad(self, message: str) -> BadSource:
        byte = self._byte + self._at
        return BadSource(f"byte {byte}: {message}", byte=byte)

    def _more(self) -> bool:
        self._byte += self._at
        chunk = next(self._chunks, b"")
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _look(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """The next place of the pattern; what is before it is passed over. None at the end."""
        while (found := pattern.search(self._buffer, self._at)) is None:
            self._at = max(self._at, len(self._buffer) - 64)
            if not self._more():
                return None
        return found

    def _whole(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """The pattern, here; read further until it is complete."""
        while (found := pattern.match(self._buffer, self._at)) is None:
            if len(self._buffer) - self._at > _LONGEST:
                raise self._bad(f"{what} is longer than {_LONGEST >> 20} MB, or not as mysqldump writes it")
            if not self._more():
                raise self._bad(f"it ends in the middle of {what}, or that is not as mysqldump writes it")
        self._at = found.end()
        return found

    def _structure(self, found: re.Match[bytes]) -> None:
        table = found[1].decode()
        types = {
            name.decode("latin-1").lower(): "unknown" if re.search(rb"char|text|enum|set$", kind, re.I) else None
            for name, kind in _COLUMN.findall(found[2])
        }
        self._types[table.lower()] = types
        self.info.layout[table] = list(types)

    def _table(self, table: str) -> Iterator[Rows]:
        wanted = self._wanted.get(table.lower())
        rows: list[dict[str, Cell]] = []
        while True:
            row = _ROW.match(self._buffer, self._at)
            if row is not None:
                self._at = row.end()
                if wanted is None:
                    self.info.other_tables[table] = self.info.other_tables.get(table, 0) + 1
                    continue
                rows.append(self._cells(row[1]))
                if len(rows) >= _BATCH:
                    yield self._rows(table, rows, wanted)
                    rows = []
                continue
            end = _END.match(self._buffer, self._at)
            if end is not None:
                self._at = end.end()
                break
            if len(self._buffer) - self._at > _LONGEST:
                raise self._bad(f"a row of {table!a} is expected here: the dump is damaged")
            if not self._more():
                raise self._bad(f"it ends in the middle of the rows of {table!a}: it is cut short or damaged here")
        if rows and wanted is not None:
            yield self._rows(table, rows, wanted)

    def _cells(self, row: bytes) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        at = 0
        while (field := _FIELD.match(row, at)) is not None:
            name, null, hexa, text = field.groups()
            at = field.end()
            value: Cell = None if null else text
            if not null and b"&" in text:
                for entity, char in _ENTITIES:
                    text = text.replace(entity, char)
                value = text
            if hexa:
                try:
                    value = bytes.fromhex(text.decode("ascii"))
                except ValueError:
                    raise self._bad(f"a field {name!a} of hexadecimal digits holds something else") from None
            found[name.decode("latin-1").lower()] = value
        if row[at:].strip():
            raise self._bad("the row before this is not as mysqldump writes one: the dump is damaged")
        return found

    def _rows(self, table: str, rows: list[dict[str, Cell]], wanted: frozenset[str]) -> Rows:
        names = rows[0].keys()
        if any(row.keys() != names for row in rows):
            raise self._bad(f"near here a row of {table!a} has other fields than the one before")
        types = self._types.get(table.lower(), {})
        try:
            columns = {
                n: self._originals.column([row[n] for row in rows], types.get(n, "unknown"))
                for n in names
                if n in wanted
            }
        except WrongCharset as error:
            raise self._bad(str(error)) from None
        self.info.layout.setdefault(table, list(names))
        return Rows(table.lower(), columns, len(rows))
