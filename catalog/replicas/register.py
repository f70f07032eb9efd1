"""Registration: files with their copies enter the catalogue, a thousand in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.access.rights import REACH, W
from catalog.db import LostRace, Transaction
from catalog.namespace.inheritance import Inheritance
from catalog.namespace.service import Same, outcomes
from catalog.namespace.values import lacks
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict
from lading.model.file import FileSpec, Registered
from lading.model.guid import new_guids

from .existing import difference, misplaced, not_yours
from .incoming import Incoming, columns, may_be_going
from .store import ReplicasStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.db import Database
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.locate import Directory
    from catalog.namespace.provenance import Provenance
    from catalog.namespace.service import NamespaceService
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

    from .changes import ReplicaChanges

_NAMED = 20  # names that one audit row has at most


class Registrar:
    def __init__(
        self,
        database: Database,
        names: NamespaceService,
        elements: ElementsService,
        changes: ReplicaChanges,
        provenance: Provenance,
    ) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._changes = changes
        self._provenance = provenance
        self._store = ReplicasStore()
        self._inheritance = Inheritance()

    async def register(
        self, caller: Caller, specs: Sequence[FileSpec], *, parents: bool = True, dry_run: bool = False
    ) -> Outcomes[Registered]:
        """Register files and their replicas. Nothing is read from storage: this is the catalogue's side alone.

        The same file again is a success (replicas it did not have are added). Outcome errors: InvalidRequest, NotFound
        (element), Forbidden (the directory), Conflict (the LFN has other content, the GUID is another file's, a copy is
        at another PFN).
        """

        refused: dict[int, CatalogError] = {}

        async def work(tx: Transaction) -> Outcomes[Registered]:
            items, results, made = await self._register(tx, specs, parents, refused)
            good = [i for i, result in enumerate(results) if not isinstance(result, CatalogError)]
            used = {items[i].where.path for i in good} if made else set()
            if made - used - {above for path in used for above in lfn.parents(path)}:
                raise _Refused({i: r for i, r in enumerate(results) if isinstance(r, CatalogError)})
            self._audit(tx, [items[i] for i in good if type(results[i]) is Registered])
            return outcomes([s.lfn for s in specs], results, changes=True)

        while True:
            try:
                return await self._db.change(caller, "register", work, dry_run=dry_run)
            except _Refused as error:
                refused |= error.errors

    async def register_in(self, tx: Transaction, spec: FileSpec) -> Registered | CatalogError | Same:
        """Register one file within a transaction under way, which takes no structure lock before this, and notes in
        the audit what it did. Who does not try again after an error must roll back: directories may have been made."""
        return (await self._register(tx, [spec], True, {}, elsewhere=True))[1][0]

    async def _register(
        self,
        tx: Transaction,
        specs: Sequence[FileSpec],
        parents: bool,
        refused: Mapping[int, CatalogError],
        *,
        elsewhere: bool = False,
    ) -> tuple[dict[int, Incoming], list[Any], set[str]]:
        """(the files not `refused` now or before, all results, the directories made).

        `elsewhere`: where the element has a copy at another PFN than the one given, that will do.
        """
        await self._elements.ready(tx.connection)
        await self._names.ready(tx.connection)
        results: list[Any] = [refused.get(i) for i in range(len(specs))]
        items: dict[int, Incoming] = {}
        for i, place in enumerate(self._names.locator.places([s.lfn for s in specs])):
            if results[i] is not None:
                continue
            try:
                if isinstance(place, CatalogError):
                    raise place
                items[i] = Incoming(specs[i], *place, self._elements)
            except CatalogError as error:
                results[i] = error
        if not items:
            return items, results, set()
        places = {item.parent if item.parent != "/" else item.path for item in items.values()}
        await self._names.store.lock(tx.connection, places)
        made = await self._place(tx, items, results, parents)
        used = await self._describe(tx, items, results)
        if tx.attempt:  # a GUID was taken: now look which
            await self._refuse_taken_guids(tx, items, results)
        fresh, again = _split_repeated(items)
        if fresh:
            if await self._add(tx, list(fresh.values())) != len(fresh):
                again |= await self._not_added(tx, fresh)
            await self._store.cancel_deletions(tx.connection, may_be_going(fresh.values()))
            if used:
                await self._names.values.learn(tx, used, directories=False)
        for i, item in fresh.items():
            if i not in again:
                results[i] = Registered(item.guid or "")
        if again:
            await self._meet_existing(tx, again, results, elsewhere)
        await self._add_ancestors(tx, items, results)
        return items, results, made

    @staticmethod
    def _audit(tx: Transaction, done: Sequence[Incoming]) -> None:
        """A few files by name; many by their directories, as a row with a million names helps nobody."""
        where = sorted({item.directory.path for item in done if item.directory})
        names = where[:_NAMED]
        if len(done) <= _NAMED:
            names = sorted(lfn.join(item.directory.path, item.name) for item in done if item.directory)
        tx.audit(names, count=len(done), directories=len(where))

    async def refuse_taken(self, tx: Transaction, guid: str, path: str) -> None:
        """Raises Conflict when some file, in the trash or not, has this GUID: `path` is to be a new one."""
        for _, directory, name in await self._store.guids_taken(tx.connection, [guid]):
            raise not_yours(guid, directory, name, path)

    async def cancel_deletions(self, tx: Transaction, element_id: int, pfn: str) -> None:
        """An object is about to be written where one was to be deleted."""
        await self._store.cancel_deletions(tx.connection, [(element_id, pfn)])

    async def _place(self, tx: Transaction, items: dict[int, Incoming], results: list[Any], parents: bool) -> set[str]:
        """Find (or make) each item's directory; items that have none, or no right to one, leave with their reason.
        The directories made."""
        who, names = tx.caller.principal, self._names
        wanted: dict[str, list[int]] = {}
        for i, item in items.items():
            wanted.setdefault(item.parent, []).append(i)
        found = await names.locator.known(tx.connection, list(wanted))
        missing = [p for p in wanted if p and p not in found]
        made: set[str] = set()
        if missing and parents:
            more, made = await names.maker.make(tx, missing)
            found.update(more)
            tx.audit(sorted(made), action="mkdir")
        elif missing:
            found.update(await names.locator.held(tx, missing))
        for parent, members in wanted.items():
            directory = found.get(parent) or Conflict("'/' is the root directory", lfn="/")
            allowed: bool | None = None
            for i in members:
                item = items[i]
                if isinstance(directory, CatalogError):
                    results[i] = directory
                    del items[i]
                    continue
                if allowed is None or who.narrowed:  # a narrowed token is held against each name
                    allowed = self._may(who, directory, item)
                try:
                    if not allowed:
                        raise names.maker.denied(directory, item.path)
                    item.place(directory)
                except CatalogError as error:
                    results[i] = error
                    del items[i]
        return made

    def _may(self, who: Principal, directory: Directory, item: Incoming) -> bool:
        where = item.path if who.narrowed else directory.path
        return self._names.rights.directory(who, directory.access_id, where) & (W | REACH) == W | REACH

    async def _describe(self, tx: Transaction, items: dict[int, Incoming], results: list[Any]) -> dict[str, set[str]]:
        """Check each item's values and give them their stored forms; {VO: keys}. New files must have what is
        required."""
        values = self._names.values
        described = {i: item for i, item in items.items() if item.metadata}
        used: dict[str, set[str]] = {}
        if described:
            await values.current(tx.connection)
        for i, item in described.items():
            try:
                item.metadata = values.stored(item.where.path, item.metadata)
                used.setdefault(lfn.vo(item.where.path), set()).update(item.metadata)
            except CatalogError as error:
                results[i] = error
                del items[i]
        required = {path: set(values.required(path)) for path in {item.where.path for item in items.values()}}
        if any(required.values()):
            await self._require(tx, required, items, results)
        return used

    async def _require(
        self, tx: Transaction, required: Mapping[str, set[str]], items: dict[int, Incoming], results: list[Any]
    ) -> None:
        inherited = await self._inheritance.effective(tx.connection, [path for path, keys in required.items() if keys])
        lacking: dict[int, list[str]] = {}
        for i, item in items.items():
            keys = required[item.where.path]
            if keys and (missing := sorted(keys - item.metadata.keys() - inherited[item.where.path].keys())):
                lacking[i] = missing
        if lacking:
            there = await self._not_added(tx, {i: items[i] for i in lacking}, mine=True)
            for i in lacking.keys() - there.keys():
                results[i] = lacks(items[i].path, lacking[i])
                del items[i]

    async def _refuse_taken_guids(self, tx: Transaction, items: dict[int, Incoming], results: list[Any]) -> None:
        given = list({item.guid for item in items.values() if item.guid})
        taken = {guid: (path, name) for guid, path, name in await self._store.guids_taken(tx.connection, given)}
        first: dict[str, tuple[str, str]] = {}
        for i, item in list(items.items()):
            assert item.directory is not None
            guid, here = item.guid, (item.directory.path, item.name)
            if guid is None:
                continue
            path, name = taken.get(guid, here)
            if (path, name) != here:
                results[i] = not_yours(guid, path, name, item.path)
                del items[i]
            elif first.setdefault(guid, here) != here:
                results[i] = Conflict(f"GUID {guid} is given twice in this call", lfn=item.path, guid=guid)
                del items[i]

    async def _add(self, tx: Transaction, items: Sequence[Incoming]) -> int:
        """Insert them; the number whose name was free."""
        names = self._names
        inherited: dict[tuple[int, int], tuple[int, int, int]] = {}
        shared: dict[tuple[int, int], tuple[int, int, int]] = {}
        for item in items:
            key = (item.where.id, item.mode)
            if key not in shared:
                alike = (item.where.access_id, item.mode)
                if alike not in inherited:
                    parent = names.rights.access(item.where.access_id)
                    inherited[alike] = (await names.maker.inherit(tx, parent, item.mode, directory=False))[1:]
                shared[key] = inherited[alike]
        fresh = new_guids(sum(1 for item in items if item.guid is None))
        made = columns(items, shared, fresh)
        return await self._store.register(tx.connection, *made, tx.caller.principal.id, tx.at)

    async def _not_added(
        self, tx: Transaction, fresh: dict[int, Incoming], *, mine: bool = False
    ) -> dict[int, Incoming]:
        """Those whose name was taken (by an earlier transaction; with `mine` by this one, too)."""
        order = list(fresh)
        places = [(item.directory.id, item.name) for item in fresh.values() if item.directory]
        rows = await self._store.existing(tx.connection, [p[0] for p in places], [p[1] for p in places])
        return {order[r["o"] - 1]: fresh[order[r["o"] - 1]] for r in rows if mine or not r["mine"]}

    async def _meet_existing(
        self, tx: Transaction, items: dict[int, Incoming], results: list[Any], elsewhere: bool
    ) -> None:
        """Same content: a success, its replicas added where they are new. Other content: a Conflict that says what
        differs."""
        order = list(items)
        places = [(item.directory.id, item.name) for item in items.values() if item.directory]
        rows = await self._store.existing(tx.connection, [p[0] for p in places], [p[1] for p in places])
        add: list[tuple[int, Element, int, str | None]] = []
        adds: list[int] = []
        seen = set()
        for row in rows:
            i = order[row["o"] - 1]
            seen.add(i)
            item = items[i]
            different = difference(item, row) or (None if elsewhere else misplaced(item, row))
            if different:
                results[i] = Conflict(f"'{lfn.shown(item.path)}' exists already: {different}", lfn=item.path)
                continue
            item.guid = row["guid"]
            more = [(row["id"], *r) for r in item.replicas if r[0].id not in row["se"]]
            add += more
            adds += [i] * len(more)
            results[i] = Same(Registered(row["guid"]))
        if seen != set(order):
            raise LostRace  # removed between the two statements
        if add:  # of the same copy told of twice at once, one is new: an upload that lost must know that it did
            for i, added in zip(adds, await self._changes.add_in(tx, add), strict=True):
                if added:
                    results[i] = Registered(items[i].guid or "")

    async def _add_ancestors(self, tx: Transaction, items: dict[int, Incoming], results: list[Any]) -> None:
        wanted = {
            i: item for i, item in items.items() if item.spec.ancestors and not isinstance(results[i], CatalogError)
        }
        if not wanted:
            return
        pairs = [(item.path, item.spec.ancestors) for item in wanted.values()]
        added = zip(wanted, await self._provenance.add_in(tx, pairs), strict=True)
        errors = {i: error for i, error in added if error is not None}
        if errors:
            raise _Refused(errors)


class _Refused(Exception):
    """These files are refused, and something of theirs was written: again from the start, without them.

    It may be the files themselves, which can't have the ancestors they name, or directories made for nothing else.
    """

    def __init__(self, errors: dict[int, CatalogError]) -> None:
        super().__init__("refused")
        self.errors = errors


def _split_repeated(items: dict[int, Incoming]) -> tuple[dict[int, Incoming], dict[int, Incoming]]:
    """(the first of each name, those that repeat one)."""
    first: dict[tuple[int, str], int] = {}
    fresh, again = {}, {}
    for i, item in items.items():
        assert item.directory is not None
        if first.setdefault((item.directory.id, item.name), i) == i:
            fresh[i] = item
        else:
            again[i] = item
    return fresh, again
