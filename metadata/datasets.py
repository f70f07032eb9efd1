"""Data sets: queries and lists of files with a name, an owner and rights of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from catalog.namespace.locate import Directory
from lading.model import lfn
from lading.model.dataset import Dataset, DatasetState, OnElement, Since, merged, split_name
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest
from lading.model.outcome import Page

from .datasets_store import DatasetsStore
from .members import combined
from .nesting import Nesting
from .snapshots_store import SnapshotsStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.dataset import DatasetChange, NewDataset
    from lading.model.principal import Caller

    from .lists import Lists
    from .members import Sets
    from .search import SearchService


class Datasets:
    def __init__(
        self,
        database: Database,
        names: NamespaceService,
        access: AccessService,
        elements: ElementsService,
        search: SearchService,
        sets: Sets,
        lists: Lists,
    ) -> None:
        self._db = database
        self._names = names
        self._access = access
        self._elements = elements
        self._search = search
        self._sets = sets
        self._lists = lists
        self._store = DatasetsStore()
        self._snapshots = SnapshotsStore()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(
        self, caller: Caller, *, under: str = "/", cursor: str | None = None, limit: int = 1000
    ) -> Page[Dataset]:
        """Data sets called `under` or something below it, by name, that the caller may read."""
        top, after, items = lfn.parse(under), cursor or "", list[Dataset]()
        async with self._db.read() as connection:
            people = await self._access.names(connection)
            while True:
                rows = await self._store.page(connection, top, after, limit)
                for row in rows:
                    after = row["name"]
                    if self._sets.reads(caller, row, after):
                        items.append(told(row, people))
                        if len(items) == limit:
                            return Page(items, after)
                if len(rows) < limit:
                    return Page(items)

    async def state(self, caller: Caller, name: str) -> DatasetState:
        """What is in it now, for the caller: numbers, where it can be read, what changed since the latest snapshot.

        Raises NotFound, Forbidden, what the query does, Unavailable when it takes too long.
        """
        async with self._db.read() as connection:
            row = await self._sets.dataset(connection, caller, name)
            people = await self._access.names(connection)
            await self._elements.ready(connection)
            last = await self._snapshots.find(connection, row["name"], None)
            asked = await self._sets.asked(connection, caller, row)
        async with self._search.asking(caller, "", asked=asked) as (connection, _):
            numbers = await self._store.numbers(connection, asked)
            elements = on_elements(self._elements, await self._store.elements(connection, asked))
            since = None
            if last is not None:
                keeper = self._sets.keeps(caller, last)
                found = await self._snapshots.since(connection, last["id"], asked, asked.sight, keeper=keeper)
                since = Since(last["number"], *(int(v) for v in found))
        return DatasetState(
            told(row, people), numbers["files"], int(numbers["bytes"]), numbers["nowhere"], elements, since
        )

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, caller: Caller, new: NewDataset) -> Dataset:
        """A query, a list or a combination gets a name.

        Raises InvalidRequest (the name, the query, not one of the three), Forbidden (no W where the name lies, or a
        file or set that is named may not be read), NotFound, Conflict (the name is taken).
        """
        path = _name(new.name)
        if sum(x is not None for x in (new.query, new.lfns, new.combine)) != 1:
            raise InvalidRequest("a data set is one of: a query, a list of LFNs, a combination of data sets")

        async def work(tx: Transaction) -> Dataset:
            who = tx.caller.principal
            await self._may_name(tx.connection, caller, path)
            query = combined(new.combine) if new.combine is not None else new.query
            under = await self._meaning(tx, caller, path, query, new.under)
            group = await self._group(tx.connection, caller, path, new.group) if new.group else who.group
            values = (path, who.id, group, new.mode, new.description, new.metadata, query, under, tx.at)
            made = await self._store.add(tx.connection, *values)
            if made is None:
                raise Conflict(f"there is a data set '{lfn.shown(path)}' already", dataset=path)
            if new.lfns:
                for result in await self._lists.add(tx, caller, made, new.lfns):
                    if isinstance(result, CatalogError):
                        raise result
            tx.audit([path])
            return await self._told(tx.connection, path)

        return await self._db.change(caller, "dataset.create", work, dry_run=new.dry_run, wide=True)

    async def change(self, caller: Caller, change: DatasetChange) -> Dataset:
        """Raises NotFound, Forbidden (rights are their owner's to change, the owner an administrator's),
        InvalidRequest.

        A list stays a list; what was frozen stays as it was.
        """

        async def work(tx: Transaction) -> Dataset:
            row = await self._sets.dataset(tx.connection, caller, change.name, change=True)
            path = row["name"]
            query, under = row["query"], row["under"]
            if UNSET not in (change.query, change.combine):
                raise InvalidRequest("a data set has a query or a combination, not both")
            if change.query is not UNSET or change.combine is not UNSET or change.under is not UNSET:
                if query is None:
                    raise InvalidRequest(f"'{lfn.shown(path)}' is a list: it has no query", dataset=path)
                query = change.query if isinstance(change.query, str) else query
                query = combined(change.combine) if change.combine is not UNSET else query
                new_under = under if change.under is UNSET else change.under
                under = await self._meaning(tx, caller, path, query, new_under)
            rights = await self._rights(tx.connection, caller, row, change)
            description = row["description"] if change.description is UNSET else change.description
            metadata = row["metadata"]
            if change.metadata is not UNSET:
                metadata = merged(metadata, change.metadata)
            await self._store.change(tx.connection, row["id"], *rights, description, metadata, query, under, tx.at)
            tx.audit([path])
            return await self._told(tx.connection, path)

        return await self._db.change(caller, "dataset.set", work, dry_run=change.dry_run, wide=True)

    async def remove(self, caller: Caller, name: str, *, force: bool = False, dry_run: bool = False) -> None:
        """The name, its members and its snapshots go; no file does. Raises NotFound, Forbidden, and Conflict while a
        snapshot of it protects files, but for `force`."""

        async def work(tx: Transaction) -> None:
            row = await self._sets.dataset(tx.connection, caller, name, change=True)
            numbers = await self._store.protecting(tx.connection, row["id"])
            if numbers and not force:
                shown = ", ".join(f"{lfn.shown(row['name'])}@{n}" for n in numbers)
                raise Conflict(f"{shown}: release such snapshots first, or force it", dataset=row["name"])
            await self._store.remove(tx.connection, row["id"])
            tx.audit([row["name"]], snapshots=row["snapshots"])

        await self._db.change(caller, "dataset.remove", work, dry_run=dry_run, wide=True)

    # ── how ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _may_name(self, connection: Connection, caller: Caller, path: str) -> None:
        """Raises Forbidden unless the caller may add names to the nearest directory that there is."""
        await self._names.ready(connection)
        found = await self._names.locator.known(connection, lfn.parents(path))
        nearest = found[max(found, key=len)]
        assert isinstance(nearest, Directory)
        if not self._names.maker.may_add(caller.principal, nearest, path):
            raise self._names.maker.denied(nearest, path)

    async def _meaning(self, tx: Transaction, caller: Caller, path: str, query: str | None, under: str) -> str:
        """The true name of `under`. Raises what is wrong with the query; it may not lead back to the set itself."""
        if query is None:
            return "/"
        await self._store.defining(tx.connection)
        prepare = self._search.preparer.prepare
        return (await prepare(tx.connection, caller, query, under, nesting=Nesting((path,)))).under

    async def _group(self, connection: Connection, caller: Caller, path: str, name: str) -> int:
        group = (await self._access.ids(connection, "g", [name]))[name]
        if group not in caller.principal.groups and not caller.principal.governs(path):
            raise Forbidden(f"you are not in the group '{name}'", group=name)
        return group

    async def _rights(
        self, connection: Connection, caller: Caller, row: asyncpg.Record, change: DatasetChange
    ) -> tuple[int, int, int]:
        """(owner, group, mode) as they shall be."""
        path = row["name"]
        owner, group, mode = row["owner_id"], row["group_id"], row["mode"]
        if UNSET is change.owner and UNSET is change.group and UNSET is change.mode:
            return owner, group, mode
        if not self._sets.owns(caller, row, path):
            raise Forbidden(f"only the owner changes the rights of '{lfn.shown(path)}'", dataset=path)
        if isinstance(change.owner, str):
            new = (await self._access.ids(connection, "u", [change.owner]))[change.owner]
            if new != owner and not caller.principal.governs(path):
                raise Forbidden("only an administrator of the VO gives a data set away", dataset=path)
            owner = new
        if isinstance(change.group, str):
            group = await self._group(connection, caller, path, change.group)
        return owner, group, mode if change.mode is UNSET else change.mode

    async def _told(self, connection: Connection, path: str) -> Dataset:
        row = await self._store.find(connection, path)
        assert row is not None
        return told(row, await self._access.names(connection))


def told(row: asyncpg.Record, people: dict[int, str]) -> Dataset:
    owner, group = (people.get(row[k]) or str(row[k]) for k in ("owner_id", "group_id"))
    text = row["description"], row["metadata"]
    counts = row["snapshots"], row["last"], row["ctime"], row["mtime"]
    return Dataset(row["name"], owner, group, row["mode"], row["query"], row["under"], *text, *counts)


def on_elements(elements: ElementsService, rows: Sequence[Any]) -> list[OnElement]:
    found = []
    for row in rows:
        element = elements.by_id(row["id"])
        found.append(OnElement(element.name if element else str(row["id"]), row["files"], int(row["bytes"])))
    return sorted(found, key=lambda e: (-e.files, e.element))


def _name(text: str) -> str:
    """The name of a new data set. Raises InvalidRequest."""
    path = lfn.parse(text)
    if path.count("/") < 2:
        raise InvalidRequest(f"'{lfn.shown(path)}': a data set's name begins with its VO, as in /vo/sets/trial")
    if split_name(path)[1] is not None:
        raise InvalidRequest(f"'{lfn.shown(path)}': '@' and a number would name a snapshot")
    return path
