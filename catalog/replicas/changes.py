"""Changes to the copies of files: register, change the state, drop."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from catalog.access.rights import R, W
from catalog.db import LostRace, Transaction
from catalog.elements.layout import check_pfn, derived, implied
from catalog.namespace.locate import Found
from catalog.namespace.service import outcomes
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.replica import STATES, ReplicaRef, ReplicaState

from .store import FILE, ReplicasStore, array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    import asyncpg

    from catalog.db import Connection, Database
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

AVAILABLE, SUSPECT, LOST = (STATES.index(s) for s in (ReplicaState.AVAILABLE, ReplicaState.SUSPECT, ReplicaState.LOST))


class Replicas:
    """The copies of one file, locked: change them, then `ReplicaChanges.write` them all."""

    def __init__(self, row: asyncpg.Record) -> None:
        self.id: int = row["id"]
        self.dir_id: int = row["dir_id"]
        self.size: int | None = row["size"]
        self.guid: str = row["guid"]
        self.se = list(row["se"])
        self.states = list(row["rstate"] or [AVAILABLE] * len(self.se))
        self.pfns: dict[str, str] = dict(row["pfn"] or {})
        self.before = list(self.se)
        self.added: list[tuple[int, str]] = []
        self.changed = False

    def pfn(self, element: Element) -> str:
        """Where the copy on `element` is."""
        return self.pfns.get(str(element.id)) or implied(element, self.guid)

    def add(self, element: Element, state: int, pfn: str | None) -> None:
        self.se.append(element.id)
        self.states.append(state)
        if pfn is not None:
            self.pfns[str(element.id)] = pfn
        self.added.append((element.id, self.pfn(element)))
        self.changed = True

    def drop(self, element_id: int) -> None:
        at = self.se.index(element_id)
        del self.se[at], self.states[at]
        self.pfns.pop(str(element_id), None)
        self.changed = True

    def row(self) -> tuple[int, str, str | None, dict[str, str] | None]:
        return self.id, array(self.se), array(self.states) if any(self.states) else None, self.pfns or None


class Hold(Protocol):
    """What a rule wants of a file."""

    @property
    def rule(self) -> int: ...

    def breaks(self, dropped: int, after: Set[int]) -> bool:
        """Would it lack a copy when that on `dropped` went? `after`: elements where good copies are left."""


class Holds(Protocol):
    """What knows rules."""

    async def needs(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, Sequence[Hold]]:
        """What is wanted of files, by id."""


class ReplicaChanges:
    """`holds` is set by whoever has rules."""

    holds: Holds | None = None

    def __init__(self, database: Database, names: NamespaceService, elements: ElementsService) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._store = ReplicasStore()

    # ── for callers ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def register(self, caller: Caller, refs: Sequence[ReplicaRef], *, dry_run: bool = False) -> Outcomes[None]:
        """Tell of copies that exist. Needs the right to write the file. The same copy again is a success.

        Outcome errors: NotFound (file, element), Forbidden, Conflict (it has one there at another PFN).
        """

        def one(ref: ReplicaRef, replicas: Replicas, element: Element, path: str) -> Any:
            pfn = check_pfn(ref.pfn) if ref.pfn is not None else None
            if ref.state == ReplicaState.COPYING:
                raise InvalidRequest(
                    "a copy on its way is the transfer's affair: register it when it is there", lfn=path
                )
            if element.id in replicas.se:
                there = replicas.pfn(element)
                if pfn is not None and pfn != there:
                    raise Conflict(
                        f"'{lfn.shown(path)}' has a replica on '{element.name}' already, at another PFN", pfn=there
                    )
                return False
            if pfn is None:
                placed, stored = derived(element, replicas.guid, path)
                pfn = placed if stored else None
            replicas.add(element, STATES.index(ref.state), pfn)
            return None

        return await self._each(caller, "replica.add", refs, one, W, dry_run=dry_run)

    async def set_state(self, caller: Caller, refs: Sequence[ReplicaRef], *, dry_run: bool = False) -> Outcomes[None]:
        """Set the state of replicas. Whoever may read a file may declare a copy suspect; all else needs the right to
        write.

        Outcome errors: NotFound (file, element, no replica there), Forbidden.
        """

        def one(ref: ReplicaRef, replicas: Replicas, element: Element, path: str) -> Any:
            if element.id not in replicas.se:
                raise NotFound(
                    f"'{lfn.shown(path)}' has no replica on '{element.name}'", lfn=path, element=element.name
                )
            at, state = replicas.se.index(element.id), STATES.index(ref.state)
            if replicas.states[at] == state:
                return False
            replicas.states[at] = state
            replicas.changed = True
            return None

        def needs(ref: ReplicaRef) -> int:
            return R if ref.state == ReplicaState.SUSPECT else W

        return await self._each(caller, "replica.state", refs, one, needs, dry_run=dry_run)

    async def drop(
        self,
        caller: Caller,
        refs: Sequence[ReplicaRef],
        *,
        keep_bytes: bool = False,
        force: bool = False,
        dry_run: bool = False,
    ) -> Outcomes[None]:
        """Forget copies, and have their bytes deleted by the cleaner unless `keep_bytes`. A copy that is not there:
        success.

        A copy that is not known to be lost stays (Conflict) while no other is available, or while a rule counts on it,
        unless `force`. Needs the right to write the file.
        """
        gone: list[tuple[int, str, int | None, str]] = []
        holds: Mapping[int, Sequence[Hold]] = {}

        def one(ref: ReplicaRef, replicas: Replicas, element: Element, path: str) -> Any:
            if element.id not in replicas.se:
                return False
            left = [s for e, s in zip(replicas.se, replicas.states, strict=True) if e != element.id]
            good = replicas.states[replicas.se.index(element.id)] != LOST
            if good and AVAILABLE not in left and not force:
                raise Conflict(f"this is the last good copy of '{lfn.shown(path)}': use 'rm', or force it", lfn=path)
            available = {
                e for e, s in zip(replicas.se, replicas.states, strict=True) if e != element.id and s == AVAILABLE
            }
            for hold in holds.get(replicas.id, ()) if good and not force else ():
                if hold.breaks(element.id, available):
                    raise Conflict(
                        f"rule {hold.rule} wants this copy of '{lfn.shown(path)}': see 'lading why', or force it",
                        lfn=path,
                    )
            gone.append((element.id, replicas.pfn(element), replicas.size, path))
            replicas.drop(element.id)
            return None

        async def after(tx: Transaction) -> None:
            if not keep_bytes:
                await self._store.queue_deletions(tx.connection, gone, tx.at)

        async def start(tx: Transaction, ids: Sequence[int]) -> None:
            nonlocal holds
            gone.clear()
            if self.holds is not None and not force:
                holds = await self.holds.needs(tx.connection, ids)

        return await self._each(caller, "replica.drop", refs, one, W, after=after, start=start, dry_run=dry_run)

    async def _each(
        self,
        caller: Caller,
        action: str,
        refs: Sequence[ReplicaRef],
        one: Any,
        needs: Any,
        *,
        after: Any = None,
        start: Any = None,
        dry_run: bool,
    ) -> Outcomes[None]:
        """Lock the files, run `one` for each reference, write what changed."""

        async def work(tx: Transaction) -> Outcomes[None]:
            await self._elements.ready(tx.connection)
            found = await self._names.find(tx.connection, caller, [r.lfn for r in refs])
            results: list[Any] = [f if isinstance(f, CatalogError) else None for f in found]
            locked = await self.lock(tx, [f.row["id"] for f in found if isinstance(f, Found)])
            if start:
                await start(tx, list(locked))
            for i, (ref, entry) in enumerate(zip(refs, found, strict=True)):
                if not isinstance(entry, Found):
                    continue
                try:
                    replicas = locked.get(entry.row["id"])
                    if replicas is None:
                        raise InvalidRequest(f"'{lfn.shown(entry.path)}' is not a file", lfn=entry.path)
                    self._allow(caller, entry, needs(ref) if callable(needs) else needs)
                    results[i] = one(ref, replicas, self._elements.named(ref.se), entry.path)
                except CatalogError as error:
                    results[i] = error
            notes = [
                (entry.row["id"], self._elements.named(ref.se).id, None, ref.note)
                for ref, entry, result in zip(refs, found, results, strict=True)
                if ref.note and isinstance(entry, Found) and result is None
            ]
            await self._store.note(tx.connection, notes, tx.at)
            if after:
                await after(tx)
            touched = [ref for ref, result in zip(refs, results, strict=True) if result is None]
            tx.audit([r.lfn for r in touched], elements=sorted({r.se for r in touched}))
            await self.write(tx, locked.values())
            return outcomes([r.lfn for r in refs], results, changes=True)

        return await self._db.change(caller, action, work, dry_run=dry_run)

    def _allow(self, caller: Caller, entry: Found, needs: int) -> None:
        row = entry.row
        rights = self._names.rights
        if (
            not rights.entry(caller.principal, entry.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"])
            & needs
        ):
            word = "read" if needs == R else "change"
            raise Forbidden(f"you may not {word} '{lfn.shown(entry.path)}'", lfn=entry.path)

    # ── for other services, inside their transactions ────────────────────────────────────────────────────────────────

    async def lock(self, tx: Transaction, file_ids: Sequence[int]) -> dict[int, Replicas]:
        """The replicas of files, by file id; directories and links are left out."""
        return {r["id"]: Replicas(r) for r in await self._store.lock(tx.connection, file_ids)}

    async def add_in(self, tx: Transaction, rows: Sequence[tuple[int, Element, int, str | None]]) -> list[bool]:
        """Add (file id, element, state, explicit PFN or None); those already there are left alone. Which were added.

        Raises LostRace when a file is gone.
        """
        locked = await self.lock(tx, [r[0] for r in rows])
        added = []
        for file_id, element, state, pfn in rows:
            if file_id not in locked:
                raise LostRace
            added.append(element.id not in locked[file_id].se)
            if added[-1]:
                locked[file_id].add(element, state, pfn)
        await self.write(tx, locked.values())
        return added

    async def write(self, tx: Transaction, files: Any) -> None:
        """Write what changed, and the usage it implies: the last statements of a transaction."""
        changed = [f for f in files if f.changed]
        if not changed:
            return
        await self._store.write(tx.connection, [f.row() for f in changed], tx.at)
        if any(any(f.states) for f in changed):  # a bad copy: who mends is woken
            tx.notices.add("requests")
        await self._store.cancel_deletions(tx.connection, [a for f in changed for a in f.added])
        # A scan of what was on storage at some time has to know which copies are younger than their files.
        await self._store.note(tx.connection, [(f.id, se, None, None) for f in changed for se, _ in f.added], tx.at)
        deltas: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
        dropped = []
        for f in changed:
            for se_id in set(f.before) ^ set(f.se):
                sign = 1 if se_id in f.se else -1
                n, b = deltas[f.dir_id, se_id]
                deltas[f.dir_id, se_id] = (n + sign, b + sign * (f.size or 0))
                if sign < 0:
                    dropped.append((f.id, se_id))
        if dropped:
            await self._store.forget_notes(tx.connection, [d[0] for d in dropped], [d[1] for d in dropped])
        await self._store.add_usage(tx.connection, deltas)


__all__ = ["AVAILABLE", "FILE", "LOST", "SUSPECT", "ReplicaChanges", "Replicas"]
