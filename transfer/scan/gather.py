"""What both sides say of an element, gathered into sorted runs: the catalogue, the storage, the catalogue again."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from lading.model.errors import InvalidRequest
from lading.model.scan import Progress
from storage_plugins.base import RESERVED
from storage_plugins.errors import StorageError
from transfer.uploads import storage_fault

from . import lines
from .runs import Runs
from .store import ScanStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine

    from catalog.db import Connection, Database
    from catalog.elements.service import Element
    from storage_plugins.base import Element as StorageElement

    from .dump import Dump
    from .store import Take

    Read: TypeAlias = Callable[[Connection, int, str, str, Take], Coroutine[Any, Any, None]]

EVERY = 1.0  # seconds between two signs of life
_BYTES = 1 << 18  # of rows of the catalogue between two turns of the event loop
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
        self.began = self._told = time.monotonic()
        self.runs = Runs()
        self.total: int | None = None
        self.objects = 0
        self.left_out = 0

    async def before(self) -> AsyncIterator[Progress]:
        """The catalogue's places, read before anybody looks at the storage."""
        async for progress in self._catalogue("catalogue before", self._store.claims, lines.BEFORE):
            yield progress

    async def after(self) -> AsyncIterator[Progress]:
        """The catalogue's replicas, read when the storage has been looked at."""
        async for progress in self._catalogue("catalogue after", self._store.replicas, lines.AFTER):
            yield progress

    async def _catalogue(self, phase: str, read: Read, tag: bytes) -> AsyncIterator[Progress]:
        element, store, under = self._element, self._store, self._under
        done = 0

        def take(rows: bytes) -> int:
            found = lines.copied(rows, tag)
            self.runs.add(found)
            return len(found)

        async with self._db.snapshot() as connection:
            self.total = await store.count(connection, element.id)
            rows = _pieces(lambda put: read(connection, element.id, element.prefix, under, put))
            async with aclosing(rows):
                async for some in rows:
                    done += await asyncio.to_thread(take, some)
                    if self._due():
                        yield Progress(phase, done, self.total)
            busy = await store.uploads(connection, element.id, under)
            await asyncio.to_thread(self.runs.add, [lines.mark(p, lines.UPLOAD) for p in busy])
            async for going in store.deletions(connection, element.id, under):
                await asyncio.to_thread(self.runs.add, [lines.mark(p, lines.DELETION) for p in going])

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


async def _pieces(copy: Callable[[Take], Coroutine[Any, Any, None]]) -> AsyncGenerator[bytes, None]:
    """What `copy` puts, cut behind whole rows, while it runs; never more than some pieces ahead."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(8)

    async def work() -> None:
        try:
            await copy(queue.put)
        except Exception:
            await queue.put(None)
            raise  # to who awaits the task
        await queue.put(None)

    task = asyncio.create_task(work())
    held = b""
    try:
        while (piece := await queue.get()) is not None:
            held += piece
            if len(held) >= _BYTES:
                rows, newline, held = held.rpartition(b"\n")
                yield rows + newline
        await task
        if held:
            yield held
    finally:
        task.cancel()
        await asyncio.wait([task])


def scope(element: Element, under: str | None) -> str:
    """The beginning of the PFNs to look at. Raises InvalidRequest for one that can begin none."""
    if under is None:
        return element.prefix
    if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in under):
        raise InvalidRequest(
            "the beginning of PFNs holds no control characters", under=under.encode("unicode_escape").decode()
        )
    return under
