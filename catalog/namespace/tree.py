"""Moving and renaming: entries by thousands, or a whole directory in one transaction that touches no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from catalog.access.rights import REACH, Access, W
from catalog.db import LostRace
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound

from .arrivals import Arrivals
from .inheritance import Inheritance
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


class _Step(NamedTuple):
    """An entry and where it goes."""

    entry: Found
    directory: Directory
    name: str


class Tree:
    def __init__(self, names: NamespaceService) -> None:
        self._names = names
        self._store = TreeStore()
        self._inheritance = Inheritance()
        self._arrivals = Arrivals(names.values)

    async def move(self, caller: Caller, moves: Sequence[Move], *, dry_run: bool = False) -> Outcomes[None]:
        """Move or rename, each as `mv -n` would: into a target that is a directory, never over anything that exists.

        GUIDs, replicas and usage go along; bytes stay where they are. Outcome errors: NotFound, Forbidden, Conflict
        (the target exists), InvalidRequest (into itself, too long).
        """

        async def work(tx: Transaction, sources: list[str | CatalogError]) -> list[Any]:
            return await self._move(tx, moves, sources)

        return await self._names.change(caller, "move", [m.source for m in moves], work, dry_run=dry_run, wide=True)

    async def _move(self, tx: Transaction, moves: Sequence[Move], sources: list[str | CatalogError]) -> list[Any]:
        targets = self._names.locator.true_names([m.target for m in moves])
        steps = await self._look(tx, sources, targets)
        exclusive, places = _needs(steps)
        await self._names.store.lock(tx.connection, places, exclusive=exclusive)
        steps = await self._look(tx, sources, targets)  # again, now that nobody moves them
        if exclusive < _needs(steps)[0] or {lfn.vo(p) for p in _needs(steps)[1]} - {lfn.vo(p) for p in places}:
            raise LostRace
        results: list[Any] = []
        files: list[tuple[int, int, str]] = []
        arrived: dict[str, list[int]] = {}
        done: list[str] = []
        moved: set[int] = set()
        taken: set[tuple[int, str]] = set()
        shifted = False
        for seen, source, target in zip(steps, sources, targets, strict=True):
            try:
                # Once a directory went elsewhere, what was seen before may have gone with it.
                step = (await self._look(tx, [source], [target]))[0] if shifted else seen
                if isinstance(step, CatalogError):
                    raise step
                entry, directory, name = step
                if entry.row["id"] in moved:
                    raise NotFound(f"'{lfn.shown(entry.path)}' was moved by this same call", lfn=entry.path)
                if (directory.id, name) in taken:
                    raise Conflict(f"'{lfn.shown(lfn.join(directory.path, name))}' is a target twice in this call")
                if (entry.dir_id, entry.row["name"]) == (directory.id, name):
                    results.append(False)
                    continue
                if entry.row["kind"] == DIRECTORY:
                    await self._move_directory(tx, entry, directory, name)
                    shifted = True
                else:
                    files.append((entry.row["id"], directory.id, name))
                    moved.add(entry.row["id"])
                    if (vo := lfn.vo(lfn.join(directory.path, name))) != lfn.vo(entry.path):
                        arrived.setdefault(vo, []).append(entry.row["id"])
                    taken.add((directory.id, name))
                done.append(f"{entry.path} -> {lfn.join(directory.path, name)}")
                results.append(None)
            except CatalogError as error:
                results.append(error)
        if files:
            await self._names.frozen.moving(tx.connection, places)
            await self._store.move_entries(tx.connection, *(list(c) for c in zip(*files, strict=True)))
            await self._arrivals.files(tx, arrived)
        tx.audit(done)
        return results

    async def _find(
        self, tx: Transaction, paths: Sequence[str | CatalogError], *, follow: bool = False
    ) -> list[Found | CatalogError]:
        good = [p for p in paths if isinstance(p, str)]
        found = iter(await self._names.locator.entries(tx.connection, tx.caller.principal, good, follow=follow))
        return [next(found) if isinstance(p, str) else p for p in paths]

    async def _look(
        self, tx: Transaction, sources: Sequence[str | CatalogError], targets: Sequence[str | CatalogError]
    ) -> list[_Step | CatalogError]:
        """Where each source would go and that it may, or why not: a few statements for all of them."""
        locator, who = self._names.locator, tx.caller.principal
        entries = await self._find(tx, sources)
        there = await self._find(tx, targets, follow=True)
        into = [f.path for f in there if isinstance(f, Found) and f.row["kind"] == DIRECTORY]
        places = await locator.known(tx.connection, list(dict.fromkeys(into)))
        new = [t for t, at in zip(targets, there, strict=True) if isinstance(t, str) and isinstance(at, NotFound)]
        places |= await locator.directories(
            tx.connection, who, [p for p in (lfn.split(t)[0] for t in new) if p not in places]
        )
        steps: list[_Step | CatalogError] = []
        for source, target, at in zip(entries, targets, there, strict=True):
            try:
                steps.append(self._step(who, source, target, at, places))
            except CatalogError as error:
                steps.append(error)
        # Last of all, so that it says nothing to who may not look: is the place free? Not even a broken link is
        # replaced.
        ends = [s if isinstance(s, CatalogError) else lfn.join(s.directory.path, s.name) for s in steps]
        return [
            self._free(s, at) if isinstance(s, _Step) else s
            for s, at in zip(steps, await self._find(tx, ends), strict=True)
        ]

    @staticmethod
    def _free(step: _Step, at: Found | CatalogError) -> _Step | CatalogError:
        if isinstance(at, CatalogError):
            return step if isinstance(at, NotFound) else at
        if at.row["id"] == step.entry.row["id"]:
            return step
        return Conflict(f"'{lfn.shown(at.path)}' exists already", lfn=at.path)

    def _step(
        self,
        who: Principal,
        source: Found | CatalogError,
        target: str | CatalogError,
        at: Found | CatalogError,
        places: Mapping[str, Directory | CatalogError],
    ) -> _Step:
        """Raises CatalogError."""
        if isinstance(source, CatalogError):
            raise source
        if isinstance(target, CatalogError):
            raise target
        if source.path == "/":
            raise InvalidRequest("the root can't be moved")
        self.may_take(who, source)
        if isinstance(at, CatalogError) and not isinstance(at, NotFound):
            raise at
        if isinstance(at, NotFound):
            parent, name = lfn.split(target)
        elif at.row["id"] == source.row["id"]:
            return _Step(
                source, Directory(lfn.split(source.path)[0], source.dir_id, source.access_id), source.row["name"]
            )
        elif at.row["kind"] == DIRECTORY:
            parent, name = at.path, source.row["name"]
        else:
            raise Conflict(f"'{lfn.shown(target)}' exists already", lfn=target)
        directory = places[parent]
        if isinstance(directory, CatalogError):
            raise directory
        if source.row["kind"] == DIRECTORY and lfn.is_within(directory.path, source.path):
            raise InvalidRequest(f"'{lfn.shown(source.path)}' can't be moved into itself", lfn=source.path)
        staying = (source.dir_id, source.row["name"]) == (directory.id, name)
        if not staying and not self._names.maker.may_add(who, directory, lfn.join(directory.path, name)):
            raise self._names.maker.denied(directory, target)
        return _Step(source, directory, name)

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
        """The entry and the paths of its subtree; rights and inherited values are worked out again where they
        differ."""
        new = lfn.join(directory.path, name)
        await self.check_length(tx, source.path, new)
        await self._store.move_entries(tx.connection, [source.row["id"]], [directory.id], [name])
        await self._store.move_paths(tx.connection, source.path, new)
        if directory.access_id != source.access_id:
            await self.rebase(tx, new)
        await self._inheritance.rework(tx, [new])
        await self._arrivals.directory(tx, source.path, new)

    async def check_length(self, tx: Transaction, old: str, new: str) -> None:
        """Raises InvalidRequest when a directory at or below `old` could not be at `new`: its path would be too
        long."""
        grown = len(new.encode()) - len(old.encode())
        if grown > 0 and await self._store.longest_path(tx.connection, old) + grown > lfn.MAX_PATH - _ROOM:
            raise InvalidRequest(
                f"paths below '{lfn.shown(new)}' would become longer than {lfn.MAX_PATH - _ROOM} bytes", lfn=new
            )

    async def rebase(
        self, tx: Transaction, path: str, own: Mapping[int, tuple[int, int, int, int]] | None = None
    ) -> None:
        """Work out the access rows of a directory and all below it, on that of the directory above.

        `own` gives new (owner, group, mode, ACL) of some by id. Work per directory, in chunks; nothing per file.
        """
        rights, store = self._names.rights, self._names.store
        rows = {r["o"]: r for r in await store.directories(tx.connection, [path, lfn.split(path)[0]])}
        top, above = rows[1], rows[2]["access_id"] if 2 in rows else 0  # 0: the root has nothing above
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


def _needs(steps: Sequence[_Step | CatalogError]) -> tuple[bool, list[str]]:
    """(must nobody else be at work, the paths touched): what to lock for these steps."""
    good = [s for s in steps if isinstance(s, _Step)]
    places = [p for s in good for p in (s.entry.path, lfn.join(s.directory.path, s.name))]
    return any(s.entry.row["kind"] == DIRECTORY for s in good), places
