"""Moving and renaming: entries by thousands, or a whole directory in one transaction that touches no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.access.rights import REACH, Access, W
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound

from .locate import Directory, Found
from .store import DIRECTORY
from .tree_store import TreeStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.db import Transaction
    from lading.model.api import Move
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

    from .service import NamespaceService

_ROOM = 256  # a directory's path leaves room for a name below it


class Tree:
    def __init__(self, names: NamespaceService) -> None:
        self._names = names
        self._store = TreeStore()

    async def move(self, caller: Caller, moves: Sequence[Move], *, dry_run: bool = False) -> Outcomes[None]:
        """Move or rename, each as `mv -n` would: into a target that is a directory, never over anything that exists.

        GUIDs, replicas and usage go along; bytes stay where they are. Outcome errors: NotFound, Forbidden, Conflict (the
        target exists), InvalidRequest (into itself, too long).
        """

        async def work(tx: Transaction, sources: list[str | CatalogError]) -> list[Any]:
            return await self._move(tx, moves, sources)

        return await self._names.change(caller, "move", [m.source for m in moves], work, dry_run=dry_run, wide=True)

    async def _move(self, tx: Transaction, moves: Sequence[Move], sources: list[str | CatalogError]) -> list[Any]:
        targets = self._names.locator.true_names([m.target for m in moves])
        paths = [p for p in (*sources, *targets) if isinstance(p, str)]
        found = await self._find(tx, sources)
        moving = any(isinstance(f, Found) and f.row["kind"] == DIRECTORY for f in found)
        await self._names.store.lock(tx.connection, paths, exclusive=moving)
        found = await self._find(tx, sources)  # again, now that nobody moves them
        there = await self._find(tx, targets, follow=True)
        above = await self._names.locator.directories(
            tx.connection, tx.caller.principal, [lfn.split(p)[0] for p in targets if isinstance(p, str) and p != "/"]
        )
        results: list[Any] = []
        files: list[tuple[int, int, str]] = []
        done: list[str] = []
        taken: set[tuple[int, str]] = set()
        for source, target, at in zip(found, targets, there, strict=True):
            try:
                if isinstance(source, CatalogError):
                    raise source
                if isinstance(target, CatalogError):
                    raise target
                directory, name = await self._destination(tx, source, target, at, above)
                if (directory.id, name) in taken:
                    raise Conflict(f"'{lfn.shown(target)}' is a target twice in this call", lfn=target)
                if (source.dir_id, source.row["name"]) == (directory.id, name):
                    results.append(False)
                    continue
                if source.row["kind"] == DIRECTORY:
                    await self._move_directory(tx, source, directory, name)
                else:
                    files.append((source.row["id"], directory.id, name))
                taken.add((directory.id, name))
                done.append(f"{source.path} -> {lfn.join(directory.path, name)}")
                results.append(None)
            except CatalogError as error:
                results.append(error)
        if files:
            await self._store.move_entries(tx.connection, *(list(c) for c in zip(*files, strict=True)))
        tx.audit(done)
        return results

    async def _find(
        self, tx: Transaction, paths: Sequence[str | CatalogError], *, follow: bool = False
    ) -> list[Found | CatalogError]:
        good = [p for p in paths if isinstance(p, str)]
        found = iter(await self._names.locator.entries(tx.connection, tx.caller.principal, good, follow=follow))
        return [next(found) if isinstance(p, str) else p for p in paths]

    async def _destination(
        self,
        tx: Transaction,
        source: Found,
        target: str,
        at: Found | CatalogError,
        above: Mapping[str, Directory | CatalogError],
    ) -> tuple[Directory, str]:
        """Where `source` really goes, and that it may. Raises CatalogError."""
        if source.path == "/":
            raise InvalidRequest("the root can't be moved")
        who = tx.caller.principal
        self.may_take(who, source)
        if isinstance(at, Found):
            if at.row["kind"] != DIRECTORY or at.row["id"] == source.row["id"]:
                if at.row["id"] == source.row["id"]:
                    return Directory(lfn.split(source.path)[0], source.dir_id, source.access_id), source.row["name"]
                raise Conflict(f"'{lfn.shown(target)}' exists already", lfn=target)
            directory = (await self._names.locator.known(tx.connection, [at.path]))[at.path]
            name = source.row["name"]
            inside = lfn.join(at.path, name)
            if not isinstance((await self._find(tx, [inside]))[0], NotFound):
                raise Conflict(f"'{lfn.shown(inside)}' exists already", lfn=inside)
        elif isinstance(at, NotFound):
            parent, name = lfn.split(target)
            directory = above[parent]
        else:
            raise at
        if isinstance(directory, CatalogError):
            raise directory
        if not self._names.maker.may_add(who, directory, lfn.join(directory.path, name)):
            raise self._names.maker.denied(directory, target)
        if source.row["kind"] == DIRECTORY and lfn.is_within(directory.path, source.path):
            raise InvalidRequest(f"'{lfn.shown(source.path)}' can't be moved into itself", lfn=source.path)
        return directory, name

    def may_take(self, who: Principal, entry: Found) -> None:
        """Raises Forbidden unless `who` may take the entry out of its directory."""
        rights = self._names.rights
        parent = lfn.split(entry.path)[0]
        bits = rights.directory(who, entry.access_id, entry.path if who.narrowed else parent)
        if bits & (W | REACH) != W | REACH or not rights.may_unlink(
            who, parent, entry.access_id, entry.row["owner_id"]
        ):
            raise Forbidden(f"you may not take '{lfn.shown(entry.path)}' away", lfn=entry.path)

    async def _move_directory(self, tx: Transaction, source: Found, directory: Directory, name: str) -> None:
        new = lfn.join(directory.path, name)
        grown = len(new.encode()) - len(source.path.encode())
        if grown > 0 and await self._store.longest_path(tx.connection, source.path) + grown > lfn.MAX_PATH - _ROOM:
            raise InvalidRequest(
                f"paths below '{lfn.shown(new)}' would become longer than {lfn.MAX_PATH - _ROOM} bytes", lfn=source.path
            )
        await self.relocate(tx, source, new, directory, name)

    async def relocate(self, tx: Transaction, source: Found, new: str, directory: Directory, name: str) -> None:
        """Move a directory's entry and the paths of its subtree; rights are worked out again only where they differ."""
        await self._store.move_entries(tx.connection, [source.row["id"]], [directory.id], [name])
        await self._store.move_paths(tx.connection, source.path, new)
        if directory.access_id != source.access_id:
            await self.rebase(tx, new, directory.access_id)

    async def rebase(
        self, tx: Transaction, path: str, above: int, own: Mapping[int, tuple[int, int, int, int]] | None = None
    ) -> None:
        """Work out the access rows of a directory and all below it, `above` being the row of its parent (0 for the root).

        `own` gives new (owner, group, mode, ACL) of some by id. Work per directory, in chunks; nothing per file.
        """
        rights, store = self._names.rights, self._names.store
        top = (await store.directories(tx.connection, [path]))[0]
        new_of: dict[str, int] = {}
        memo: dict[Access, int] = {}
        ids: list[int] = []
        accesses: list[int] = []

        async def one(dir_id: int, at: str, old: int, parent: int) -> None:
            await rights.load(tx.connection, [old, parent] if parent else [old])
            values = (own or {}).get(dir_id) or rights.access(old)[1:]
            if parent and values == rights.access(parent)[1:]:
                new = parent
            else:
                key = Access(parent, *values)
                if key not in memo:
                    memo[key] = (await rights.intern_access(tx.connection, [key]))[0]
                new = memo[key]
            new_of[at] = new
            if new != old:
                ids.append(dir_id)
                accesses.append(new)

        await one(top["id"], path, top["access_id"], above)
        async for row in store.subtree(tx.connection, path):
            await one(row["id"], row["path"], row["access_id"], new_of[lfn.split(row["path"])[0]])
            if len(ids) >= 10_000:
                await store.set_access(tx.connection, ids, accesses)
                ids, accesses = [], []
        await store.set_access(tx.connection, ids, accesses)
