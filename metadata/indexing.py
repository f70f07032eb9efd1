"""Indexes on fields, built and dropped while everybody works. The state in `field` is the wish; this makes it true.

Whatever is killed on the way is taken up again by the worker (or by asking again): who is at it holds a session lock
that ends with the process, and what CREATE INDEX CONCURRENTLY leaves half done is invalid, and dropped by the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import structlog

from catalog.db import now
from lading.model.errors import CatalogError

from .fields_store import FieldsStore
from .index_store import IndexStore, names

if TYPE_CHECKING:
    from catalog.db import Connection, Database

    from .known import Known

_log = structlog.get_logger("lading.metadata")
_PAUSE = 0.2
_LOOK = 30.0


class Indexer:
    def __init__(self, database: Database, known: Known) -> None:
        self._db = database
        self._known = known
        self._fields = FieldsStore()
        self._store = IndexStore()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def settle(self, field_id: int) -> asyncio.Task[None]:
        """Have the indexes of a field made or dropped, as its row says, in the background. Safe to repeat."""
        before = self._tasks.get(field_id)

        async def after() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await self._settle(field_id)
            except CatalogError as error:
                _log.warning("an index waits to be asked for again", field=field_id, error=error.message)

        task = asyncio.create_task(after())
        self._tasks[field_id] = task
        task.add_done_callback(lambda t: self._tasks.pop(field_id, None) if self._tasks.get(field_id) is t else None)
        return task

    async def watch(self) -> None:
        """Take up what was broken off, now and every half minute, until cancelled."""
        while True:
            try:
                await self.resume()
            except CatalogError as error:
                _log.warning("no look at unfinished indexes", error=error.message)
            await asyncio.sleep(_LOOK)

    async def resume(self) -> None:
        """Go on with what should be being built and nobody is at. Safe to repeat, and in any number of processes."""
        async with self._db.read() as connection:
            busy = await self._store.busy(connection)
            wanted = await self._fields.unfinished(connection)
        for field_id in wanted - busy - self._tasks.keys():
            _log.info("an index that was broken off is taken up again", field=field_id)
            self.settle(field_id)

    async def aclose(self) -> None:
        """Stop what is being built: its state stays `building`, and nobody is at it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def states(self, connection: Connection) -> tuple[set[int], dict[int, float]]:
        """(the ids of fields that somebody is building for, {id: how far, 0 to 1})."""
        busy = await self._store.busy(connection)
        rows = await self._store.progress(connection) if busy else []
        parts = {r["name"]: r["part"] for r in rows}
        done: dict[int, float] = {}
        for field_id in busy:
            first, second = names(field_id)
            done[field_id] = round(0.5 + parts[second] / 2 if second in parts else parts.get(first, 0.0) / 2, 3)
        return busy, done

    async def _settle(self, field_id: int) -> None:
        async with self._db.alone() as connection:
            while not await self._store.begin(connection, field_id):  # noqa: ASYNC110  (what we wait for is in another process)
                await asyncio.sleep(_PAUSE)
            wanted = await self._fields.wanted(connection, field_id)
            await self._sweep(connection, field_id)
            if wanted is None or wanted[2] != "building":
                return
            try:
                await self._store.build(connection, field_id, wanted[0], wanted[1])
            except asyncpg.PostgresError as error:
                _log.warning("building an index failed", field=field_id, error=str(error))
                await self._told(connection, field_id, "failed", str(error)[:500])
                return
            await self._told(connection, field_id, "ready", None)

    async def _sweep(self, connection: Connection, field_id: int) -> None:
        """Drop what is half built of this field, and what is left of fields that have no index any more."""
        wanted = await self._fields.indexed(connection)
        for index, valid in (await self._store.found(connection)).items():
            of = int(index.split("_")[1])
            ours = of == field_id
            if (of not in wanted or (ours and not valid)) and (ours or await self._store.begin(connection, of)):
                await self._store.drop(connection, index)

    async def _told(self, connection: Connection, field_id: int, state: str, error: str | None) -> None:
        async with connection.transaction():
            if await self._fields.set_index(connection, field_id, state, now(), error, "building"):
                await self._fields.bump(connection)
                await self._fields.notify(connection)
        self._known.forget()
