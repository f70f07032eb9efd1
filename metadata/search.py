"""Asking: which files (or directories) are what a query says, among those that the asker may see.

For other slices (data sets), inside any read of theirs:

    async with search.asking(caller, 'modality = "MRI"', under="/biomed") as (connection, asked):
        async for batch in search.batches(connection, asked):    # a directory each, in byte order of their paths
            batch.dir_id, batch.path, batch.ids, batch.names, batch.guids, batch.sizes, batch.adler32, batch.checksums

`asking` takes a text or a tree that is not bound (`metadata.language`), opens a read-only transaction with the time
limit of searches, and turns a search that takes too long into Unavailable. `prepare(connection, caller, ...)` is for
who has a transaction already. A slice that knows data sets sets `search.preparer.members` (see `prepare.Members`).
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lading.model.errors import Unavailable
from lading.model.file import Kind
from lading.model.search import Count, Explained

from .clock import Clock, TooSlow
from .explain import explain
from .search_store import Order, SearchStore
from .sorted_stream import sorted_stream
from .walk import LINES, Walk, Wish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from catalog.db import Connection, Database
    from lading.model.field import Field
    from lading.model.principal import Caller
    from lading.model.search import Find, Question

    from .language.tree import Node
    from .prepare import Preparer
    from .prepared import Prepared
    from .search_store import Batch, Lines

_PAGE = 1000
_BATCH_FILES = 20_000
_LOOKS = (500, 5_000)  # directories that are counted before it is known what leads
_LOW = 8  # times that the planner's guess of files with an indexed value may be too low
_FEW = 200_000  # rows that an index may be asked to bring in order, again and again


class Route(NamedTuple):
    """How files are found: the index `leads` when one is named, else the directories. `rows` is the planner's guess.
    `once`: they are so few that one statement over all should do."""

    leads: str | None = None
    rows: float | None = None
    directories: int | None = None
    files: int | None = None
    once: bool = False


class SearchService:
    def __init__(self, database: Database, preparer: Preparer, *, seconds: float = 60.0) -> None:
        """`seconds` is what a search may take of the database, in all its statements (see `Clock`)."""
        self._db = database
        self._seconds = seconds
        self._store = SearchStore()
        self.preparer = preparer

    @asynccontextmanager
    async def asking(
        self,
        caller: Caller,
        query: str | Node,
        under: str = "/",
        kind: Kind = Kind.FILE,
        *,
        asked: Prepared | None = None,
        seconds: float | None = None,
    ) -> AsyncIterator[tuple[Connection, Prepared]]:
        """A connection to ask on, and the question; `asked` goes on with one that was prepared before, in the time that
        is left of its own, or in `seconds`.

        Raises QueryError, NotFound and Forbidden (`under`); Unavailable, saying what to index, when it takes too long.
        """
        try:
            async with self._db.read(wide=True) as connection:
                if asked is None:
                    asked = await self.preparer.prepare(connection, caller, query, under, kind)
                if math.isinf(asked.clock.left):
                    asked.clock = Clock(self._seconds)
                async with connection.transaction(readonly=True):
                    await self._store.begin(connection, seconds or max(asked.clock.left, 0))
                    try:
                        yield connection, asked
                    except TooSlow:
                        raise too_slow(asked, seconds or asked.clock.given) from None
        except TooSlow:
            raise Unavailable("the database took too long to prepare this search: try again later") from None

    async def prepare(
        self, connection: Connection, caller: Caller, query: str | Node, under: str = "/", kind: Kind = Kind.FILE
    ) -> Prepared:
        return await self.preparer.prepare(connection, caller, query, under, kind)

    async def batches(self, connection: Connection, asked: Prepared) -> AsyncIterator[Batch]:
        """Every matching file, a directory at a time, in constant memory (but for a directory's own files)."""
        after, size = "", 500
        while dirs := await self._store.directories(connection, asked, after, size):
            after = dirs[-1].path + "\x01"
            while dirs:
                number, files = 0, 0
                for one in dirs:
                    files += one.files
                    if number and files > _BATCH_FILES:
                        break
                    number += 1
                for batch in await self._store.batch(connection, asked, dirs[:number]):
                    asked.clock.earn(len(batch.ids))
                    yield batch
                del dirs[:number]
            size = 10_000

    # ── for doors ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(self, caller: Caller, body: Find) -> bytes:
        """The JSON of a page of `{"lfn": …, …}`; `next` is there when there may be more."""
        size = body.limit or _PAGE
        parts: list[bytes] = []
        left, last = size, None
        async with self.asking(caller, body.query, body.under, body.kind) as (connection, asked):
            wish = self._wish(asked, body)
            route = await self._route(connection, asked)
            walk = Walk(self._store, asked, wish, size, index=route.leads is not None, once=route.once)
            while left and (lines := await walk.next(connection)) is not None:
                parts.append(lines.text)
                left -= lines.entries
                last = lines
        more = b',"next":' + msgspec.json.encode(wish.following(last)) if last is not None and not left else b""
        return b'{"items":[' + b"\n".join(parts).replace(b"\n", b",") + b"]" + more + b"}"

    async def stream(self, caller: Caller, body: Find) -> AsyncGenerator[bytes, None]:
        """All results, a line each. PostgreSQL writes the next lines while the last ones are being sent."""
        async with self.asking(caller, body.query, body.under, body.kind) as (connection, asked):
            wish = self._wish(asked, body)
            if wish.order is None:
                route = await self._route(connection, asked)
                walk = Walk(self._store, asked, wish, body.limit, index=route.leads is not None, once=route.once)
                lines = await walk.next(connection)
        if wish.order is not None:
            async for piece in sorted_stream(lambda: self.asking(caller, "", asked=asked), asked, wish, body.limit):
                yield piece.text + b"\n"
            return

        async def following() -> Lines | None:
            async with self.asking(caller, "", asked=asked) as (connection, _):
                return await walk.next(connection)

        while lines is not None:
            if walk.ended:
                yield lines.text + b"\n"
                return
            asked.clock.earn(lines.entries)
            ahead = asyncio.create_task(following())
            try:
                await asyncio.sleep(0)  # have it asked for before these lines keep the loop busy
                yield lines.text + b"\n"
                lines = await ahead
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def count(self, caller: Caller, body: Question) -> Count:
        """How many match: exact."""
        async with self.asking(caller, body.query, body.under, body.kind) as (connection, asked):
            return Count(await self._store.count(connection, asked) if asked.where else 0)

    async def explain(self, caller: Caller, body: Question) -> Explained:
        """How the query would be answered, and what would make it faster."""
        async with self.asking(caller, body.query, body.under, body.kind) as (connection, asked):
            return explain(asked, await self._route(connection, asked, look=True))

    def _wish(self, asked: Prepared, body: Find) -> Wish:
        names = list(dict.fromkeys(body.select))
        order = None
        if body.sort and body.sort != "lfn":
            name = body.sort.removeprefix("-")
            order = Order(self.preparer.column(asked, name), body.sort.startswith("-"))
            names = list(dict.fromkeys([*names, name]))
        return Wish([self.preparer.column(asked, n) for n in names], order, body.cursor)

    async def _route(self, connection: Connection, asked: Prepared, *, look: bool = False) -> Route:
        """Does an index on files lead, or the directories? With `look` the directories are counted in any case."""
        if asked.directories or asked.where is None:
            return Route()
        rows, index, once = None, None, False
        if asked.indexed():
            rows, index = await self._store.estimate(connection, asked)
            if index and index.endswith("_dir"):  # the planner would go by directories too
                index, once = None, rows * _LOW < LINES
        if index is None and not look:
            return Route(rows=rows, once=once)
        number = files = 0
        for most in (None,) if look else _LOOKS:
            number, files = await self._store.extent(connection, asked, most)
            if number != most or files > 4 * (rows or 0):
                break  # all of them, or enough to know
        many = not look and number == _LOOKS[-1]  # and more: no need to know how many
        leads = index is not None and rows is not None and rows < _FEW and (many or files > 4 * rows)
        return Route(index if leads else None, rows, number, files, once)


class TookTooLong(Unavailable):
    """A search that was stopped."""

    retryable = False


def too_slow(asked: Prepared, seconds: float) -> TookTooLong:
    """What to say, and what to do about it."""
    fields = asked.unindexed()
    hint = "ask for less at once, with --under, or for a directory's field"
    if fields:
        names = ", ".join(f.name for f in fields)
        hint = f"index the field{'s' if len(fields) > 1 else ''} {names}: " + command(fields[0])
    told = f"the search was stopped after {seconds:g} seconds: {hint}"
    return TookTooLong(told, unindexed=[f.name for f in fields])


def command(field: Field) -> str:
    return f"'lading field index {field.vo} {field.name}'"
