"""Metadata that storages keep beside their objects (iRODS AVUs, Girder metadata, S3 tags), taken over in both
directions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from catalog.access.rights import require_admin
from catalog.namespace.service import outcomes
from lading.model import lfn
from lading.model.api import Names, Resolve
from lading.model.errors import CatalogError, InvalidRequest, Unavailable
from lading.model.file import Kind
from lading.model.metadata import Mirrored, NameValues, SetMetadata
from lading.model.typed import text, typed
from storage_plugins.errors import StorageError
from storage_plugins.powers import KeepsMetadata, supports

from .uploads import storage_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.db import Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.replicas.resolve import Resolver
    from lading.model.metadata import Described, MirrorMetadata
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller
    from metadata.fields import Fields
    from metadata.values import Values

_AT_ONCE = 8


class Mirror:
    """Values travel as texts: what is a text as it is, all else as JSON."""

    def __init__(
        self, database: Database, resolver: Resolver, elements: ElementsService, fields: Fields, values: Values
    ) -> None:
        self._db = database
        self._resolver = resolver
        self._elements = elements
        self._fields = fields
        self._values = values

    async def mirror(self, caller: Caller, body: MirrorMetadata) -> Outcomes[Mirrored]:
        """Out: what holds for each file, inherited values included, is set on its object; declared fields that have no
        value are taken away there, other keys of the storage stay. Back: keys that are declared fields are set on the
        file; the rest is told of. Safe to repeat.

        Raises InvalidRequest when the element keeps no metadata, Unavailable when it is away. Outcome errors: what
        resolving, and setting values, can have; Unavailable for the storage's own.
        """
        require_admin(caller.principal)
        await self._elements.load()
        storage = await self._elements.storage(self._elements.named(body.se))
        if not supports(storage, KeepsMetadata):
            raise InvalidRequest(f"element '{body.se}' keeps no metadata: see 'lading se show'", element=body.se)
        declared = await self._declared(caller)
        described = await self._values.get(caller, Names(body.lfns))
        resolved = await self._resolver.resolve(caller, Resolve(body.lfns, None, [body.se]))
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(place: Any, known: Described | None) -> Mirrored:
            found = place.get()
            if known is None or known.kind is not Kind.FILE or not found.sources:
                raise Unavailable(f"it can't be read on '{body.se}': {found.why or 'it is no file'}", lfn=place.item)
            fields, pfn = declared.get(lfn.parse(known.lfn).split("/")[1], {}), found.sources[0].pfn
            async with turns:
                try:
                    if body.back:
                        return _taken(await storage.get_metadata(pfn), fields)
                    values = {key: text(value) for key, value in known.values.items()}
                    if not body.dry_run:
                        await storage.set_metadata(pfn, {**dict.fromkeys(fields), **values})
                    return Mirrored(values)
                except StorageError as error:
                    raise storage_fault(error, body.se) from error

        work = [one(place, known.value) for place, known in zip(resolved.outcomes, described.outcomes, strict=True)]
        results = await asyncio.gather(*work, return_exceptions=True)
        for fault in results:
            if isinstance(fault, BaseException) and not isinstance(fault, CatalogError):
                raise fault
        if body.back:
            await self._set(caller, body, declared, results)
        else:
            await self._record(caller, body, results)
        done: Outcomes[Mirrored] = outcomes(body.lfns, results)
        done.dry_run = body.dry_run
        return done

    async def _set(
        self, caller: Caller, body: MirrorMetadata, declared: Mapping[str, Mapping[str, str]], results: list[Any]
    ) -> None:
        """Set what storages had; what can't be set takes the place of its result."""
        items = []
        places = []
        for at, (name, found) in enumerate(zip(body.lfns, results, strict=True)):
            if isinstance(found, Mirrored) and found.values:
                fields = declared[lfn.parse(name).split("/")[1]]
                items.append(NameValues(name, {key: typed(fields[key], value) for key, value in found.values.items()}))
                places.append(at)
        if items:
            done = await self._values.set(caller, SetMetadata(items, dry_run=body.dry_run))
            for at, outcome in zip(places, done.outcomes, strict=True):
                try:
                    outcome.get()
                except CatalogError as error:
                    results[at] = error

    async def _record(self, caller: Caller, body: MirrorMetadata, results: list[Any]) -> None:
        set_on = [name for name, found in zip(body.lfns, results, strict=True) if isinstance(found, Mirrored)]

        async def work(tx: Transaction) -> None:
            tx.audit(set_on, se=body.se)

        if set_on:
            await self._db.change(caller, "metadata.mirror", work, dry_run=body.dry_run)

    async def _declared(self, caller: Caller) -> dict[str, dict[str, str]]:
        """{VO: {field: its type}}."""
        found: dict[str, dict[str, str]] = {}
        for field in await self._fields.every(caller, None):
            found.setdefault(field.vo, {})[field.name] = field.type.value
        return found


def _taken(pairs: Mapping[str, str], fields: Mapping[str, str]) -> Mirrored:
    return Mirrored({k: v for k, v in pairs.items() if k in fields}, sorted(k for k in pairs if k not in fields))
