"""The results of a search, piece by piece: in constant memory, and from any place on."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lading.model import lfn
from lading.model.errors import InvalidRequest
from lading.model.field import FieldType

from .search_store import Dir, Lines, Order, SearchStore
from .standard import StandardField
from .types import store as stored_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Connection

    from .compile_shown import Column
    from .prepared import Prepared

LINES = 10_000  # of one piece, about
_FIRST_DIRS, _DIRS = 200, 20_000
_MOST_FILES = 100_000  # that one statement looks at, when few fit
_LARGE = 1_000_000_000


class Wish(NamedTuple):
    """What to tell of each result, in which order, after what."""

    columns: Sequence[Column]
    order: Order | None = None
    cursor: str | None = None

    def after(self, directories: bool) -> tuple[Any, str, str] | None:
        """(sort key, path of `d`, name) to go on after. Raises InvalidRequest for what is no cursor."""
        if not self.cursor:
            return None
        try:
            value, path = msgspec.json.decode(self.cursor, type=tuple[Any, str]) if self.order else (None, self.cursor)
            where = lfn.parse(path)
        except (msgspec.MsgspecError, InvalidRequest):
            form = 'JSON such as ["value", "/vo/file"]' if self.order else "an LFN"
            raise InvalidRequest(f"'{lfn.shown(self.cursor, 80)}' is no cursor of this search: it is {form}") from None
        if self.order is not None and value is not None:
            value = _key(self.order.column, value)
        return (value, where, "") if directories else (value, *lfn.split(where))

    def following(self, lines: Lines) -> str:
        """The cursor behind the last of these."""
        last = msgspec.json.decode(lines.text[lines.text.rfind(b"\n") + 1 :])
        if self.order is None:
            return str(last["lfn"])
        return msgspec.json.encode([last.get(self.order.column.name), last["lfn"]]).decode()


def _key(column: Column, value: Any) -> Any:
    """A value as it was told, as the database compares it."""
    field = column.bound.field
    type_ = FieldType.STRING if field.name in ("lfn", "guid") else field.type
    if type_ is FieldType.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    found = stored_form(type_, value, column.name)
    if isinstance(field, StandardField) or type_ in (FieldType.STRING, FieldType.BOOL):
        return found
    return Decimal(repr(found))


class Walk:
    """One pass over the results. `next` until it answers None; each call may be on another connection."""

    def __init__(
        self, store: SearchStore, asked: Prepared, wish: Wish, limit: int | None, *, index: bool, once: bool = False
    ) -> None:
        """`index`: let an index on files lead, instead of the directories; `once`: for the first piece alone, which
        should be all."""
        self._store = store
        self._asked = asked
        self._wish = wish
        self._left = _LARGE if limit is None else limit
        self._after = wish.after(asked.directories)
        self._once = once and self._left >= LINES and not (index or asked.directories or wish.order)
        self._flat = index or self._once or asked.directories or wish.order is not None
        self._dirs: list[Dir] = []
        self._from = self._after[1] if self._after else ""
        # Whatever an index says of directories is worked out whole for each piece of it: take it in one.
        self._fetch = max(_FIRST_DIRS, min(_DIRS, self._left)) if asked.contained else _FIRST_DIRS
        self._files = max(500, min(LINES, self._left * 2))
        self._ended = asked.where is None

    @property
    def ended(self) -> bool:
        """Is it known that nothing follows?"""
        return self._ended or self._left <= 0

    async def next(self, connection: Connection) -> Lines | None:
        """The next results, at least one; None after the last."""
        if self.ended:
            return None
        lines = await (self._next_flat(connection) if self._flat else self._next_files(connection))
        if lines is None or not lines.entries:
            self._ended = True
            return None
        if lines.entries > self._left:
            kept = b"\n".join(lines.text.split(b"\n", self._left)[: self._left])
            lines = Lines(kept, self._left)
        self._left -= lines.entries
        return lines

    async def _next_flat(self, connection: Connection) -> Lines:
        size = min(self._left, LINES * 2)
        wish = self._wish
        lines = await self._store.flat(connection, self._asked, wish.columns, wish.order, self._after, size)
        if lines.entries < size:
            self._ended = True
        else:
            self._after = wish._replace(cursor=wish.following(lines)).after(self._asked.directories)
            if self._once and self._after:
                self._flat, self._from = False, self._after[1]
        return lines

    async def _next_files(self, connection: Connection) -> Lines | None:
        while self._dirs or await self._more(connection):
            some = self._some()
            whole = len(some) > 1 or (some[0].files <= self._files and not some[0].after)
            size = None if whole else min(LINES, self._left)
            lines = await self._store.files(connection, self._asked, some, self._wish.columns, size)
            if not whole and lines.entries == size:
                last = lfn.split(Wish(()).following(lines))[1]
                self._dirs[0] = self._dirs[0]._replace(after=last)
            else:
                del self._dirs[: len(some)]
            if lines.entries * 4 < LINES:  # few fit: look at more, as many as should do if it goes on so
                self._files = min(self._files * max(2, min(16, LINES // (lines.entries + 1))), _MOST_FILES)
            elif lines.entries > LINES:
                self._files = LINES
            if lines.entries:
                self._ended = not self._dirs and not self._fetch
                return lines
        return None

    def _some(self) -> list[Dir]:
        """The next directories that hold about as many files as one statement should see."""
        files = number = 0
        for one in self._dirs:
            files += one.files
            if number and (files > self._files or one.after):
                break
            number += 1
            if one.after:
                break
        return self._dirs[:number]

    async def _more(self, connection: Connection) -> bool:
        """More directories, if there are any."""
        if not self._fetch:
            return False
        found = await self._store.directories(connection, self._asked, self._from, self._fetch)
        whole = len(found) < self._fetch
        if self._after and found and found[0].path == self._after[1]:
            found[0] = found[0]._replace(after=self._after[2])
        self._after = None
        if found:
            self._from = found[-1].path + "\x01"
        self._dirs = found
        self._fetch = 0 if whole else min(self._fetch * 4, _DIRS)
        return bool(found)
