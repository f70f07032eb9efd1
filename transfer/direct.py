"""Uploads by clients that reach the element themselves: they write to a staging place, the server verifies and shows
it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.db import now
from lading.model.api import Complete, NewUpload, Upload
from lading.model.errors import Conflict, InvalidRequest
from lading.model.file import Registered
from storage_plugins.errors import ObjectNotFound, StorageError
from storage_plugins.powers import LocalUploads, supports

from .data import DEFAULT_CHECKSUM
from .uploads import Uploads, checked, storage_fault

if TYPE_CHECKING:
    from catalog.elements.service import ElementsService
    from lading.model.principal import Caller

LEASE = 6 * 3600  # seconds: nobody tells us how far the client is


class DirectUploads:
    def __init__(self, elements: ElementsService, uploads: Uploads) -> None:
        self._elements = elements
        self._uploads = uploads

    async def begin(self, caller: Caller, spec: NewUpload) -> Upload:
        """Where to write the bytes. Without a `url` the element can't take them so: PUT /v1/data.

        Raises Conflict when the element has this file already, and what `Uploads.begin` raises.
        """
        ticket = await self._uploads.begin(caller, spec, lease=LEASE)
        if ticket.there:
            raise Conflict(f"element '{ticket.element.name}' has this file already", element=ticket.element.name)
        storage = await self._elements.storage(ticket.element)
        url = None
        try:
            if supports(storage, LocalUploads):
                url = await storage.local_upload(ticket.id)
        except StorageError as error:
            await self._uploads.abandon(ticket)
            raise storage_fault(error, ticket.element.name) from error
        if url is None:
            await self._uploads.abandon(ticket)
        return Upload(ticket.id, ticket.element.name, now() + LEASE * 1_000_000, url)

    async def complete(self, caller: Caller, upload: str, body: Complete) -> Registered:
        """Read what was written, compare it with what was promised, show it, register it. The client then sees the
        file.

        Raises NotFound (no such upload), InvalidRequest (nothing written, other bytes), Conflict, Unavailable.
        """
        ticket = await self._uploads.resume(caller, upload)
        wanted = {**ticket.spec.checksums, **checked(body.checksums), **ticket.known_sums()}
        storage = await self._elements.storage(ticket.element)
        if not supports(storage, LocalUploads):
            raise InvalidRequest("this element takes no direct uploads any more: put the file through the server")
        kinds = tuple(wanted) or (DEFAULT_CHECKSUM,)
        try:
            async with self._uploads.alive(ticket):
                info = await storage.finish_local_upload(
                    ticket.id,
                    ticket.pfn,
                    size=ticket.spec.size,
                    overwrite=ticket.replaces or not ticket.stored,
                    checksums=wanted,
                    kinds=kinds,
                )
        except ObjectNotFound as error:
            raise InvalidRequest("nothing was written to the upload's url: write the bytes first") from error
        except StorageError as error:
            raise storage_fault(error, ticket.element.name) from error
        return await self._uploads.finish(caller, ticket, info.size, info.checksums)

    async def abort(self, caller: Caller, upload: str) -> None:
        """Give up; safe to repeat after an error. Raises NotFound."""
        ticket = await self._uploads.resume(caller, upload)
        storage = await self._elements.storage(ticket.element)
        if supports(storage, LocalUploads):
            try:
                await storage.abort_local_upload(ticket.id)
            except StorageError as error:
                raise storage_fault(error, ticket.element.name) from error
        await self._uploads.abandon(ticket)
