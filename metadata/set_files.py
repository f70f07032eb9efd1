"""The files of data sets and snapshots, and what differs between them, as streams: for millions, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.namespace.service import checksums
from lading.model import lfn
from lading.model.dataset import Difference, Finding, Member, Tail, split_name

from .snapshots_store import SnapshotsStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from catalog.db import Database
    from lading.model.principal import Caller

    from .members import Sets
    from .search import SearchService

_LINES = 2000


class SetFiles:
    def __init__(self, database: Database, search: SearchService, sets: Sets) -> None:
        self._db = database
        self._search = search
        self._sets = sets
        self._store = SnapshotsStore()

    async def files(self, caller: Caller, name: str) -> AsyncGenerator[list[Any], None]:
        """Lists of Members, then one of a Tail. Of a data set what is in it now; of a snapshot (`NAME@3`) what was
        frozen, in byte order of the LFNs. Raises NotFound, Forbidden, what the query does, Unavailable."""
        stream = self._live(caller, name) if split_name(name)[1] is None else self._frozen(caller, name)
        async for batch in stream:
            yield batch

    async def _live(self, caller: Caller, name: str) -> AsyncGenerator[list[Any], None]:
        async with self._db.read() as connection:
            row = await self._sets.dataset(connection, caller, name)
            asked = await self._sets.asked(connection, caller, row)
        count = 0
        async with self._search.asking(caller, "", asked=asked) as (connection, _):
            async for b in self._search.batches(connection, asked):
                count += len(b.ids)
                rows = zip(b.names, b.guids, b.sizes, b.adler32, b.checksums, strict=True)
                yield [Member(lfn.join(b.path, n), g, s, checksums(a, c)) for n, g, s, a, c in rows]
        yield [Tail(count)]

    async def _frozen(self, caller: Caller, name: str) -> AsyncGenerator[list[Any], None]:
        count = hidden = 0
        batch: list[Any] = []
        async with self._db.snapshot() as connection:
            row = await self._sets.snapshot(connection, caller, name)
            sight, keeper = await self._search.preparer.sight(connection, caller), self._sets.keeps(caller, row)
            async for path, guid, size, sums, seen in self._store.files(connection, row["id"], sight, keeper=keeper):
                if not seen:
                    hidden += 1
                    continue
                batch.append(Member(path, guid, size, checksums(None, sums)))
                if len(batch) == _LINES:
                    count += _LINES
                    yield batch
                    batch = []
        yield [*batch, Tail(count + len(batch), hidden)]

    async def diff(self, caller: Caller, old: str, new: str) -> AsyncGenerator[list[Any], None]:
        """Differences by LFN, then a Tail, of what the caller may read. Raises NotFound, Forbidden."""
        count = 0
        batch: list[Any] = []
        async with self._db.snapshot() as connection:
            one = await self._sets.snapshot(connection, caller, old)
            two = await self._sets.snapshot(connection, caller, new)
            sight = await self._search.preparer.sight(connection, caller)
            keeper = self._sets.keeps(caller, one), self._sets.keeps(caller, two)
            async for r in self._store.diff(connection, one["id"], two["id"], sight, keeper=keeper):
                was, now = None, None
                if r["was"]:
                    was = Member(r["lfn"], r["old_guid"], r["old_size"], checksums(None, r["old_checksums"]))
                if r["is"]:
                    now = Member(r["lfn"], r["guid"], r["size"], checksums(None, r["checksums"]))
                change = "added" if was is None else "removed" if now is None else "changed"
                batch.append(Difference(change, r["lfn"], now, was))
                if len(batch) == _LINES:
                    count += _LINES
                    yield batch
                    batch = []
        yield [*batch, Tail(count + len(batch))]

    async def check(self, caller: Caller, name: str) -> AsyncGenerator[list[Any], None]:
        """Findings, then a Tail: files of a snapshot that are not as they were frozen. Raises NotFound, Forbidden."""
        count = 0
        batch: list[Any] = []
        async with self._db.snapshot() as connection:
            row = await self._sets.snapshot(connection, caller, name)
            sight, keeper = await self._search.preparer.sight(connection, caller), self._sets.keeps(caller, row)
            async for r in self._store.findings(connection, row["id"], sight, keeper=keeper):
                fields = [f for f in ("guid", "size", "checksums") if r[f]] if r["there"] else []
                problem = "missing" if not r["there"] else "changed" if fields else "moved"
                now = r["now"] if r["there"] and r["now"] != r["lfn"] else None
                batch.append(Finding(r["lfn"], problem, now, fields))
                if len(batch) == _LINES:
                    count += _LINES
                    yield batch
                    batch = []
        yield [*batch, Tail(count + len(batch))]
