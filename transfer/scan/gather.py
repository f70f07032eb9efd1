"""What both sides say of an element, gathered into sorted runs: the catalogue, the storage, the catalogue again."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from lading.model.errors import InvalidRequest
from lading.model.scan import Progress
from storage_plugins.base import RESERVED
from storage_plugins.errors import StorageError
from transfer.uploads import storage_fault

from . import lines
from .runs import Runs
from .store import ScanStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from catalog.db import Connection, Database
    from catalog.elements.service import Element
    from storage_plugins.base import Element as StorageElement

    from .dump import Dump

EVERY = 1.0  # seconds between two signs of life
_PIECE = 5_000  # objects between two turns of the event loop


class Gathering:
    """One element, or a part of it, as the catalogue and the storage tell of it. `close` gives the disk back.

    The methods yield signs of life as they go; `objects` counts what they have taken in of the storage.
    """

    def __init__(self, database: Database, element: Element, under: str) -> None:
        self._db = database
        self._element = element
        self._under = under
        self._store = ScanStore()
        self._told = time.monotonic()
        self.runs = Runs()
        self.total: int | None = None
        self.objects = 0
        self.left_out = 0

    async def before(self) -> AsyncIterator[Progress]:
        """The catalogue's places, read before anybody looks at the storage."""
        async for progress in self._catalogue("catalogue before", self._claims()):
            yield progress

    async def after(self) -> AsyncIterator[Progress]:
        """The catalogue's replicas, read when the storage has been looked at."""
        async for progress in self._catalogue("catalogue after", self._replicas()):
            yield progress

    async def _catalogue(self, phase: str, found: AsyncIterator[list[bytes]]) -> AsyncIterator[Progress]:
        done = 0
        async for batch in found:
            await asyncio.to_thread(self.runs.add, batch)
            done += len(batch)
            if self._due():
                yield Progress(phase, done, self.total)

    async def _claims(self) -> AsyncIterator[list[bytes]]:
        element, prefix = self._element.id, self._element.prefix
        async with self._db.snapshot() as connection:
            self.total = await self._store.count(connection, element)
            async for places in self._store.claims(connection, element, prefix, self._under):
                yield [lines.mark(p, lines.BEFORE) for p in places]
            async for batch in self._busy(connection):
                yield batch

    async def _replicas(self) -> AsyncIterator[list[bytes]]:
        element, prefix = self._element.id, self._element.prefix
        async with self._db.snapshot() as connection:
            self.total = await self._store.count(connection, element)
            async for rows in self._store.replicas(connection, element, prefix, self._under):
                yield [lines.replica(place, facts) for place, facts in rows]
            async for batch in self._busy(connection):
                yield batch

    async def _busy(self, connection: Connection) -> AsyncIterator[list[bytes]]:
        """What is being written or deleted."""
        store, element, under = self._store, self._element.id, self._under
        yield [lines.mark(p, lines.UPLOAD) for p in await store.uploads(connection, element, under)]
        async for places in store.deletions(connection, element, under):
            yield [lines.mark(p, lines.DELETION) for p in places]

    async def storage(self, storage: StorageElement) -> AsyncIterator[Progress]:
        """All complete objects of the storage. Raises Unavailable and others when any of it can't be looked into."""
        batch: list[bytes] = []
        try:
            async with aclosing(storage.scan(self._under)) as entries:
                async for entry in entries:
                    if entry.pfn.startswith(RESERVED):
                        continue
                    name = entry.pfn.encode("utf-8", "surrogateescape")
                    batch.append(lines.object_line(name, entry.size, entry.mtime_us))
                    if len(batch) == _PIECE:
                        self.objects += len(batch)
                        await asyncio.to_thread(self.runs.add, batch)
                        batch = []
                        if self._due():
                            yield Progress("storage", self.objects, self.total)
        except StorageError as error:
            fault = storage_fault(error, self._element.name)
            fault.message = f"the scan broke off after {self.objects + len(batch)} objects: {fault.message}"
            raise fault from error
        self.objects += len(batch)
        await asyncio.to_thread(self.runs.add, batch)

    async def dump(self, dump: Dump, pieces: AsyncIterable[bytes]) -> None:
        """All objects of a dump. Raises InvalidRequest naming the line that is wrong."""

        def take(piece: bytes | None) -> int:
            found = dump.finish() if piece is None else dump.feed(piece)
            self.runs.add(found)
            return len(found)

        async for piece in pieces:
            self.objects += await asyncio.to_thread(take, piece)
        self.objects += await asyncio.to_thread(take, None)
        self.left_out = dump.left_out

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._told < EVERY:
            return False
        self._told = now
        return True

    async def close(self) -> None:
        await asyncio.to_thread(self.runs.close)


def scope(element: Element, under: str | None) -> str:
    """The beginning of the PFNs to look at. Raises InvalidRequest for one that can begin none."""
    if under is None:
        return element.prefix
    if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in under):
        raise InvalidRequest(
            "the beginning of PFNs holds no control characters", under=under.encode("unicode_escape").decode()
        )
    return under
