"""What the worker does all day: ended uploads, queued deletions, expired trash. Every step can be killed and done
again."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import structlog

from catalog.db import now
from catalog.elements.layout import implied
from catalog.namespace.frozen import Frozen
from catalog.replicas.store import ReplicasStore
from lading.model.errors import CatalogError
from lading.model.principal import SYSTEM
from storage_plugins.errors import ObjectNotFound, StorageError
from storage_plugins.powers import KeepsStaging, WritesParts, supports

from .parts import OLD
from .parts_store import PartsStore
from .store import TransferStore

if TYPE_CHECKING:
    import asyncpg

    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import Element, ElementsService

_log = structlog.get_logger("lading.cleaner")
BATCH = 1000
_PAUSE = 5.0
_STAGING_AGE = 86_400_000_000  # a write that nobody added to for a day is dead
_HOUR = 3600.0
_DAY = 86_400_000_000


class Cleaner:
    """Any number may run, on any host: they skip what another is at."""

    def __init__(self, database: Database, elements: ElementsService) -> None:
        self._db = database
        self._elements = elements
        self._store = TransferStore()
        self._parts = PartsStore()
        self._replicas = ReplicasStore()
        self._frozen = Frozen()
        self._swept = 0.0

    async def run(self) -> None:
        """Clean until cancelled. Faults are logged, and tried again."""
        while True:
            try:
                busy = await self.step()
            except CatalogError as error:
                _log.warning("cleaner waits", error=error.message)
                busy = False
            except Exception:
                _log.exception("cleaner failed")
                busy = False
            if not busy:
                await asyncio.sleep(_PAUSE * random.uniform(0.8, 1.2))  # noqa: S311  (spreads workers, guards nothing)

    async def step(self) -> bool:
        """One round over everything; True when there may be more to do at once."""
        await self._elements.load()
        more = await self._empty_trash()
        async with self._db.read() as connection:
            waiting = await self._store.elements_with_work(connection, now())
        for element_id in waiting:
            element = self._elements.by_id(element_id)
            if element is not None and element.deletable and not element.placeholder:
                more |= await self._clean(element)
        if time.monotonic() - self._swept > _HOUR:
            self._swept = time.monotonic()
            await self._sweep()
        return more

    # ── on storage ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _clean(self, element: Element) -> bool:
        ended = await self._end_upload(element)
        deleted = await self._delete(element)
        return ended or deleted

    async def _end_upload(self, element: Element) -> bool:
        """Take the object of one upload that was given up, then its row. False when there is none, or not now."""
        async with self._db.read() as connection, connection.transaction():
            row = await self._store.expired_upload(connection, now(), [element.id])
            if row is None:
                return False
            place = (row["explicit"] or implied(element, row["guid"])) if row["registered"] else None
            if row["pfn"] != place:
                fault = await self._take(element, row["pfn"])
                if fault:
                    await self._store.extend_upload(connection, row["id"], now() + 600_000_000)
                    _log.warning("upload not cleaned", element=element.name, error=fault)
                    return False
            await self._store.remove_upload(connection, row["id"])
            _log.info("upload cleaned", element=element.name, upload=row["id"])
            return True

    async def _delete(self, element: Element) -> bool:
        """Delete due objects. The rows stay locked meanwhile: who wants such an object again waits for us, then writes
        it anew."""
        async with self._db.read() as connection, connection.transaction():
            rows = await self._store.due_deletions(connection, now(), element.id, 100)
            if not rows:
                return False
            limit = asyncio.Semaphore(8)

            async def one(row: asyncpg.Record) -> str | None:
                async with limit:
                    return await self._take(element, row["pfn"])

            faults = await asyncio.gather(*(one(r) for r in rows))
            done = [r["id"] for r, fault in zip(rows, faults, strict=True) if fault is None]
            await self._store.deletions_done(connection, done)
            failed = [
                (r["id"], fault, now() + _backoff(r["attempts"]))
                for r, fault in zip(rows, faults, strict=True)
                if fault
            ]
            if failed:
                await self._store.deletions_failed(connection, failed)
                _log.warning("deletions failed", element=element.name, count=len(failed), error=failed[0][1])
        return bool(done)

    async def _take(self, element: Element, pfn: str) -> str | None:
        """Remove an object; None when it is gone, else why not."""
        try:
            await (await self._elements.storage(element)).remove(pfn)
        except ObjectNotFound:
            return None
        except (StorageError, CatalogError) as error:
            return error.message
        return None

    async def _sweep(self) -> None:
        """Hourly: what dead writers left in staging areas, and old records."""
        for element in list(self._elements.every()):
            if not element.deletable or element.placeholder:
                continue
            try:
                storage = await self._elements.storage(element)
                if supports(storage, KeepsStaging):
                    taken = await storage.clean_staging(_STAGING_AGE)
                    if taken:
                        _log.info("staging cleaned", element=element.name, count=taken)
            except (StorageError, CatalogError) as error:
                _log.warning("staging not cleaned", element=element.name, error=error.message)
        await self._give_up_parts()
        async with self._db.read(wide=True) as connection:
            await self._store.forget_old(connection, now())

    async def _give_up_parts(self) -> None:
        """Large objects that no transfer has gone on with for a day."""
        async with self._db.read() as connection:
            rows = await self._parts.old(connection, now() - OLD, BATCH)
        given_up = []
        for row in rows:
            element = self._elements.by_id(row["se_id"])
            if element is not None and (not element.deletable or element.placeholder):
                continue
            try:
                storage = None if element is None else await self._elements.storage(element)
                if storage is not None and supports(storage, WritesParts):
                    await storage.abort_parts(row["pfn"], row["token"])
                given_up.append((row["se_id"], row["pfn"], row["token"]))
            except (StorageError, CatalogError) as error:
                _log.warning("parts not cleaned", element=row["se_id"], error=error.message)
        async with self._db.read() as connection:
            await self._parts.forget_all(connection, given_up)

    # ── in the catalogue ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _empty_trash(self) -> bool:
        """One batch of one expired item: its files leave the catalogue, and their objects are queued for deletion."""

        async def work(tx: Transaction) -> bool:
            item = await self._store.expired_trash(tx.connection, tx.at)
            if item is None:
                return False
            entry, path = item["entry_id"], f"T/{item['entry_id']}"
            directory = item["kind"] == 1
            rows = await (
                self._store.files_below(tx.connection, path, BATCH)
                if directory
                else self._store.file(tx.connection, entry)
            )
            if await self._frozen.needed(tx.connection, [r["id"] for r in rows], (r["dir_id"] for r in rows)):
                # Removal refuses such files: they are here because somebody wrote to the tables.
                await self._store.postpone_item(tx.connection, entry, tx.at + _DAY)
                _log.error("a snapshot needs files of the trash: not emptied", item=entry, lfn=item["path"])
                return True
            await self._forget(tx.connection, rows, path, item["path"])
            if len(rows) < BATCH or not directory:
                await self._store.forget_tree(tx.connection, entry, path)
                await self._store.forget_item(tx.connection, entry)
                tx.audit([item["path"]])
            return True

        return await self._db.change(SYSTEM, "expire", work, wide=True)

    async def _forget(self, connection: Connection, rows: Any, top: str, was: str) -> None:
        """Queue the objects of files for deletion, and forget the files; what is at `top` in the trash was at `was`."""
        objects = []
        for row in rows:
            lfn = was if row["path"] == "T" else f"{was}{row['path'][len(top) :]}/{row['name']}"
            for se_id in row["se"]:
                element = self._elements.by_id(se_id)
                explicit = (row["pfn"] or {}).get(str(se_id))
                pfn = explicit or (implied(element, row["guid"]) if element else None)
                if pfn is not None:
                    objects.append((se_id, pfn, row["size"], lfn))
        await self._replicas.queue_deletions(connection, objects, now())
        if rows:
            await self._store.forget_files(connection, [r["id"] for r in rows])


def _backoff(attempts: int) -> int:
    """Microseconds to wait after so many failures: from half a minute to a day, with jitter."""
    return int(min(30 * 2**attempts, 86_400) * 1_000_000 * random.uniform(0.5, 1.5))  # noqa: S311  (as above)
