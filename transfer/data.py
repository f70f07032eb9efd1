"""Bytes through the server: one file read from its best replica, one file written to an element."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import structlog

from lading.model import lfn
from lading.model.api import NewUpload, Resolve
from lading.model.checksum import differing
from lading.model.errors import CatalogError, Conflict, Unavailable
from lading.model.file import Registered
from lading.model.principal import SYSTEM
from lading.model.replica import ReplicaRef, ReplicaState, Resolved, Source
from storage_plugins.chunks import CheckedChunks
from storage_plugins.errors import ChecksumMismatch, ObjectNotFound, StorageError
from storage_plugins.powers import LocalFiles, supports

from .tape import at_hand
from .uploads import Ticket, Uploads, storage_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from catalog.elements.service import ElementsService
    from catalog.replicas.changes import ReplicaChanges
    from catalog.replicas.resolve import Resolver
    from lading.model.principal import Caller
    from storage_plugins.base import Chunk
    from storage_plugins.base import Element as StorageElement

_log = structlog.get_logger("lading.data")
DEFAULT_CHECKSUM = "adler32"  # the grid's; 2.6 GB/s a core


@dataclass(slots=True)
class Reading:
    """A file opened for reading: `local` when its bytes are a file of this host, else read from `storage` at
    `source.pfn`."""

    lfn: str
    file: Resolved
    source: Source
    storage: StorageElement
    size: int
    local: BinaryIO | None = None

    def chunks(self, start: int, stop: int) -> AsyncGenerator[Chunk, None]:
        """The bytes of a span. Raises StorageError."""
        return self.storage.read(self.source.pfn, start, stop)


class _OtherObject(StorageError):
    """What lies there is not the file."""


class DataService:
    def __init__(
        self, resolver: Resolver, elements: ElementsService, changes: ReplicaChanges, uploads: Uploads
    ) -> None:
        self._resolver = resolver
        self._elements = elements
        self._changes = changes
        self._uploads = uploads

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, caller: Caller, text: str, *, site: str | None = None, element: str | None = None) -> Reading:
        """Open the best replica that answers; one whose object is gone is marked suspect and the next is tried.

        Raises NotFound, Forbidden, InvalidRequest (a directory), Unavailable (no replica can be read now: it says why).
        """
        body = Resolve([text], site, [element] if element else [])
        file = (await self._resolver.resolve(caller, body)).outcomes[0].get()
        assert file is not None
        faults = [file.why] if file.why and not file.sources else []
        lost = 0
        for source in file.sources:
            try:
                storage = await self._elements.storage(self._elements.named(source.se))
                return await self._open(text, file, source, storage)
            except ObjectNotFound:
                lost += 1
                faults.append(f"element '{source.se}' does not have the object")
                await self._suspect(text, source, "the object was not found")
            except _OtherObject as error:
                lost += 1
                faults.append(f"element '{source.se}': {error.message}")
            except StorageError as error:
                faults.append(storage_fault(error, source.se).message)
            except CatalogError as error:  # it can't be opened: options, its extra, the key of its secrets
                faults.append(error.message)
        now = "" if lost and lost == len(file.sources) else " now"
        unreadable = Unavailable(f"'{lfn.shown(text)}' can't be read{now}: {'; '.join(faults)}", lfn=text)
        unreadable.retryable = bool(now)  # what every element has lost does not come back by waiting
        raise unreadable

    async def _open(self, text: str, file: Resolved, source: Source, storage: StorageElement) -> Reading:
        info = await storage.stat(source.pfn)
        await at_hand(storage, source.pfn)
        if file.size is not None and info.size != file.size:
            await self._suspect(text, source, f"the object has {info.size} bytes, not {file.size}")
            raise _OtherObject(f"the object has {info.size} bytes, not {file.size}", pfn=source.pfn)
        # A limit on the element is kept by `read`; an open file would be read past it.
        element = self._elements.named(source.se)
        limited = element.max_connections is not None or element.max_rate is not None
        local = await storage.open_local(source.pfn) if supports(storage, LocalFiles) and not limited else None
        return Reading(text, file, source, storage, info.size, local)

    async def _suspect(self, text: str, source: Source, why: str) -> None:
        if source.state is ReplicaState.SUSPECT:
            return
        _log.warning("replica suspect", lfn=lfn.shown(text), element=source.se, why=why)
        with contextlib.suppress(CatalogError):
            await self._changes.set_state(SYSTEM, [ReplicaRef(text, source.se, state=ReplicaState.SUSPECT, note=why)])

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put(
        self,
        caller: Caller,
        spec: NewUpload,
        chunks: AsyncIterable[Chunk],
        *,
        kinds: tuple[str, ...] = (DEFAULT_CHECKSUM,),
    ) -> tuple[Registered, bool, str]:
        """Store a stream on an element and register it; (the file, was it new there, the element). `spec.size` -1:
        unknown.

        All or nothing: the file shows when its bytes are on storage and equal `spec.size` and `spec.checksums`. The
        same file again is a success. Raises Conflict (other content), InvalidRequest (bytes not as promised),
        QuotaExceeded, Unavailable; after any of them nothing is left, and a put that was killed is cleaned up after its
        lease.
        """
        ticket = await self._uploads.begin(caller, spec)
        wanted = tuple(dict.fromkeys((*kinds, *spec.checksums)))
        if ticket.there:
            return await self._compare(ticket, chunks), False, ticket.element.name
        try:
            async with self._uploads.alive(ticket):
                storage = await self._elements.storage(ticket.element)
                size, sums = await self._write(storage, ticket, chunks, wanted)
        except StorageError as error:
            await self._uploads.abandon(ticket)
            raise storage_fault(error, ticket.element.name) from error
        except BaseException:  # the client went away, or the server is stopping: what was written is nobody's
            await asyncio.shield(self._uploads.abandon(ticket))
            raise
        return await self._uploads.finish(caller, ticket, size, sums), True, ticket.element.name

    async def _write(
        self, storage: StorageElement, ticket: Ticket, chunks: AsyncIterable[Chunk], kinds: tuple[str, ...]
    ) -> tuple[int, dict[str, str]]:
        """(size, checksums) of what is stored now. Raises StorageError, Conflict (a known file has other bytes)."""
        spec = ticket.spec
        again = ticket.replaces or not ticket.stored  # a PFN made of the GUID is nobody else's
        size = spec.size if spec.size >= 0 else ticket.known.row["size"] if ticket.known else None
        expected = spec.checksums | ticket.known_sums()
        checked = CheckedChunks(chunks, kinds, size=size, expected=expected, pfn=ticket.pfn)
        try:
            await storage.write(ticket.pfn, checked, size=size, overwrite=again)
        except ChecksumMismatch as error:
            if ticket.known:
                raise Conflict(
                    f"'{lfn.shown(ticket.lfn)}' exists already with other content", lfn=ticket.lfn
                ) from error
            raise
        return checked.size, checked.checksums

    async def _compare(self, ticket: Ticket, chunks: AsyncIterable[Chunk]) -> Registered:
        """The element has this file: read the stream, and say whether it is the same. Raises Conflict."""
        assert ticket.known is not None
        row, known = ticket.known.row, ticket.known_sums()
        checked = CheckedChunks(chunks, known)
        async for _ in checked:
            pass
        if row["size"] not in (None, checked.size) or differing(known, checked.checksums):
            raise Conflict(f"'{lfn.shown(ticket.lfn)}' exists already with other content", lfn=ticket.lfn)
        return Registered(row["guid"])
