"""Reads a mysqldump: bytes in, rows out, one pass, constant memory, nothing executed.

`MysqlDump` yields `Rows`. A row without a backslash or a doubled quote is taken apart by one regular expression made for
its table; the rest go through `mysql_syntax.cells`. Both stand in one alternation whose last branch is 'any other byte',
so that nothing between two rows can be passed over unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ParamSpec, TypeVar

from .mysql_rows import Table, integers, plain
from .mysql_syntax import ANY_ROW, INSERT, SET_NAMES, STATEMENT, Column, cells, column_list, create_table
from .originals import Originals
from .rows import BadSource, Cell, Rows, SourceInfo, Wanted, WrongCharset

P = ParamSpec("P")
T = TypeVar("T")
_BATCH = 8192
_LONGEST = 16 << 20  # one row, or one statement that is no INSERT; as MySQL's own default packet
_BLANK = re.compile(rb"\s*+")
_COMMENT = re.compile(rb"(?:--[ \t\r\n]|--$|#)[^\n]*\n|/\*.*?\*/", re.S)
_NO_STATEMENT = (b"--", b"#")
_EXECUTABLE = re.compile(
    rb"/\*!|/\*M!(?!999999)|/\*?$"
)  # MySQL reads them as statements; 999999 is MariaDB's sandbox mark
_INSERT_LIKE = re.compile(rb"(?:\s*+/\*.*?\*/)*+\s*+(?:INSERT|REPLACE)\b", re.S | re.I)
_KNOWN = re.compile(
    rb"(?:INSERT|REPLACE|CREATE|DROP|LOCK|UNLOCK|SET|USE|ALTER|START|BEGIN|COMMIT|TRUNCATE|CHANGE|GRANT|ANALYZE|DELETE|FLUSH"
    rb"|DELIMITER|UPDATE|/\*|;)",
    re.I,
)


class MysqlDump:
    """A `Reader` of mysqldump text: default, single or complete INSERTs, REPLACE, --hex-blob, ansi, compact, 5.x one-liners.

    `charset` and `client` are `Originals`'. `fallback` has the layout of tables whose INSERTs name no columns in a dump without
    CREATE TABLE, `advice` what to say when it has none, given a row's number of values. Raises BadSource with the line and
    byte of what can't be read.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        wanted: Wanted,
        *,
        charset: str | None = None,
        client: str | None = None,
        fallback: Callable[[str], list[Column] | None] = lambda _table: None,
        advice: Callable[[str, int], str] = lambda _table, _width: "dump with --complete-insert",
    ) -> None:
        self.info = SourceInfo()
        self._chunks = iter(chunks)
        self._wanted = wanted
        self._originals = Originals(self.info, charset, client)
        self._fallback, self._advice = fallback, advice
        self._layouts: dict[str, list[Column]] = {}
        self._tables: dict[bytes, Table] = {}
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._line, self._byte = 1, 0  # of the buffer's start
        self._pending: list[Sequence[bytes]] = []
        self._slow: list[Sequence[Cell]] = []
        self._pending_table: Table | None = None
        self._header = self._completed = False

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
        self._told(self._originals.finish)

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
            raise self._bad(
                f"the dump ends in the middle of {what}: it is cut short or damaged here, take or copy it again"
            )

    def _bad(self, message: str) -> BadSource:
        before = self._buffer[: self._at]
        line, byte = self._line + before.count(b"\n"), self._byte + self._at
        return BadSource(f"line {line}, byte {byte}: {message}", line=line, byte=byte)

    def _skip_blank(self) -> bool:
        """Pass over blanks and line comments; False at the end of the dump."""
        while True:
            self._at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # matches the empty string
            if self._at >= len(self._buffer) or self._is_comment():
                comment = _COMMENT.match(self._buffer, self._at)
                if comment is not None:
                    self._comment(comment[0])
                    self._at = comment.end()
                elif self._buffer.startswith(b"/*", self._at):
                    self._need("a comment")
                elif not self._more():
                    self._comment(self._buffer[self._at :])
                    self._at = len(self._buffer)
                    return False
                continue
            return True

    def _is_comment(self) -> bool:
        """True for `--`, `#` and a `/*` that is not executable: no statement begins here."""
        if self._buffer.startswith(_NO_STATEMENT, self._at):
            return True
        if not self._buffer.startswith(b"/", self._at):
            return False
        while len(self._buffer) - self._at < 10 and self._more():
            pass
        return not _EXECUTABLE.match(self._buffer, self._at)

    def _comment(self, text: bytes) -> None:
        if text.startswith((b"-- MySQL dump", b"-- MariaDB dump")):
            self._header, self._completed = True, False
            self.info.product = text[3:].strip().decode("latin-1")
        elif text.startswith(b"-- Dump completed"):
            self._completed = True

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _statement(self) -> None:
        if _INSERT_LIKE.match(self._buffer, self._at):
            if b";" not in self._buffer[self._at :]:
                self._need("an INSERT")
                return
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
                self._told(self._originals.declare, name, layout)
        elif (names := SET_NAMES.search(text)) is not None and len(text) < 200:
            self._told(self._originals.set_names, names[1].decode())
        self._at = m.end()

    def _told(self, tell: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call of the originals, with the place in the dump if it complains."""
        try:
            return tell(*args, **kwargs)
        except WrongCharset as error:
            raise self._bad(str(error)) from None

    def _table(self, header: re.Match[bytes]) -> Table:
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
                row = re.compile(ANY_ROW, re.S).match(self._buffer, header.end())
                width = len(cells(row[0]) or ()) if row else 0
                raise self._bad(
                    f"the columns of {name} are not told (no CREATE TABLE, no column list): {self._advice(name, width)}"
                )
            self.info.layout.setdefault(header[1].decode(), [c.name for c in layout])
        table = self._tables[header[0]] = Table(header[1].decode(), layout or [], self._wanted.get(name))
        return table

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _values(self, table: Table) -> Iterator[Rows]:
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

    def _values_one_by_one(self, table: Table) -> bool:
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

    def _take(self, table: Table, found: list[Sequence[bytes]]) -> None:
        if table.name not in self._wanted:
            counts = self.info.other_tables
            counts[table.spelled] = counts.get(table.spelled, 0) + len(found)
            return
        for f in found:
            if f[-2]:
                row = cells(f[-2])
                if row is None or len(row) != table.width:
                    told = "" if table.name in self._layouts else "--schema-version is wrong, or "
                    raise self._bad(
                        f"in the rows that begin here, one of {table.name} has {'no' if row is None else len(row)} values that can be "
                        f"read, and the table has {table.width} columns: {told}the dump is damaged or was edited, take it again"
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
            yield self._rows(table, [integers(t) if integer else plain(t) for t, integer in tokens], len(self._pending))
        if self._slow:
            yield self._rows(table, [list(c) for c in zip(*self._slow, strict=True)], len(self._slow))
        self._pending, self._slow = [], []

    def _rows(self, table: Table, by_column: list[Sequence[Cell]], count: int) -> Rows:
        out: dict[str, Sequence[Cell]] = {}
        for name, declared, column in zip(table.columns, table.charsets, by_column, strict=True):
            out[name] = self._told(self._originals.column, column, declared)
        return Rows(table.name, out, count)
