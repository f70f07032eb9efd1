"""Registration: files with their copies enter the catalogue, a thousand in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.access.rights import REACH, W
from catalog.db import LostRace, Transaction
from catalog.elements.layout import check_pfn, derived, implied
from catalog.namespace.directories import FILE_MODE
from catalog.namespace.locate import Directory
from catalog.namespace.service import Same, checksums, outcomes
from lading.model import checksum, lfn
from lading.model.errors import CatalogError, Conflict, InvalidRequest
from lading.model.file import FileSpec, Registered
from lading.model.guid import canonical, new_guids
from lading.model.metadata import check_metadata
from lading.model.replica import STATES, ReplicaState

from .store import FILE, ReplicasStore, array

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from catalog.db import Database
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.provenance import Provenance
    from catalog.namespace.service import NamespaceService
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

    from .changes import ReplicaChanges

MAX_METADATA = 65_536
_STATE = {s.value: n for n, s in enumerate(STATES)}


class _Item:
    """A file on its way in: the checked spec, and where it goes."""

    __slots__ = ("adler32", "directory", "guid", "name", "others", "path", "replicas", "spec")

    def __init__(self, spec: FileSpec, path: str, guid: str | None) -> None:
        self.spec = spec
        self.path = path
        self.guid = guid
        self.adler32, self.others = split_checksums(spec.checksums)
        self.directory: Directory | None = None
        self.name = ""
        self.replicas: list[tuple[Element, int, str | None]] = []


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

    async def register(
        self, caller: Caller, specs: Sequence[FileSpec], *, parents: bool = True, dry_run: bool = False
    ) -> Outcomes[Registered]:
        """Register files and their replicas. Nothing is read from storage: this is the catalogue's side alone.

        The same file again is a success (replicas it did not have are added). Outcome errors: InvalidRequest, NotFound
        (element), Forbidden (the directory), Conflict (the LFN has other content, the GUID is another file's).
        """

        refused: dict[int, CatalogError] = {}

        async def work(tx: Transaction) -> Outcomes[Registered]:
            results = await self.register_in(tx, specs, parents=parents, refused=refused)
            return outcomes([s.lfn for s in specs], results, changes=True)

        while True:
            try:
                return await self._db.change(caller, "register", work, dry_run=dry_run)
            except _AncestryRefused as error:  # again from the start, without the files that can't have theirs
                refused |= error.errors

    async def register_in(
        self,
        tx: Transaction,
        specs: Sequence[FileSpec],
        *,
        parents: bool = True,
        refused: dict[int, CatalogError] | None = None,
    ) -> list[Registered | CatalogError | Same]:
        """`register` within a transaction under way, whose first statement this must be."""
        await self._elements.ready(tx.connection)
        await self._names.ready(tx.connection)
        results: list[Any] = [(refused or {}).get(i) for i in range(len(specs))]
        items: dict[int, _Item] = {}
        for i, spec in enumerate(specs):
            if results[i] is not None:
                continue
            try:
                items[i] = self._check(spec)
            except CatalogError as error:
                results[i] = error
        if not items:
            return results
        await self._names.store.lock(tx.connection, [item.path for item in items.values()])
        await self._place(tx, items, results, parents)
        if tx.attempt:  # a GUID was taken: now look which
            await self._refuse_taken_guids(tx, items, results)
        fresh, again = _split_repeated(items)
        if fresh:
            rows = await self._rows(tx, list(fresh.values()))
            added = await self._store.register(tx.connection, rows, tx.caller.principal.id, tx.at)
            if added != len(fresh):
                again |= await self._not_added(tx, fresh)
            await self._store.cancel_deletions(tx.connection, _may_be_going(fresh.values()))
        for i, item in fresh.items():
            if i not in again:
                results[i] = Registered(item.guid or "")
        if again:
            await self._meet_existing(tx, again, results)
        await self._add_ancestors(tx, items, results)
        done = [item.directory.path for i, item in items.items() if item.directory and type(results[i]) is Registered]
        where = sorted(set(done))
        tx.audit(where[:20], count=len(done), directories=len(where))
        return results

    async def refuse_taken(self, tx: Transaction, guid: str, path: str) -> None:
        """Raises Conflict when some file, in the trash or not, has this GUID: `path` is to be a new one."""
        for _, directory, name in await self._store.guids_taken(tx.connection, [guid]):
            raise _not_yours(guid, directory, name, path)

    async def cancel_deletions(self, tx: Transaction, element_id: int, pfn: str) -> None:
        """An object is about to be written where one was to be deleted."""
        await self._store.cancel_deletions(tx.connection, [(element_id, pfn)])

    def _check(self, spec: FileSpec) -> _Item:
        path = self._names.locator.true_name(spec.lfn)
        item = _Item(spec, path, canonical(spec.guid) if spec.guid else None)
        if spec.comment and (len(spec.comment) > 4096 or "\x00" in spec.comment):
            told = "is longer than 4096 characters or holds a NUL"
            raise InvalidRequest(f"the comment of '{lfn.shown(path)}' {told}", lfn=path)
        if not all(t is None or -(2**63) <= t < 2**63 for t in (spec.ctime, spec.mtime)):
            raise InvalidRequest(f"the times of '{lfn.shown(path)}' are not microseconds since the epoch", lfn=path)
        if spec.metadata:
            check_metadata(spec.metadata)
        seen = set()
        for replica in spec.replicas:
            element = self._elements.named(replica.se)
            if element.id in seen:
                raise InvalidRequest(f"'{lfn.shown(path)}' has two replicas on '{element.name}'", lfn=path)
            seen.add(element.id)
            state = _STATE.get(replica.state)
            if state is None or state == _STATE[ReplicaState.COPYING.value]:
                raise InvalidRequest(f"'{replica.state[:40]}' is not a state a replica is registered in", lfn=path)
            item.replicas.append((element, state, check_pfn(replica.pfn) if replica.pfn is not None else None))
        return item

    async def _place(self, tx: Transaction, items: dict[int, _Item], results: list[Any], parents: bool) -> None:
        """Find (or make) each item's directory; items that have none, or no right to one, leave with their reason."""
        who, rights = tx.caller.principal, self._names.rights
        split = {i: lfn.split(item.path) for i, item in items.items()}
        wanted = list(dict.fromkeys(s[0] for s in split.values() if s[0]))
        found = await self._names.locator.known(tx.connection, wanted)
        missing = [p for p in wanted if p not in found]
        if missing and parents:
            more, made = await self._names.maker.make(tx, missing)
            found.update(more)
            tx.audit(sorted(made), action="mkdir")
        elif missing:
            found.update(await self._names.locator.directories(tx.connection, who, missing))
        for i, (parent, name) in split.items():
            item = items[i]
            directory = found.get(parent)
            if not name or directory is None:
                results[i] = Conflict("'/' is the root directory", lfn="/")
            elif isinstance(directory, CatalogError):
                results[i] = directory
            else:
                where = item.path if who.narrowed else directory.path
                if rights.directory(who, directory.access_id, where) & (W | REACH) != W | REACH:
                    results[i] = self._names.maker.denied(directory, item.path)
                else:
                    item.directory, item.name = directory, name
                    at = lfn.join(directory.path, name)
                    item.replicas = [(e, s, p if p is not None else _placed(e, at)) for e, s, p in item.replicas]
        for i in [i for i, item in items.items() if item.directory is None]:
            del items[i]

    async def _refuse_taken_guids(self, tx: Transaction, items: dict[int, _Item], results: list[Any]) -> None:
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
                results[i] = _not_yours(guid, path, name, item.path)
                del items[i]
            elif first.setdefault(guid, here) != here:
                results[i] = Conflict(f"GUID {guid} is given twice in this call", lfn=item.path, guid=guid)
                del items[i]

    async def _rows(self, tx: Transaction, items: Sequence[_Item]) -> list[list[Any]]:
        """The columns of `ReplicasStore.register`. What no item has is an empty column."""
        inherited: dict[int, dict[int, tuple[int, int, int, int]]] = {}
        fresh = iter(new_guids(sum(1 for item in items if item.guid is None)))
        columns: list[list[Any]] = [[] for _ in range(16)]
        for item in items:
            directory, spec = item.directory, item.spec
            assert directory is not None
            if item.guid is None:
                item.guid = next(fresh)
            mode = FILE_MODE if spec.mode is None else spec.mode
            of_mode = inherited.setdefault(mode, {})
            if directory.access_id not in of_mode:
                parent = self._names.rights.access(directory.access_id)
                of_mode[directory.access_id] = await self._names.maker.inherit(tx, parent, mode, directory=False)
            _, group, own_mode, acl = of_mode[directory.access_id]
            states, pfns = self._replica_columns(item)
            row = (
                directory.id, item.name, spec.size, item.guid, item.adler32, array([e.id for e, _, _ in item.replicas]),
                group, own_mode, acl, states, item.others, pfns, spec.ctime, spec.mtime, spec.metadata or None, spec.comment,
            )  # fmt: skip
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        return [c if n < 9 or any(v is not None for v in c) else [] for n, c in enumerate(columns)]

    @staticmethod
    def _replica_columns(item: _Item) -> tuple[str | None, dict[str, str] | None]:
        states = array([s for _, s, _ in item.replicas]) if any(s for _, s, _ in item.replicas) else None
        return states, {str(element.id): pfn for element, _, pfn in item.replicas if pfn is not None} or None

    async def _not_added(self, tx: Transaction, fresh: dict[int, _Item]) -> dict[int, _Item]:
        """Those whose name was taken."""
        order = list(fresh)
        places = [(item.directory.id, item.name) for item in fresh.values() if item.directory]
        rows = await self._store.existing(tx.connection, [p[0] for p in places], [p[1] for p in places])
        return {order[r["o"] - 1]: fresh[order[r["o"] - 1]] for r in rows if not r["mine"]}

    async def _meet_existing(self, tx: Transaction, items: dict[int, _Item], results: list[Any]) -> None:
        """Same content: a success, its replicas added where they are new. Other content: a Conflict that says what differs."""
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
            different = difference(item, row)
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

    async def _add_ancestors(self, tx: Transaction, items: dict[int, _Item], results: list[Any]) -> None:
        wanted = {
            i: item for i, item in items.items() if item.spec.ancestors and not isinstance(results[i], CatalogError)
        }
        if not wanted:
            return
        pairs = [(item.path, item.spec.ancestors) for item in wanted.values()]
        added = zip(wanted, await self._provenance.add_in(tx, pairs), strict=True)
        errors = {i: error for i, error in added if error is not None}
        if errors:
            raise _AncestryRefused(errors)


class _AncestryRefused(Exception):
    """These files can't have the ancestors they name: they must not be there without them."""

    def __init__(self, errors: dict[int, CatalogError]) -> None:
        super().__init__("ancestry refused")
        self.errors = errors


def _not_yours(guid: str, directory: str, name: str, path: str) -> Conflict:
    where = f"'{lfn.shown(lfn.join(directory, name))}'" if directory.startswith("/") else "a file in the trash"
    return Conflict(f"GUID {guid} belongs to {where}", lfn=path, guid=guid)


def _placed(element: Element, path: str) -> str | None:
    """The PFN that a new copy has to remember, None where the file's GUID tells it."""
    pfn, stored = derived(element, "", path)
    return pfn if stored else None


def _may_be_going(items: Iterable[_Item]) -> list[tuple[int, str]]:
    """Objects (element id, PFN) that may be queued for deletion since an earlier life; a GUID made just now had none."""
    return [
        (element.id, implied(element, item.guid or "") if pfn is None else pfn)
        for item in items
        for element, _, pfn in item.replicas
        if pfn is not None or item.spec.guid
    ]


def _split_repeated(items: dict[int, _Item]) -> tuple[dict[int, _Item], dict[int, _Item]]:
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


def difference(item: _Item, row: asyncpg.Record) -> str | None:
    """In what an existing row differs from the file to register; None when they are the same."""
    spec = item.spec
    if row["kind"] != FILE:
        return "a directory has that name" if row["kind"] == 1 else "a link has that name"
    if row["size"] is not None and row["size"] != spec.size:
        return f"its size is {row['size']}, not {spec.size}"
    if item.guid and row["guid"] != item.guid and spec.guid:
        return f"its GUID is {row['guid']}, not {item.guid}"
    known = checksums(row["adler32"], row["csum"])
    mine = checksums(item.adler32, item.others)
    for kind in known.keys() & mine.keys():
        if known[kind] != mine[kind]:
            return f"its {kind} is {known[kind]}, not {mine[kind]}"
    return None


def split_checksums(given: dict[str, str]) -> tuple[int | None, str | None]:
    """(adler32 as a signed number, the others as stored). Raises InvalidRequest naming the kind."""
    if not given:
        return None, None
    checked: dict[str, str] = {}
    for kind, value in given.items():
        try:
            written = checksum.normalise(kind, value)
            if checked.setdefault(checksum.kind(kind), written) != written:
                raise InvalidRequest(f"two values are given for {checksum.kind(kind)}", checksum=kind[:20])
        except ValueError as error:
            raise InvalidRequest(str(error), checksum=kind[:20]) from None
    adler = checked.pop("adler32", None)
    number = None
    if adler is not None:
        number = int(adler, 16)
        number -= 1 << 32 if number >= 1 << 31 else 0
    return number, ",".join(f"{k}:{v}" for k, v in sorted(checked.items())) or None
