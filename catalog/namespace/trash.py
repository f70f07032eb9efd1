"""Removing and restoring. What is removed goes to the trash whole, and leaves it when it expires: see
`transfer.cleaner`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from catalog.access.rights import REACH, W
from catalog.db import LostRace
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.file import Kind, TrashItem
from lading.model.outcome import Page

from .arrivals import Arrivals
from .inheritance import Inheritance
from .locate import Found
from .service import outcomes
from .store import DIRECTORY, FILE, TRASH
from .tree_store import TreeStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Database, Transaction
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

    from .frozen import Lost
    from .service import NamespaceService
    from .tree import Tree

_KINDS = [Kind.FILE, Kind.DIRECTORY, Kind.LINK]
KEEP = 7 * 86400


class Trash:
    def __init__(self, database: Database, names: NamespaceService, tree: Tree, access: AccessService) -> None:
        self._db = database
        self._names = names
        self._tree = tree
        self._access = access
        self._store = TreeStore()
        self._inheritance = Inheritance()
        self._arrivals = Arrivals(names.values)

    async def remove(
        self,
        caller: Caller,
        texts: Sequence[str],
        *,
        recursive: bool = False,
        keep: int | None = None,
        force_snapshots: bool = False,
        dry_run: bool = False,
    ) -> Outcomes[TrashItem]:
        """Take names away; they can be restored for `keep` seconds. A directory that is not empty needs `recursive`.

        Links are removed, not followed. Outcome errors: NotFound, Forbidden (also when anything below may not be
        written), Conflict (not empty; or a snapshot needs files of it, which `force_snapshots` takes all the same: the
        snapshot says so then).
        """
        seconds = KEEP if keep is None else keep

        async def work(tx: Transaction, paths: list[str | CatalogError]) -> list[Any]:
            return await self._remove(tx, paths, recursive, tx.at + seconds * 1_000_000, force_snapshots)

        return await self._names.change(caller, "remove", texts, work, dry_run=dry_run, wide=True)

    async def _remove(
        self, tx: Transaction, paths: list[str | CatalogError], recursive: bool, expires: int, force: bool
    ) -> list[Any]:
        who, good = tx.caller.principal, [p for p in paths if isinstance(p, str)]
        entries = await self._names.locator.settle(tx, good, moving=True, follow=False)
        await self._names.frozen.moving(tx.connection, [e.path for e in entries.values() if isinstance(e, Found)])
        directories = [e.row["id"] for e in entries.values() if isinstance(e, Found) and e.row["kind"] == DIRECTORY]
        empty = await self._store.empty(tx.connection, directories) if directories else set()
        results: list[Any] = []
        rows: list[tuple[int, int, str, int, int]] = []
        broken: list[Lost] = []
        files = [(e.row["id"], e.dir_id) for e in entries.values() if isinstance(e, Found) and e.row["kind"] == FILE]
        held = await self._names.frozen.held(tx.connection, files)
        gone: set[str] = set()
        plain: list[int] = []
        for path in paths:
            try:
                entry = entries[path] if isinstance(path, str) else path
                if isinstance(entry, CatalogError):
                    raise entry
                if not gone.isdisjoint((*lfn.parents(entry.path), entry.path)):
                    raise NotFound(f"'{lfn.shown(entry.path)}' was removed by this same call", lfn=entry.path)
                if entry.row["kind"] == DIRECTORY:
                    plain = await self._to_trash(tx, plain)  # first: the directory is not to count them
                row = await self._take(tx, entry, recursive, entry.row["id"] in empty, force)
                if entry.row["kind"] != DIRECTORY:
                    broken += self._names.frozen.broken(entry.path, held.get(row[0], []), force=force)
                    plain.append(row[0])
                rows.append(row)
                gone.add(entry.path)
                results.append(TrashItem(row[0], row[2], _KINDS[row[1]], who.name, tx.at, expires, row[3], row[4]))
            except CatalogError as error:
                results.append(error)
        if rows:
            await self._to_trash(tx, plain)
            await self._names.frozen.note(tx, broken)
            await self._store.add_trash(tx.connection, rows, who.id, tx.at, expires)
            tx.audit([r[2] for r in rows], files=sum(r[3] for r in rows), bytes=sum(r[4] for r in rows))
        return results

    async def _to_trash(self, tx: Transaction, plain: list[int]) -> list[int]:
        """Move files and links into the trash; those that are left to move: none."""
        if plain:
            await self._store.move_entries(tx.connection, plain, [TRASH] * len(plain), [str(i) for i in plain])
        return []

    async def _take(
        self, tx: Transaction, entry: Found, recursive: bool, empty: bool, force: bool
    ) -> tuple[int, int, str, int, int]:
        """Check one entry; a directory goes at once. (entry id, kind, path, files, bytes)"""
        row = entry.row
        if entry.path == "/":
            raise InvalidRequest("the root can't be removed")
        self._tree.may_take(tx.caller.principal, entry)
        if row["kind"] != DIRECTORY:
            return row["id"], row["kind"], entry.path, int(row["kind"] == FILE), row["size"] or 0
        if not recursive and not empty:
            raise Conflict(f"'{lfn.shown(entry.path)}' is not empty: ask for recursion (-r)", lfn=entry.path)
        if not empty:
            await self._may_empty(tx, entry.path)
            await self._names.frozen.held_below(tx, entry.path, row["id"], force=force)
        files, size = await self._store.sum(tx.connection, entry.path)
        await self._store.move_entries(tx.connection, [row["id"]], [TRASH], [str(row["id"])])
        await self._store.move_paths(tx.connection, entry.path, f"T/{row['id']}")
        return row["id"], DIRECTORY, entry.path, files, size

    async def _may_empty(self, tx: Transaction, path: str) -> None:
        """Raises Forbidden unless the caller may take every entry out of every directory of the subtree.

        A sticky directory of somebody else's may hold what is not the caller's: it is not looked into, and stays.
        """
        rights, who = self._names.rights, tx.caller.principal
        accesses = await self._store.accesses(tx.connection, path)
        await rights.load(tx.connection, accesses)
        for access_id in accesses:
            writes = rights.directory(who, access_id, path) & (W | REACH) == W | REACH
            if not writes or not rights.may_unlink(who, path, access_id, 0):
                raise Forbidden(f"you may not empty a directory at or below '{lfn.shown(path)}'", lfn=path)

    # ── what is in it ────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(
        self, caller: Caller, *, under: str = "/", cursor: str | None = None, limit: int = 1000
    ) -> Page[TrashItem]:
        """What you removed at or below `under`; administrators see what anybody removed in their VO."""
        who = caller.principal
        try:
            after = int(cursor) if cursor else 0
        except ValueError:
            raise InvalidRequest("the cursor is not one of ours") from None
        async with self._db.read(wide=True) as connection:
            await self._names.ready(connection)
            path = self._names.locator.true_name(under)
            if not who.scoped("read", path):
                raise Forbidden(f"your token has no scope to read '{lfn.shown(path)}'", lfn=path)
            vos = sorted(who.vos) if who.scoped("admin", path) else []
            governed = "^/(" + "|".join(re.escape(v) for v in vos) + ")(/|$)" if vos else "^$"
            rows = await self._store.trash(connection, path, after, limit, None if who.superuser else who.id, governed)
            people = await self._access.names(connection)
        items = [self._item(r, people) for r in rows]
        return Page(items, str(items[-1].id) if len(items) == limit else None)

    def _item(self, row: asyncpg.Record, people: dict[int, str]) -> TrashItem:
        by = people.get(row["removed_by"], str(row["removed_by"]))
        times = row["removed_at"], row["expires"]
        return TrashItem(row["entry_id"], row["path"], _KINDS[row["kind"]], by, *times, row["files"], row["bytes"])

    # ── out of it ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def restore(
        self, caller: Caller, ids: Sequence[int], *, to: str | None = None, dry_run: bool = False
    ) -> Outcomes[str]:
        """Put things back where they were, or into the directory `to`; missing directories above are made again.

        The value is the LFN. Outcome errors: NotFound (expired, or not yours), Conflict (the name is taken), Forbidden.
        """

        beyond: set[str] = set()  # where links led in an earlier attempt

        async def work(tx: Transaction) -> Outcomes[str]:
            await self._names.ready(tx.connection)
            true_name = self._names.locator.true_name
            target = true_name(to) if to else None
            results: list[Any] = []
            rows = {r["entry_id"]: r for r in await self._store.lock_trash(tx.connection, ids) if r["expires"] > tx.at}
            ends = {i: lfn.join(target, lfn.split(r["path"])[1]) if target else r["path"] for i, r in rows.items()}
            places = {*ends.values(), *beyond}
            await self._names.store.lock(tx.connection, places, exclusive=True)
            for item in ids:
                try:
                    row = self._mine(tx.caller.principal, item, rows.get(item))
                    results.append(await self._restore(tx, row, true_name(ends[item])))
                    rows.pop(item)
                except CatalogError as error:
                    results.append(error)
            if led := {r for r in results if isinstance(r, str) and lfn.vo(r) not in {lfn.vo(p) for p in places}}:
                beyond.update(led)
                raise LostRace
            restored = [i for i, r in zip(ids, results, strict=True) if isinstance(r, str)]
            await self._store.forget_trash(tx.connection, restored)
            await self._names.frozen.back(tx, restored)
            tx.audit([r for r in results if isinstance(r, str)])
            return outcomes([str(i) for i in ids], results, changes=True)

        return await self._db.change(caller, "restore", work, dry_run=dry_run, wide=True)

    def _mine(self, who: Principal, item: int, row: asyncpg.Record | None) -> asyncpg.Record:
        mine = row is not None and row["removed_by"] == who.id and who.scoped("write", row["path"])
        if row is None or not (mine or who.governs(row["path"])):
            raise NotFound(f"there is no item {item} in the trash that is yours: it may have expired", id=item)
        return row

    async def _restore(self, tx: Transaction, row: asyncpg.Record, path: str) -> str:
        item = row["entry_id"]
        place = (await self._names.parents(tx, [path], True))[0]
        if isinstance(place, CatalogError):
            raise place
        directory, name = place
        path = lfn.join(directory.path, name)  # links on the way are gone
        taken = (await self._names.locator.entries(tx.connection, tx.caller.principal, [path], follow=False))[0]
        if not isinstance(taken, NotFound):
            raise Conflict(f"'{lfn.shown(path)}' exists again: restore to another directory", lfn=path)
        if row["kind"] == DIRECTORY and path != row["path"]:
            await self._tree.check_length(tx, f"T/{item}", path)
        await self._store.move_entries(tx.connection, [item], [directory.id], [name])
        if row["kind"] == DIRECTORY:
            await self._store.move_paths(tx.connection, f"T/{item}", path)
            await self._tree.rebase(tx, path)
            await self._inheritance.rework(tx, [path])
            await self._arrivals.directory(tx, row["path"], path)
        elif lfn.vo(path) != lfn.vo(row["path"]):
            await self._arrivals.files(tx, {lfn.vo(path): [item]})
        return path

    async def purge(self, caller: Caller, ids: Sequence[int], *, dry_run: bool = False) -> Outcomes[None]:
        """Let things expire now: the cleaner takes them, and their bytes, within a minute. Outcome error: NotFound."""

        async def work(tx: Transaction) -> Outcomes[None]:
            rows = {r["entry_id"]: r for r in await self._store.lock_trash(tx.connection, ids)}
            results: list[Any] = []
            for item in ids:
                try:
                    self._mine(tx.caller.principal, item, rows.get(item))
                    results.append(None)
                except CatalogError as error:
                    results.append(error)
            good = [i for i, r in zip(ids, results, strict=True) if r is None]
            await self._store.expire_trash(tx.connection, good, tx.at)
            tx.audit([rows[i]["path"] for i in good])
            return outcomes([str(i) for i in ids], results, changes=True)

        return await self._db.change(caller, "purge", work, dry_run=dry_run)
