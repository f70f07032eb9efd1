"""Reads a mysqldump: bytes in, rows out, one pass, constant memory, nothing executed.

`MysqlDump` yields `Rows`. A row without a backslash or a doubled quote is taken apart by one regular expression made for
its table; the rest go through `mysql_syntax.cells`. Both stand in one alternation whose last branch is 'any other byte',
so that nothing between two rows can be passed over unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import charset
from .mysql_syntax import ANY_ROW, INSERT, SET_NAMES, STATEMENT, Column, cells, column_list, create_table
from .rows import BadSource, Cell, Rows, SourceInfo, Wanted

_BATCH = 8192
_LONGEST = 32 << 20  # one row, or one statement that is no INSERT; MySQL's own default packet is 16 MB
_INTEGER = rb"-?[0-9]++(?![xX])|NULL"
_VALUE = rb"(?:_binary )?'[^'\\]*+'|NULL|[-+.0-9]++(?![xX])|0x[0-9A-Fa-f]++"
_BLANK = re.compile(rb"\s*+")
_LINE_COMMENT = re.compile(rb"(?:--[ \t\r\n]|--$|#)[^\n]*\n")
_KNOWN = re.compile(
    rb"(?:INSERT|REPLACE|CREATE|DROP|LOCK|UNLOCK|SET|USE|ALTER|START|BEGIN|COMMIT|TRUNCATE|CHANGE|GRANT|ANALYZE|DELETE|FLUSH"
    rb"|DELIMITER|UPDATE|/\*|;)",
    re.I,
)


class _Table:
    """How to read the rows of one INSERT header."""

    def __init__(self, spelled: str, layout: list[Column], wanted: frozenset[str] | None) -> None:
        self.spelled, self.name = spelled, spelled.lower()
        self.width = len(layout)
        self.layout = layout
        keep = [(i, c) for i, c in enumerate(layout) if wanted is not None and c.name.lower() in wanted]
        self.indexes = [i for i, _ in keep]
        self.columns = [c.name.lower() for _, c in keep]
        self.text = [c.charset is not None for _, c in keep]
        self.integer = [c.integer for _, c in keep]
        kept = set(self.indexes)
        fast = rb",".join(
            (rb"(" if i in kept else rb"(?:") + (_INTEGER if c.integer else _VALUE) + rb")"
            for i, c in enumerate(layout)
        )
        # The groups after the cells: a whole row for the slow path, and what is no row at all.
        self.pattern = re.compile(rb"[\s,]*+(?:\(" + fast + rb"\)|(" + ANY_ROW + rb")|(.))", re.S)


class MysqlDump:
    """A `Reader` of mysqldump text: default, single or complete INSERTs, REPLACE, --hex-blob, ansi, compact, 5.x one-liners.

    `columns` is the character set the source's text columns are in, `client` the one the dump was written in: only for
    dumps that don't say so (no SET NAMES: --compact, --compatible=ansi). `fallback` has the layout of tables whose INSERTs
    name no columns in a dump without CREATE TABLE. Raises BadSource with the line and byte of what can't be read.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        wanted: Wanted,
        *,
        columns: str = "latin1",
        client: str | None = None,
        fallback: Callable[[str], list[Column] | None] = lambda _table: None,
    ) -> None:
        self.info = SourceInfo()
        self._chunks = iter(chunks)
        self._wanted = wanted
        self._column_charset = charset.family(columns) or "binary"
        self._client = charset.family(client) if client else None
        self._client_given = client is not None
        self._fallback = fallback
        self._layouts: dict[str, list[Column]] = {}
        self._tables: dict[bytes, _Table] = {}
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._line, self._byte = 1, 0  # of the buffer's start
        self._pending: list[Sequence[bytes]] = []
        self._slow: list[Sequence[Cell]] = []
        self._pending_table: _Table | None = None
        self._header = self._completed = False
        self._unreadable = 0

    def __iter__(self) -> Iterator[Rows]:
        while self._skip_blank():
            header = INSERT.match(self._buffer, self._at)
            if header is None and len(self._buffer) - self._at < 4096 and self._more():
                continue
            if header is not None:
                table = self._table(header)
                if table is not self._pending_table:
                    yield from self._flush()
                    self._pending_table = table
                self._at = header.end()
                yield from self._values(table)
            else:
                self._statement()
        yield from self._flush()
        if self._header and not self._completed:
            raise self._bad(
                "the dump is cut short: it has no last line '-- Dump completed'. Take it again (or append that line to read it as is)"
            )
        if self.info.double_encoded:
            self.info.warnings.append(
                f"{self.info.double_encoded} cells look like UTF-8 that was encoded twice: is the dump in "
                f"{self._client}, and are the columns in {self._column_charset}?"
            )
        if self._unreadable:
            self.info.warnings.append(
                f"{self._unreadable} cells are not what a {self._client} client writes of {self._column_charset} columns; kept as they are"
            )

    # ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _more(self) -> bool:
        """Another chunk in the buffer, what was read out of it; False at the end."""
        if self._ended:
            return False
        done = self._buffer[: self._at]
        self._line += done.count(b"\n")
        self._byte += self._at
        chunk = next(self._chunks, b"")
        self._ended = not chunk
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _need(self, what: str) -> None:
        """More bytes for something that is not whole yet, or BadSource."""
        if len(self._buffer) - self._at > _LONGEST:
            raise self._bad(
                f"{what} is longer than {_LONGEST >> 20} MB: this is not a dump of a file catalogue, or it is damaged here"
            )
        if not self._more():
            raise self._bad(f"the dump ends in the middle of {what}: it is cut short, take or copy it again")

    def _bad(self, message: str) -> BadSource:
        before = self._buffer[: self._at]
        line, byte = self._line + before.count(b"\n"), self._byte + self._at
        return BadSource(f"line {line}, byte {byte}: {message}", line=line, byte=byte)

    def _skip_blank(self) -> bool:
        """Pass over blanks and line comments; False at the end of the dump."""
        while True:
            self._at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # matches the empty string
            if self._at >= len(self._buffer) or self._buffer.startswith((b"--", b"#"), self._at):
                comment = _LINE_COMMENT.match(self._buffer, self._at)
                if comment is not None:
                    self._comment(comment[0])
                    self._at = comment.end()
                elif not self._more():
                    self._comment(self._buffer[self._at :])
                    self._at = len(self._buffer)
                    return False
                continue
            return True

    def _comment(self, text: bytes) -> None:
        if text.startswith((b"-- MySQL dump", b"-- MariaDB dump")):
            self._header = True
            self.info.product = text[3:].strip().decode("latin-1")
        elif text.startswith(b"-- Dump completed"):
            self._completed = True

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _statement(self) -> None:
        if re.compile(rb"(?:INSERT|REPLACE)\b", re.I).match(self._buffer, self._at):
            raise self._bad("an INSERT in a form no mysqldump writes: its rows can't be read")
        if not _KNOWN.match(self._buffer, self._at):
            start = self._buffer[self._at : self._at + 40].decode("latin-1")
            raise self._bad(f"not a mysqldump: SQL is expected here, and this is {start!a}")
        while (m := STATEMENT.match(self._buffer, self._at)) is None:
            self._need("a statement")
        text = m[0]
        if text[:9].upper() == b"DELIMITER":
            raise self._bad(
                "triggers and routines are not read: take the dump with --skip-triggers and without --routines"
            )
        created = create_table(text)
        if created is not None:
            name, layout = created
            self._layouts[name.lower()] = layout
            self._tables.clear()
            self.info.layout[name] = [c.name for c in layout]
            if name.lower() in self._wanted:
                self._check_charsets(name, layout)
        elif (names := SET_NAMES.search(text)) is not None and len(text) < 200:
            self._set_names(names[1].decode())
        self._at = m.end()

    def _check_charsets(self, table: str, layout: list[Column]) -> None:
        """What CREATE TABLE says of the text columns must be what the caller says."""
        for column in layout:
            if column.charset in (None, "unknown"):
                continue
            self.info.column_charsets.add(column.charset)
            declared = charset.family(column.charset)
            if self._column_charset not in (declared, "binary"):
                advice = (
                    f"pass --charset {declared}"
                    if declared
                    else "convert the table to utf8 first, or pass --charset binary"
                )
                raise self._bad(
                    f"{table}.{column.name} is in {column.charset}, not in {self._column_charset}: {advice}"
                )

    def _set_names(self, name: str) -> None:
        self.info.set_names = name
        if charset.family(name) is None:
            raise self._bad(
                f"the dump is in {name}: take it again with --default-character-set=utf8 (or latin1, or binary)"
            )
        self._client = charset.family(name)
        self._client_given = False

    def _table(self, header: re.Match[bytes]) -> _Table:
        known = self._tables.get(header[0])
        if known is not None:
            return known
        name = header[1].decode().lower()
        layout = self._layouts.get(name)
        if header[2] is not None:
            types = {c.name.lower(): c for c in layout or self._fallback(name) or []}
            names = column_list(header[2])
            layout = [types.get(n.lower(), Column(n, "unknown")) for n in names]
            self.info.layout.setdefault(header[1].decode(), names)
        elif layout is None and name in self._wanted:
            layout = self._fallback(name)
            if layout is None:
                raise self._bad(
                    f"the columns of {name} are not told (no CREATE TABLE, no column list): pass --schema-version, or dump with --complete-insert"
                )
            self.info.layout.setdefault(header[1].decode(), [c.name for c in layout])
        table = self._tables[header[0]] = _Table(header[1].decode(), layout or [], self._wanted.get(name))
        return table

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _values(self, table: _Table) -> Iterator[Rows]:
        """The rows up to the statement's `;`."""
        while True:
            end = self._buffer.find(b";\n", self._at)
            last = end >= 0
            if not last:
                end = max(self._buffer.rfind(b"),(", self._at), self._buffer.rfind(b"),\n(", self._at)) + 1
            if end > self._at:
                found = table.pattern.findall(self._buffer, self._at, end)
                if table.width and not any(f[-1] for f in found):
                    self._take(table, found)
                    self._at = end + last
                else:
                    last = self._values_one_by_one(table)
            elif not last:
                last = self._values_one_by_one(table)
            if len(self._pending) >= _BATCH:
                yield from self._flush()
            if last:
                return

    def _values_one_by_one(self, table: _Table) -> bool:
        """As far as whole rows reach; True when the `;` was reached. Knows where it is, so it finds the faulty byte."""
        pattern = table.pattern if table.width else re.compile(rb"[\s,]*+(" + ANY_ROW + rb")(\Z.)?", re.S)
        found: list[Sequence[bytes]] = []
        while (m := pattern.match(self._buffer, self._at)) is not None and not m[m.re.groups]:
            found.append(m.groups(b""))
            self._at = m.end()
        self._take(table, found)
        at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # matches the empty string
        if self._buffer.startswith(b";", at):
            self._at = at + 1
            return True
        if found:
            return False
        rest = self._buffer[at : at + 1]
        if rest and rest not in b",(" and not self._ended:
            raise self._bad(f"a row is expected here, in the INSERT INTO {table.name}: the dump is damaged")
        self._need(f"the rows of {table.name}")
        return False

    def _take(self, table: _Table, found: list[Sequence[bytes]]) -> None:
        if table.name not in self._wanted:
            counts = self.info.other_tables
            counts[table.spelled] = counts.get(table.spelled, 0) + len(found)
            return
        for f in found:
            if f[-2]:
                row = cells(f[-2])
                if row is None or len(row) != table.width:
                    raise self._bad(
                        f"near here a row of {table.name} has not the {table.width} values its columns ask for"
                    )
                self._slow.append([row[i] for i in table.indexes])
            else:
                self._pending.append(f)

    def _flush(self) -> Iterator[Rows]:
        table = self._pending_table
        if table is None:
            return
        if self._pending:
            tokens = zip(zip(*self._pending, strict=True), table.integer, strict=False)
            yield self._rows(
                table, [_integers(t) if integer else _plain(t) for t, integer in tokens], len(self._pending)
            )
        if self._slow:
            yield self._rows(table, [list(c) for c in zip(*self._slow, strict=True)], len(self._slow))
        self._pending, self._slow = [], []

    def _rows(self, table: _Table, by_column: list[Sequence[Cell]], count: int) -> Rows:
        out: dict[str, Sequence[Cell]] = {}
        for name, text, column in zip(table.columns, table.text, by_column, strict=True):
            plain = not text or b"".join(filter(None, column)).isascii()
            out[name] = column if plain else [c if c is None or c.isascii() else self._original(c) for c in column]
        return Rows(table.name, out, count)

    def _original(self, cell: bytes) -> bytes:
        """The column's own bytes, of a cell that is not plain ASCII."""
        if self._client is None:
            raise self._bad(
                "the dump does not say its character set (no SET NAMES) and holds more than ASCII: pass --dump-charset "
                "(utf8 for mysqldump --compact, latin1 for --compatible=ansi)"
            )
        self.info.non_ascii_cells += 1
        undo = charset.original(self._client, self._column_charset)
        if undo is not None:
            try:
                cell = undo(cell)
            except UnicodeError:
                if self._client_given:
                    raise self._bad(
                        f"the dump is not in {self._client}, as --dump-charset says: try the other one"
                    ) from None
                self._unreadable += 1
        if charset.looks_double_encoded(cell):
            self.info.double_encoded += 1
        return cell


def _plain(tokens: Sequence[bytes]) -> list[Cell]:
    return [t[1:-1] if t[0] == 39 else t if t[0] < 58 and t[1:2] != b"x" else _rare(t) for t in tokens]


def _integers(tokens: Sequence[bytes]) -> Sequence[Cell]:
    return [None if t == b"NULL" else t for t in tokens] if b"NULL" in tokens else tokens


def _rare(token: bytes) -> Cell:
    if token == b"NULL":
        return None
    if token.startswith(b"0x"):
        return bytes.fromhex(token[2:].decode())
    return token[token.index(b"'") + 1 : -1]
