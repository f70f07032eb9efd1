"""Reads `mysqldump --tab`: per table a `.sql` with its CREATE TABLE and a `.txt` with its rows, in any order of files.

The rows are as SELECT … INTO OUTFILE writes them by default: tabs between cells, a line feed after each row, backslashes
before what would be either, `\\N` for NULL. The server writes them unconverted, whatever SET NAMES in the `.sql` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO

from .archive import BROKEN, Files, why
from .dump_input import DumpInput
from .mysql_syntax import STATEMENT, Column, create_table
from .originals import Originals
from .rows import BadSource, Cell, Rows, SourceInfo, Wanted, WrongCharset

_ROW = re.compile(rb"(?:[^\\\n]++|\\.)*+\n", re.S)
_CELL = re.compile(rb"(?:[^\\\t]++|\\.)*+", re.S)
_LONGEST = 16 << 20  # a row; and a .sql file
_ESCAPE = re.compile(rb"\\(.)", re.S)
_ESCAPES = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}
_NAME = re.compile(r"(\w+)\.(sql|txt)(?:\.(?:gz|bz2|xz))?", re.I)


class TabFiles:
    """A `Reader` of the files of one folder or archive. Raises BadSource with the file and line of what can't be read.

    `charset` and `client` are `Originals`', and without `client` the rows are taken for unconverted; `fallback` is as
    `MysqlDump`'s, for tables without a `.sql`.
    """

    def __init__(
        self,
        name: str,
        files: Files,
        wanted: Wanted,
        *,
        charset: str | None = None,
        client: str | None = None,
        fallback: Callable[[str], list[Column] | None] = lambda _table: None,
    ) -> None:
        self.info = SourceInfo(product="mysqldump --tab")
        self._name, self._wanted, self._fallback = name, wanted, fallback
        self._originals = Originals(self.info, charset, client or "binary")
        self._files: dict[str, dict[str, tuple[str, Callable[[], DumpInput]]]] = {"sql": {}, "txt": {}}
        for file, opener in files.items():
            matched = _NAME.fullmatch(file)
            if matched:
                self._files[matched[2].lower()][matched[1]] = (file, partial(_open, file, opener))
        if not self._files["txt"]:
            raise BadSource(
                f"{name!a} is not the outcome of mysqldump --tab: no file in it is called TABLE.txt. Give one dump file",
                file=name,
            )

    def __iter__(self) -> Iterator[Rows]:
        for table, (file, opened) in self._files["txt"].items():
            try:
                yield from self._table(table, file, opened)
            except BROKEN as error:
                raise BadSource(f"{file!a}: cannot be read ({why(error)}): copy it again", file=file) from None
            except WrongCharset as error:
                raise BadSource(f"{file!a}: {error}", file=file) from None
        self._originals.finish()

    def _table(self, table: str, file: str, opened: Callable[[], DumpInput]) -> Iterator[Rows]:
        wanted = self._wanted.get(table.lower())
        if wanted is None:
            self.info.other_tables[table] = sum(len(rows) for rows, _ in _rows(file, opened()))
            return
        layout = self._layout(table, file)
        self._originals.declare(table, layout)
        self.info.layout[table] = [c.name for c in layout]
        keep = [(i, c) for i, c in enumerate(layout) if c.name.lower() in wanted]
        for rows, first in _rows(file, opened()):
            found = [_cells(row) for row in rows]
            wrong = next((i for i, cells in enumerate(found) if len(cells) != len(layout)), None)
            if wrong is not None:
                raise BadSource(
                    f"{file!a}, line {first + wrong}: a row of {len(found[wrong])} values, and {table} has {len(layout)} "
                    "columns: it is damaged, or was written with --fields options, which are not read",
                    file=file,
                    line=first + wrong,
                )
            columns = list(zip(*found, strict=True))
            yield Rows(
                table.lower(),
                {c.name.lower(): self._originals.column(columns[i], c.charset) for i, c in keep},
                len(found),
            )

    def _layout(self, table: str, file: str) -> list[Column]:
        if table in self._files["sql"]:
            sql, opened = self._files["sql"][table]
            text = b""
            for chunk in opened():
                text += chunk
                if len(text) > _LONGEST:
                    raise BadSource(f"{sql!a} is too long for a CREATE TABLE", file=sql)
            for statement in STATEMENT.finditer(text):
                created = create_table(statement[0])
                if created is not None and created[0].lower() == table.lower():
                    return created[1]
        layout = self._fallback(table.lower())
        if layout is None:
            raise BadSource(
                f"{file!a}: there is no {table}.sql with a CREATE TABLE beside it: add it, or pass --schema-version",
                file=file,
            )
        return layout


def _open(file: str, opener: Callable[[], BinaryIO]) -> DumpInput:
    return DumpInput(file, opener())


def _meant(escape: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(escape[1], escape[1])


def _rows(file: str, dump: DumpInput) -> Iterator[tuple[list[bytes], int]]:
    """(rows without their line feeds, the number of the first) by the megabyte."""
    line, rest = 1, b""
    for chunk in dump:
        rest += chunk
        rows = _ROW.findall(rest)
        rest = rest[sum(map(len, rows)) :]
        if len(rest) > _LONGEST:
            raise BadSource(f"{file!a}, line {line}: a row longer than {_LONGEST >> 20} MB", file=file, line=line)
        if rows:
            yield [row[:-1] for row in rows], line
            line += sum(row.count(b"\n") for row in rows)
    if rest:
        raise BadSource(
            f"{file!a}, line {line}: it ends in the middle of a row: it is cut short, take or copy it again",
            file=file,
            line=line,
        )


def _cells(row: bytes) -> Sequence[Cell]:
    if b"\\" not in row:
        return row.split(b"\t")
    found: list[Cell] = []
    at = 0
    while True:
        cell = _CELL.match(row, at)
        assert cell is not None  # it matches the empty string
        text = cell[0]
        found.append(None if text == b"\\N" else _ESCAPE.sub(_meant, text))
        at = cell.end() + 1
        if at > len(row):
            return found
