"""One more copy of a file, made now: the primitive that transfers are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.namespace.service import outcomes
from lading.model import lfn
from lading.model.api import NewUpload, Resolve
from lading.model.errors import CatalogError, InvalidRequest, NotFound, Unavailable
from lading.model.replica import Copy, Resolved, Source
from storage_plugins.errors import StorageError

from .tape import at_hand
from .uploads import Ticket, Uploads, storage_fault
from .ways import carry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.elements.service import ElementsService
    from catalog.replicas.resolve import Resolver
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller
    from storage_plugins.base import Element as StorageElement


class Copier:
    def __init__(self, resolver: Resolver, elements: ElementsService, uploads: Uploads) -> None:
        self._resolver = resolver
        self._elements = elements
        self._uploads = uploads

    async def copy(self, caller: Caller, copies: Sequence[Copy]) -> Outcomes[Source]:
        """Copy each file to another element; a copy that is there already is a success, unchanged.

        The copy is verified against the catalogue before it shows. Needs the rights to read and to write the file.
        Outcome errors: NotFound, Forbidden, Unavailable (no source can be read, the element takes no writes),
        QuotaExceeded.
        """
        results: list[Any] = []
        changed: list[bool] = []
        for order in copies:  # one after the other: each moves bytes, and the caller waits
            try:
                source, new = await self._copy(caller, order)
                results.append(source)
                changed.append(new)
            except CatalogError as error:
                results.append(error)
                changed.append(False)
        done = outcomes([c.lfn for c in copies], results)
        for outcome, new in zip(done.outcomes, changed, strict=True):
            outcome.changed = new
        return done

    async def _copy(self, caller: Caller, order: Copy) -> tuple[Source, bool]:
        body = Resolve([order.lfn], None, [order.source] if order.source else [])
        file = (await self._resolver.resolve(caller, body)).outcomes[0].get()
        assert file is not None
        spec = NewUpload(order.lfn, -1 if file.size is None else file.size, file.checksums, order.to, file.guid)
        ticket = await self._uploads.begin(caller, spec)
        if ticket.known is None:
            await self._uploads.abandon(ticket)
            raise NotFound(f"'{lfn.shown(order.lfn)}' does not exist any more", lfn=order.lfn)
        target = Source(ticket.element.name, ticket.pfn, site=ticket.element.site)
        if ticket.there:
            return target, False
        sources = [s for s in file.sources if s.se != ticket.element.name]
        try:
            async with self._uploads.alive(ticket):
                size = await self._from_any(ticket, file, sources)
        except BaseException:
            await self._uploads.abandon(ticket)
            raise
        await self._uploads.finish(caller, ticket, size, file.checksums)
        return target, True

    async def _from_any(self, ticket: Ticket, file: Resolved, sources: Sequence[Source]) -> int:
        """Copy from the first source that gives good bytes; the size. Raises Unavailable with every source's fault."""
        there = await self._elements.storage(ticket.element)
        faults = [file.why] if file.why else []
        for source in sources:
            try:
                storage = await self._elements.storage(self._elements.named(source.se))
                return await self._one(ticket, file, source, storage, there)
            except StorageError as error:
                faults.append(f"from '{source.se}': {storage_fault(error, source.se).message}")
            except (InvalidRequest, Unavailable) as error:  # it can't be opened
                faults.append(f"from '{source.se}': {error.message}")
        reasons = "; ".join(faults) or "it has no other replica"
        raise Unavailable(
            f"'{lfn.shown(ticket.lfn)}' can't be copied to '{ticket.element.name}': {reasons}", lfn=ticket.lfn
        )

    async def _one(
        self, ticket: Ticket, file: Resolved, source: Source, storage: StorageElement, there: StorageElement
    ) -> int:
        again = ticket.replaces or not ticket.stored
        await at_hand(storage, source.pfn)
        info, _ = await carry(
            storage, source.pfn, there, ticket.pfn, size=file.size, checksums=file.checksums, overwrite=again
        )
        return info.size
