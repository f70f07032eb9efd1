"""Open trees: directories below which keys that no field declares are kept as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.access.rights import require_governor
from lading.model import lfn
from lading.model.errors import InvalidRequest, NotFound

from .fields_store import FieldsStore

if TYPE_CHECKING:
    from catalog.db import Database, Transaction
    from catalog.namespace.service import NamespaceService
    from lading.model.principal import Caller

    from .known import Known


class OpenTrees:
    def __init__(self, database: Database, names: NamespaceService, known: Known) -> None:
        self._db = database
        self._names = names
        self._known = known
        self._store = FieldsStore()

    async def every(self, caller: Caller) -> list[str]:
        """Those that the caller may know of: of the VOs they administer, and where they have a right to read."""
        async with self._db.read() as connection:
            trees = sorted((await self._known.at(connection)).trees)
        return [t for t in trees if caller.principal.scoped("read", t) or caller.principal.governs(t)]

    async def open(self, caller: Caller, text: str, *, dry_run: bool = False) -> None:
        """Keep undeclared keys in a directory (it need not exist yet) and below it. Safe to repeat.

        Raises InvalidRequest (no LFN, the root), Forbidden (no administrator of the VO).
        """

        async def work(tx: Transaction) -> None:
            path = await self._path(tx, caller, text)
            if await self._store.open_tree(tx.connection, path, caller.principal.id, tx.at):
                await self._known.changed(tx)
                tx.audit([path])

        await self._db.change(caller, "tree.open", work, dry_run=dry_run)

    async def close(self, caller: Caller, text: str, *, dry_run: bool = False) -> None:
        """Refuse undeclared keys there again; values that are there stay. Raises NotFound, Forbidden."""

        async def work(tx: Transaction) -> None:
            path = await self._path(tx, caller, text)
            if not await self._store.close_tree(tx.connection, path):
                raise NotFound(f"'{lfn.shown(path)}' is no open tree: see 'lading field trees'", lfn=path)
            await self._known.changed(tx)
            tx.audit([path])

        await self._db.change(caller, "tree.close", work, dry_run=dry_run)

    async def _path(self, tx: Transaction, caller: Caller, text: str) -> str:
        await self._names.ready(tx.connection)
        path = self._names.locator.true_name(text)
        if path == "/":
            raise InvalidRequest("the root can't be open: fields belong to a VO")
        require_governor(caller.principal, path)
        return path
