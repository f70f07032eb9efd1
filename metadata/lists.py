"""The members of data sets that are lists of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.access.rights import REACH, R
from catalog.namespace.locate import Found
from catalog.namespace.service import outcomes
from catalog.namespace.store import FILE
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest

from .datasets_store import DatasetsStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Database, Transaction
    from catalog.namespace.service import NamespaceService
    from lading.model.dataset import Members
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

    from .members import Sets


class Lists:
    def __init__(self, database: Database, names: NamespaceService, sets: Sets) -> None:
        self._db = database
        self._names = names
        self._sets = sets
        self._store = DatasetsStore()

    async def add_files(self, caller: Caller, body: Members) -> Outcomes[None]:
        """Files come into a list. Outcome errors: InvalidRequest (no file), NotFound, Forbidden. Safe to repeat."""

        async def work(tx: Transaction) -> Outcomes[None]:
            row = await self._list(tx, caller, body.name)
            results = await self.add(tx, caller, row["id"], body.lfns)
            tx.audit([row["name"]], count=sum(r is None for r in results))
            return outcomes(body.lfns, results, changes=True)

        return await self._db.change(caller, "dataset.add", work, dry_run=body.dry_run)

    async def remove_files(self, caller: Caller, body: Members) -> Outcomes[None]:
        """Files leave a list, and stay in the catalogue. Outcome errors: NotFound (no such name), Forbidden."""

        async def work(tx: Transaction) -> Outcomes[None]:
            row = await self._list(tx, caller, body.name)
            found = await self._names.find(tx.connection, caller, body.lfns)
            ids = [f.row["id"] for f in found if isinstance(f, Found)]
            gone = await self._store.remove_members(tx.connection, row["id"], ids)
            results = [f if isinstance(f, CatalogError) else None if f.row["id"] in gone else False for f in found]
            tx.audit([row["name"]], count=len(gone))
            return outcomes(body.lfns, results, changes=True)

        return await self._db.change(caller, "dataset.remove-files", work, dry_run=body.dry_run)

    async def _list(self, tx: Transaction, caller: Caller, name: str) -> asyncpg.Record:
        row = await self._sets.dataset(tx.connection, caller, name, change=True)
        if row["query"] is not None:
            raise InvalidRequest(f"'{lfn.shown(name)}' is a query: its files are those that match", dataset=name)
        return row

    async def add(self, tx: Transaction, caller: Caller, dataset: int, texts: Sequence[str]) -> list[Any]:
        """For a transaction under way. Per LFN: None for added, False for a member already, or why not."""
        found = await self._names.find(tx.connection, caller, texts)
        paths = {f.path for f in found if isinstance(f, Found)}
        await self._names.frozen.freezing_these(tx.connection, paths)
        found = await self._names.find(tx.connection, caller, texts)  # again, now that nobody moves them
        results: list[Any] = [f if isinstance(f, CatalogError) else self._fits(caller, f) for f in found]
        ids = [f.row["id"] for f, r in zip(found, results, strict=True) if isinstance(f, Found) and r is None]
        new = await self._store.add_members(tx.connection, dataset, ids)
        for i, one in enumerate(found):
            if isinstance(one, Found) and results[i] is None and one.row["id"] not in new:
                results[i] = False
        return results

    def _fits(self, caller: Caller, found: Found) -> CatalogError | None:
        row = found.row
        if row["kind"] != FILE:
            return InvalidRequest(f"'{lfn.shown(found.path)}' is no file", lfn=found.path)
        rights, who = self._names.rights, caller.principal
        place = lfn.split(found.path)[0]
        listed = rights.directory(who, found.access_id, place) & (R | REACH) == R | REACH
        bits = rights.entry(who, found.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"])
        if not listed or not bits & R:
            return Forbidden(f"you may not read '{lfn.shown(found.path)}'", lfn=found.path)
        return None
