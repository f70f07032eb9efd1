"""Snapshots: what a data set held when it was frozen, as an immutable numbered list with a hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from catalog.db import LostRace
from catalog.namespace.service import checksums
from lading.model import lfn
from lading.model.dataset import Broken, Snapshot, SnapshotState, merged
from lading.model.errors import Conflict, InvalidRequest
from lading.model.outcome import Page

from .clock import Clock, TooSlow
from .datasets import on_elements
from .search import too_slow
from .search_store import SearchStore
from .snapshots_store import SnapshotsStore

if TYPE_CHECKING:
    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.dataset import Freeze, SnapshotChange
    from lading.model.principal import Caller

    from .members import Sets
    from .search import SearchService
    from .search_store import Batch

_PART_FILES = 20_000
_SECONDS = 600.0
_ATTEMPTS = 4  # the number of the last one: see `catalog.db.Database.change`


class Snapshots:
    def __init__(
        self,
        database: Database,
        names: NamespaceService,
        access: AccessService,
        elements: ElementsService,
        search: SearchService,
        sets: Sets,
    ) -> None:
        self._db = database
        self._names = names
        self._access = access
        self._elements = elements
        self._search = search
        self._sets = sets
        self._store = SnapshotsStore()

    async def freeze(self, caller: Caller, body: Freeze) -> Snapshot:
        """Write down what is in a data set now, as the caller sees it: one transaction, in constant memory.

        All is read from one state of the catalogue while others move and remove files. What went meanwhile is taken out
        of the list before it counts, and only for that last look must who moves or removes files in the set's VO wait.
        From then on its files are not removed but by force, until it is released. Raises NotFound, Forbidden, what the
        query does, Unavailable, Conflict (files went to other VOs, again and again).
        """

        async def work(tx: Transaction) -> Snapshot:
            row = await self._sets.dataset(tx.connection, caller, body.name, change=True)
            await self._store.patient(tx.connection)
            made = row["id"], caller.principal.id, tx.at, body.note, merged({}, body.annotations)
            snapshot, number = await self._store.add(tx.connection, *made)
            top, horizon = await self._read(tx, row, snapshot)
            await self._settle(tx, snapshot, horizon, top)
            await self._store.finish(tx.connection, snapshot, *await self._hash(tx.connection, snapshot))
            await self._names.store.hold(tx.connection, top)
            await self._names.frozen.freezing(tx.connection, top)
            if await self._settle(tx, snapshot, horizon, top, last=True):
                await self._store.finish(tx.connection, snapshot, *await self._hash(tx.connection, snapshot))
            tx.audit([f"{row['name']}@{number}"])
            return await self._told(tx.connection, row["name"], number)

        return await self._db.change(caller, "dataset.freeze", work, wide=True)

    async def _read(self, tx: Transaction, row: asyncpg.Record, snapshot: int) -> tuple[str, str]:
        """Write the list, of one state. (where its files are: a VO, or all; the horizon of that state)."""
        async with (
            self._db.alone() as reader,
            reader.transaction(isolation="repeatable_read", readonly=True),
        ):
            horizon = await self._store.horizon(reader)
            asked = await self._sets.asked(reader, tx.caller, row)
            asked.clock = Clock(_SECONDS)
            await SearchStore().begin(reader, _SECONDS)
            waiting: list[tuple[Any, ...]] = []
            count = 0
            try:
                async for batch in self._search.batches(reader, asked):
                    waiting.append(_part(snapshot, batch))
                    count += len(batch.ids)
                    if count >= _PART_FILES:
                        await self._store.add_parts(tx.connection, waiting)
                        waiting, count = [], 0
            except TooSlow:
                raise too_slow(asked, _SECONDS) from None
            await self._store.add_parts(tx.connection, waiting)
        vo = lfn.vo(asked.under)
        return f"/{vo}", horizon

    async def _settle(self, tx: Transaction, snapshot: int, horizon: str, top: str, *, last: bool = False) -> bool:
        """Take out of the list what went since it was read; True when something did. The `last` time nobody moves
        files below `top`: where they are now is noted."""
        rows = await self._store.strayed(tx.connection, snapshot, horizon, top)
        gone = [r for r in rows if r["path"] is None or not r["path"].startswith("/")]
        if gone:
            dirs, files = {r["dir_id"] for r in gone}, [r["file_id"] for r in gone]
            await self._store.drop(tx.connection, snapshot, list(dirs), files)
        if last:
            moved = [r for r in rows if r["path"] is not None and r["path"].startswith("/")]
            if any(not lfn.is_within(r["path"], top) for r in moved):
                # Nothing holds them where they are: begin again. They are no longer below `under` then.
                if tx.attempt == _ATTEMPTS:
                    raise Conflict("files of the set are being moved to other VOs: try again")
                raise LostRace
            await self._store.follow(
                tx.connection, [(r["file_id"], r["dir_id"], r["at_dir"]) for r in moved if r["at_dir"] != r["dir_id"]]
            )
        return bool(gone)

    async def _hash(self, connection: Connection, snapshot: int) -> tuple[str, int, int]:
        """(hash, files, bytes) of a list: see `model.dataset.line`, whose text this writes without a Member for
        each."""
        digest, files, size = hashlib.sha256(), 0, 0
        async for path, guid, count, sums in self._store.lines(connection, snapshot):
            digest.update(f"{path}\t{guid or ''}\t{'' if count is None else count}\t{sums}\n".encode())
            files += 1
            size += count or 0
        return digest.hexdigest(), files, size

    async def change(self, caller: Caller, change: SnapshotChange) -> Snapshot:
        """Note, annotations, release. Raises NotFound, Forbidden. Safe to repeat."""

        async def work(tx: Transaction) -> Snapshot:
            row = await self._sets.snapshot(tx.connection, caller, change.name, change=True)
            note = row["note"] if change.note is UNSET else change.note
            kept = row["annotations"]
            if change.annotations is not UNSET:
                kept = merged(kept, change.annotations)
            released = row["released"] or (tx.at if change.release else None)
            await self._store.change(tx.connection, row["id"], note, kept, released)
            action = "dataset.release" if change.release else "dataset.annotate"
            tx.audit([f"{row['dataset']}@{row['number']}"], action=action)
            return await self._told(tx.connection, row["dataset"], row["number"])

        return await self._db.change(caller, "dataset.annotate", work, dry_run=change.dry_run)

    async def page(self, caller: Caller, name: str, *, cursor: str | None = None, limit: int = 1000) -> Page[Snapshot]:
        """The snapshots of a data set, the first one first. Raises NotFound, Forbidden."""
        try:
            after = int(cursor) if cursor else 0
        except ValueError:
            raise InvalidRequest("the cursor is not one of ours") from None
        async with self._db.read() as connection:
            row = await self._sets.dataset(connection, caller, name)
            rows = await self._store.page(connection, row["id"], after, limit)
            people = await self._access.names(connection)
        items = [told(r, people) for r in rows]
        return Page(items, str(items[-1].number) if len(items) == limit else None)

    async def state(self, caller: Caller, name: str) -> SnapshotState:
        """A snapshot, and how much of it the caller may read, and where. Raises NotFound, Forbidden."""
        async with self._db.snapshot() as connection:
            row = await self._sets.snapshot(connection, caller, name)
            people = await self._access.names(connection)
            await self._elements.ready(connection)
            sight, keeper = await self._search.preparer.sight(connection, caller), self._sets.keeps(caller, row)
            numbers = await self._store.numbers(connection, row["id"], sight, keeper=keeper)
            elements = await self._store.elements(connection, row["id"], sight)
            broken = await self._store.broken(connection, row["id"], sight, keeper=keeper) if row["broken"] else []
        return SnapshotState(
            told(row, people),
            numbers["files"],
            int(numbers["bytes"]),
            numbers["hidden"],
            numbers["nowhere"],
            on_elements(self._elements, elements),
            [Broken(b["lfn"], people.get(b["user_id"]) or str(b["user_id"]), b["at"]) for b in broken],
        )

    async def _told(self, connection: Connection, name: str, number: int) -> Snapshot:
        row = await self._store.find(connection, name, number)
        assert row is not None
        return told(row, await self._access.names(connection))


def told(row: asyncpg.Record, people: dict[int, str]) -> Snapshot:
    return Snapshot(
        f"{row['dataset']}@{row['number']}",
        row["dataset"],
        row["number"],
        row["hash"],
        row["files"],
        int(row["bytes"]),
        people.get(row["user_id"]) or str(row["user_id"]),
        row["at"],
        row["query"],
        row["under"],
        row["note"],
        row["annotations"],
        row["released"],
        row["broken"],
    )


def _part(snapshot: int, batch: Batch) -> tuple[Any, ...]:
    sums = [written(a, c) for a, c in zip(batch.adler32, batch.checksums, strict=True)]
    return (snapshot, batch.dir_id, batch.path, batch.names, batch.ids, batch.guids, batch.sizes, sums)


def written(adler32: int | None, others: str | None) -> str:
    """The checksums of a row of `file` as they are frozen: `kind:hex`, sorted, with commas between."""
    return ",".join(sorted(f"{kind}:{value}" for kind, value in checksums(adler32, others).items()))
