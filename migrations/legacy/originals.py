"""The own bytes of a dump's text columns, whatever its client made of them: says which conversion is undone, notices a wrong one.

Two character sets bear on a text cell: the column's (CREATE TABLE tells it) and the client's (SET NAMES tells it). A dump that
keeps one of them to itself needs a person to say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import charset as charsets
from .mysql_syntax import Column
from .rows import Cell, SourceInfo, WrongCharset

_USUAL = "latin1"  # the server's default when LFCs were set up; their DDL names none


class Originals:
    """`given` is the character set of the source's text, as a person says; None when the dump tells all.

    In a dump with SET NAMES it is that of the columns, and must be what CREATE TABLE says. In one without it is what the dump
    is written in, unless `client` says that. Every method raises WrongCharset with what to do about it.
    """

    def __init__(self, info: SourceInfo, given: str | None, client: str | None) -> None:
        self._info = info
        self._given = charsets.family(given) if given else None
        self._client = charsets.family(client) if client else None
        self._said_twice = client is not None
        self._utf8 = self._unreadable = 0
        if self._client is not None:
            self._columns_known()

    def _columns_known(self) -> None:
        if self._given is not None:
            self._info.latin1 = self._given == _USUAL

    def set_names(self, name: str) -> None:
        """What the dump says it is written in; this goes before what a person says."""
        self._info.set_names = name
        family = charsets.family(name)
        if family is None:
            raise WrongCharset(
                f"the dump is in {name}: take it again with --default-character-set=utf8 (or latin1, or binary)"
            )
        self._client = family
        self._columns_known()

    def declare(self, table: str, layout: Iterable[Column]) -> None:
        """What CREATE TABLE says of the text columns, and so whether a person was right about them."""
        for column in layout:
            if column.charset in (None, "unknown"):
                continue
            self._info.column_charsets.add(column.charset)
            own = charsets.family(column.charset)
            if self._given == "binary" and self._client is not None:
                continue
            where = f"{table}.{column.name!a} is in {column.charset}"
            if own is None:
                raise WrongCharset(f"{where}: convert the table to utf8 first, or pass --charset binary")
            if self._client is not None and self._given not in (None, own):
                raise WrongCharset(f"{where}, not in {self._given}: pass --charset {own}, or leave it out")
            if column.name.lower() == "name":
                self._info.latin1 = own == _USUAL

    def column(self, cells: Sequence[Cell], declared: str | None) -> Sequence[Cell]:
        """The cells as the column `declared` to be in this character set has them; None for one that is never converted."""
        if declared is None or b"".join(filter(None, cells)).isascii():
            return cells
        client, own = self._families(declared)
        undo = charsets.original(client, own)
        found: list[Cell] = []
        for written in cells:
            cell = written
            if cell is not None and not cell.isascii():
                self._info.non_ascii_cells += 1
                if undo is not None:
                    try:
                        cell = undo(cell)
                    except UnicodeError:
                        self._cannot_be(client)
                self._look(cell)
            found.append(cell)
        return found

    def _families(self, declared: str) -> tuple[str, str]:
        """(what the client wrote, what the column is in)."""
        own = None if declared == "unknown" else charsets.family(declared)
        if self._client is not None:
            return self._client, self._given or own or _USUAL
        if self._given is None:
            raise WrongCharset(
                "the dump does not say its character set (no SET NAMES) and holds more than ASCII: pass --charset, with what "
                "it was written in (utf8 for mysqldump --compact and --xml, latin1 for --compatible=ansi)"
            )
        return self._given, own or _USUAL

    def _cannot_be(self, client: str) -> None:
        if self._info.set_names is None:
            option = "--dump-charset" if self._said_twice else "--charset"
            raise WrongCharset(f"the dump is not written in {client}, as {option} says: pass the right one")
        self._unreadable += 1

    def _look(self, cell: bytes) -> None:
        if charsets.to_text(cell)[1] == "utf8":
            self._utf8 += 1
            self._info.double_encoded += charsets.looks_double_encoded(cell)

    def finish(self) -> None:
        """Everything was read: say what looks wrong."""
        info = self._info
        if info.double_encoded:
            told = f"{info.double_encoded} cells are UTF-8 that was encoded twice"
            guessed = info.set_names is None and not self._said_twice and self._given == _USUAL
            if guessed and self._utf8 == info.non_ascii_cells:
                raise WrongCharset(
                    f"{told}, and no cell is anything but UTF-8: the dump seems to be written in utf8, pass --charset utf8 "
                    "(if it is not, pass --dump-charset latin1 beside --charset latin1)"
                )
            info.warnings.append(
                f"{told}: either they are so in the source, or the dump is not in "
                f"{self._client or self._given}, or the columns are in another character set than it says"
            )
        if self._unreadable:
            info.warnings.append(
                f"{self._unreadable} cells are not what a {self._client} client writes of such columns; kept as they are"
            )
