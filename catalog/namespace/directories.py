"""Making directories, with all that is missing above them, in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.access import acl as acls
from catalog.access.rights import REACH, Access, W
from catalog.db import LostRace, Transaction
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, NotFound

from .locate import MAX_HOPS, Directory, Locator, unreachable
from .store import DIRECTORY, LINK, NamesStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.access.rights import Rights
    from lading.model.principal import Principal

DIRECTORY_MODE, FILE_MODE = 0o775, 0o664


class DirectoryMaker:
    """Works inside a transaction that holds the structure lock (shared at least)."""

    def __init__(self, rights: Rights, locator: Locator) -> None:
        self._rights = rights
        self._locator = locator
        self._store = NamesStore()

    async def make(
        self, tx: Transaction, wanted: Sequence[str], *, mode: int | None = None, parents: bool = True
    ) -> tuple[dict[str, Directory | CatalogError], set[str]]:
        """The directory at each path, made if missing, and the set of paths really made.

        Per path: Forbidden (no right to write above), Conflict (a file is in the way), NotFound (`parents` is False).
        """
        found: dict[str, Directory | CatalogError] = {}
        pending = dict.fromkeys(wanted, "")
        pending = {p: p for p in pending}
        dirs: dict[str, Directory] = {}
        for _hop in range(MAX_HOPS + 1):
            await self._load(tx, list(pending.values()), dirs)
            again = await self._follow(tx, pending, dirs, found)
            if not again:
                break
            await self._store.lock(tx.connection, [pending[asked] for asked in again])  # another VO's, perhaps
        else:
            for asked in again:
                found[asked] = NotFound(f"'{lfn.shown(asked)}' leads through more than {MAX_HOPS} links", lfn=asked)
                del pending[asked]
        missing = self._missing(tx.caller.principal, pending, dirs, found, parents)
        if missing:
            await self._add(tx, missing, dirs, DIRECTORY_MODE if mode is None else mode)
        for asked, path in pending.items():
            if asked not in found:
                found[asked] = dirs[path] if path in missing or self._reaches(tx, path, dirs) else unreachable(asked)
        return found, missing

    def _reaches(self, tx: Transaction, path: str, dirs: dict[str, Directory]) -> bool:
        """May the caller know what is at `path`, whose directory exists?"""
        if path == "/":
            return True
        above = dirs[lfn.split(path)[0]]
        return bool(self._rights.directory(tx.caller.principal, above.access_id, path) & REACH)

    async def _load(self, tx: Transaction, paths: Sequence[str], dirs: dict[str, Directory]) -> None:
        """Add to `dirs` those of the paths, and of the directories above them, that exist."""
        every = list({p for path in paths for p in (*lfn.parents(path), path)} - dirs.keys())
        rows = await self._store.directories(tx.connection, every)
        await self._rights.load(tx.connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
        for row in rows:
            path = every[row["o"] - 1]
            dirs[path] = Directory(path, row["id"], row["access_id"])

    async def _follow(
        self,
        tx: Transaction,
        pending: dict[str, str],
        dirs: dict[str, Directory],
        found: dict[str, Directory | CatalogError],
    ) -> list[str]:
        """Look at what stands at the first missing component: a link is followed (returned), a file is a conflict."""
        first = {asked: self._first_missing(path, dirs) for asked, path in pending.items() if path not in dirs}
        if not first:
            return []
        where = list(dict.fromkeys(first.values()))
        split = [lfn.split(p) for p in where]
        rows = await self._store.lookup(tx.connection, [s[0] for s in split], [s[1] for s in split])
        there = {where[r["o"] - 1]: r for r in rows}
        again = []
        for asked, prefix in first.items():
            row = there.get(prefix)
            if row is None:
                continue
            if not self._reaches(tx, prefix, dirs):
                found[asked] = unreachable(asked)
                del pending[asked]
                continue
            if row["kind"] == DIRECTORY:
                raise LostRace  # somebody made it since `_load` looked
            step = self._locator.through(prefix, row["target"], pending[asked]) if row["kind"] == LINK else None
            if isinstance(step, str):
                pending[asked] = step
                again.append(asked)
            else:
                found[asked] = step or Conflict(f"'{lfn.shown(prefix)}' is a file, not a directory", lfn=prefix)
                del pending[asked]
        return again

    @staticmethod
    def _first_missing(path: str, dirs: dict[str, Directory]) -> str:
        return next(p for p in (*lfn.parents(path), path) if p not in dirs)

    def _missing(
        self,
        who: Principal,
        pending: dict[str, str],
        dirs: dict[str, Directory],
        found: dict[str, Directory | CatalogError],
        parents: bool,
    ) -> set[str]:
        """The paths to make; whoever may not make theirs gets the reason in `found`."""
        missing: set[str] = set()
        for asked, path in pending.items():
            if path in dirs:
                continue
            first = self._first_missing(path, dirs)
            above = dirs[lfn.split(first)[0]]
            if first != path and not parents:
                shown = lfn.shown(first)
                found[asked] = NotFound(
                    f"there is no directory '{shown}': make it first, or ask for parents", lfn=asked
                )
            elif not self.may_add(who, above, first):
                found[asked] = self.denied(above, asked)
            else:
                missing.update(p for p in (*lfn.parents(path), path) if p not in dirs)
        return missing

    def may_add(self, who: Principal, directory: Directory, name: str) -> bool:
        """May `who` add `name` (a path) to the directory? A VO's administrator may make its top-level directory."""
        bits = self._rights.directory(who, directory.access_id, name if who.narrowed else directory.path)
        return bits & (W | REACH) == W | REACH or (directory.id == 1 and who.governs(name))

    @staticmethod
    def denied(directory: Directory, path: str) -> Forbidden:
        return Forbidden(f"you may not add names to '{lfn.shown(directory.path)}'", lfn=path)

    async def _add(self, tx: Transaction, missing: set[str], dirs: dict[str, Directory], mode: int) -> None:
        """Insert the missing directories, their ids taken beforehand; LostRace when somebody else made one
        meanwhile."""
        paths = sorted(missing)
        ids = await self._store.new_ids(tx.connection, len(paths))
        access = await self._accesses(tx, paths, dirs, mode)
        rows = []
        above: dict[str, int] = {}  # the nearest directory that is there already
        for path, new, access_id in zip(paths, ids, access, strict=True):
            parent, name = lfn.split(path)
            own = self._rights.access(access_id)
            parent_id = dirs[parent].id
            above[path] = above.get(parent, parent_id)
            rows.append((new, parent_id, name, path, own.owner, own.group, own.mode, own.acl, access_id, above[path]))
            dirs[path] = Directory(path, new, access_id)
        if await self._store.add_directories(tx.connection, rows, tx.at) != len(rows):
            raise LostRace

    async def _accesses(
        self, tx: Transaction, paths: Sequence[str], dirs: dict[str, Directory], mode: int
    ) -> list[int]:
        """The access row of each new directory, parents first. As many rounds as there are unlike generations."""
        known = {path: d.access_id for path, d in dirs.items()}
        waiting = list(paths)
        while waiting:
            later, ready, rows = [], [], []
            for path in waiting:
                above = known.get(lfn.split(path)[0])
                if above is None:
                    later.append(path)
                    continue
                parent = self._rights.access(above)
                owner, group, own_mode, acl_id = await self.inherit(tx, parent, mode, directory=True)
                if (owner, group, own_mode, acl_id) == parent[1:]:
                    known[path] = above
                else:
                    ready.append(path)
                    rows.append(Access(above, owner, group, own_mode, acl_id))
            known.update(zip(ready, await self._rights.intern_access(tx.connection, rows), strict=True))
            waiting = later
        return [known[p] for p in paths]

    async def inherit(
        self, tx: Transaction, parent: Access, mode: int, *, directory: bool
    ) -> tuple[int, int, int, int]:
        """(owner, group, mode, ACL id) of a new child of a directory: the directory's group if one is in it, else one's
        own."""
        who = tx.caller.principal
        group = parent.group if parent.group in who.groups or who.superuser or not who.groups else who.group
        if parent.acl == 0:
            return who.id, group, mode, 0
        new_mode, new_acl = acls.inherit(self._rights.acl(parent.acl), mode, directory=directory)
        return who.id, group, new_mode, await self._rights.intern_acl(tx.connection, new_acl)
