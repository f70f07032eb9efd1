"""What lies on an element taken into the catalogue, a thousand objects at a time."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from catalog.access.rights import require_admin
from catalog.db import now
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, InvalidRequest, Unavailable
from lading.model.file import FileSpec, ReplicaSpec
from lading.model.scan import Adopted, AdoptLine, AdoptSummary, Progress, ScanSummary, Skipped
from storage_plugins.errors import ObjectNotFound, StorageError
from storage_plugins.powers import Checksums, supports
from transfer.uploads import storage_fault

from .gather import Gathering, scope
from .lines import told, unkey
from .looks import AT_ONCE, looked
from .merge import FOUND, findings
from .store import ScanStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from catalog.db import Database
    from catalog.elements.service import Element, ElementsService
    from catalog.replicas.register import Registrar
    from lading.model.principal import Caller
    from lading.model.scan import Adopt
    from storage_plugins.base import Element as StorageElement

    from .compare import Found

_SECOND = 1_000_000
_KIND = "adler32"


class Adopter:
    def __init__(self, database: Database, elements: ElementsService, registrar: Registrar) -> None:
        self._db = database
        self._elements = elements
        self._registrar = registrar
        self._store = ScanStore()

    async def adopt(self, caller: Caller, name: str, order: Adopt) -> AsyncGenerator[list[AdoptLine], None]:
        """Register every object below `under` that the catalogue has no replica of. Nothing on storage is touched.

        The whole is listed before anything is registered, in batches that each are whole or not at all; so a run that
        was broken off is gone on with by another. Raises Forbidden, NotFound (element), InvalidRequest (the LFN),
        Unavailable (closed to reading, away, a part can't be looked into), Conflict (another is at it).
        """
        require_admin(caller.principal)
        await self._elements.load()
        element = self._elements.named(name)
        if not element.readable:
            raise Unavailable(element.why_not("read"), element=element.name)
        to = lfn.parse(order.to)
        under = scope(element, order.under)
        storage = await self._elements.storage(element)
        began, cutoff = time.monotonic(), now() - order.grace * _SECOND
        summary, seen = AdoptSummary(element.name, dry_run=order.dry_run), ScanSummary(element.name)
        gathering = Gathering(self._db, element, under)
        async with self._db.alone() as connection:  # which holds the lock
            if not await self._store.lock(connection, element.id):
                raise Conflict(f"another adopts or deletes on '{element.name}': wait for its end", element=element.name)
            try:
                async for progress in gathering.storage(storage):
                    yield [progress]
                async for progress in gathering.after():
                    yield [progress]
                async with aclosing(findings(gathering.runs, cutoff, seen)) as found:
                    async for some in found:
                        if isinstance(some, Progress):
                            yield [some]
                            continue
                        specs = [_spec(element, (under, to), f) for f in some if f.kind == "dark"]
                        step = AT_ONCE if order.checksums == "computed" else FOUND  # reading takes long
                        for at in range(0, len(specs), step):
                            lines = await self._register(caller, element, storage, order, specs[at : at + step])
                            _count(summary, lines)
                            yield lines
            finally:
                await gathering.close()
        summary.objects, summary.young = seen.objects, seen.young
        summary.in_flight = seen.in_flight + seen.going
        summary.known = seen.objects - summary.adopted - summary.skipped - summary.young - summary.in_flight
        summary.seconds = round(time.monotonic() - began, 3)
        yield [summary]

    async def _register(
        self, caller: Caller, element: Element, storage: StorageElement, order: Adopt, specs: list[FileSpec | Skipped]
    ) -> list[AdoptLine]:
        if order.checksums != "none":
            specs = await looked(_told(storage, element, s, order.checksums == "computed") for s in specs)
        good = [s for s in specs if isinstance(s, FileSpec)]
        plain = replace(caller, idempotency=None)  # its key is for the whole call
        outcomes = iter((await self._registrar.register(plain, good, dry_run=order.dry_run)).outcomes if good else [])
        lines: list[AdoptLine] = []
        for spec in specs:
            if isinstance(spec, Skipped):
                lines.append(spec)
                continue
            pfn, fault = spec.replicas[0].pfn or "", next(outcomes).error
            done = Adopted(pfn, spec.lfn, spec.size)
            lines.append(Skipped(pfn, fault.code, fault.message, spec.lfn) if fault else done)
        return lines


def _spec(element: Element, places: tuple[str, str], found: Found) -> FileSpec | Skipped:
    """The file that an object becomes."""
    raw, thing = unkey(found.key), found.object
    assert thing is not None
    under, to = places
    pfn, escaped = told(raw)
    if escaped is not None:
        return Skipped(pfn, InvalidRequest.code, "its name is not UTF-8", raw=escaped)
    rest = pfn.removeprefix(under).lstrip("/")
    if not rest:
        return Skipped(pfn, InvalidRequest.code, "no name is left of it below 'under'")
    spec = FileSpec(f"{to.rstrip('/')}/{rest}", thing.size, replicas=[ReplicaSpec(element.name, pfn)])
    spec.mtime = thing.mtime
    return spec


async def _told(
    storage: StorageElement, element: Element, spec: FileSpec | Skipped, compute: bool
) -> FileSpec | Skipped:
    """With the checksums that the storage knows, or can compute. Skipped when it is gone or has changed."""
    if isinstance(spec, Skipped):
        return spec
    pfn = spec.replicas[0].pfn or ""
    try:
        info = await storage.stat(pfn)
        spec.checksums = dict(info.checksums)
        if compute and _KIND not in spec.checksums and supports(storage, Checksums):
            spec.checksums |= await storage.checksum(pfn, [_KIND])
    except ObjectNotFound:
        return Skipped(pfn, "not_found", "the object is no more", spec.lfn)
    except StorageError as error:
        fault: CatalogError = storage_fault(error, element.name)
        return Skipped(pfn, fault.code, fault.message, spec.lfn)
    if info.size != spec.size:
        return Skipped(pfn, "conflict", "the object has changed since it was listed", spec.lfn)
    return spec


def _count(summary: AdoptSummary, lines: Sequence[AdoptLine]) -> None:
    for line in lines:
        if isinstance(line, Adopted):
            summary.adopted += 1
            summary.bytes += line.size
        else:
            summary.skipped += 1
