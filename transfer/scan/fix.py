"""What is done about findings, when it is spelt out: each object is looked at again before, and the catalogue too."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import IO, TYPE_CHECKING, TypeAlias

import msgspec

from catalog.db import Transaction, now
from catalog.elements.layout import check_pfn
from catalog.replicas.changes import LOST, SUSPECT
from catalog.replicas.store import ReplicasStore
from lading.model.errors import Conflict, InvalidRequest, Unavailable
from lading.model.replica import STATES, ReplicaState
from lading.model.scan import Fixed, Kept
from storage_plugins.errors import ObjectNotFound, StorageError

from .lines import told
from .looks import looked
from .store import ScanStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    from catalog.db import Database
    from catalog.elements.service import Element, ElementsService
    from catalog.replicas.changes import ReplicaChanges, Replicas
    from lading.model.principal import Caller
    from lading.model.scan import Scan, ScanSummary
    from storage_plugins.base import Element as StorageElement

    Done: TypeAlias = Fixed | Kept

_BATCH = 500
_NAMED = 20  # names that one audit row has at most
_MOVING = [STATES.index(s) for s in (ReplicaState.COPYING, ReplicaState.DELETING)]
_PATIENCE = 60.0  # seconds for changes that were under way to end
_PLAUSIBLE = 10  # per cent of what is there


class Todo(msgspec.Struct, array_like=True):
    """A finding that the order says something about. `pfn` as bytes: a dark one may be no UTF-8."""

    kind: str
    pfn: bytes
    lfn: str | None
    file: int | None
    size: int | None
    differs: str | None


class Fixer:
    def __init__(self, database: Database, elements: ElementsService, changes: ReplicaChanges) -> None:
        self._db = database
        self._elements = elements
        self._changes = changes
        self._store = ScanStore()
        self._replicas = ReplicasStore()

    async def check(self, element: Element, order: Scan) -> None:
        """Raises what stands against the order, before anybody waits for a scan (Unavailable, Conflict,
        InvalidRequest)."""
        if not (order.lost or order.mismatch or order.dark):
            return
        if element.placeholder or not element.readable:
            raise Unavailable(
                f"what is found is looked at again before it is changed: {element.why_not('read')}",
                element=element.name,
            )
        if not order.dark:
            return
        if not element.deletable:
            raise Unavailable(element.why_not("delete"), element=element.name)
        for other in self._elements.every():
            under = element.prefix if order.under is None else order.under
            if other.id != element.id and _overlap(element, under, other):
                raise Conflict(
                    f"'{other.name}' lies on the same storage, and what is dark here may be its own: give each element"
                    " a prefix of its own first, or scan with 'under' where the other has nothing",
                    element=other.name,
                )
        async with self._db.read() as connection:
            if not await self._store.count(connection, element.id):
                raise InvalidRequest(
                    f"the catalogue has nothing on '{element.name}', so all would be deleted: to register what is there"
                    " use 'lading se adopt'",
                    element=element.name,
                )

    async def fix(
        self, caller: Caller, element: Element, order: Scan, todo: IO[bytes], cutoff: int
    ) -> AsyncGenerator[list[Done], None]:
        """Do what the order says about each line of `todo`; what came of it. An object younger than `cutoff` stays."""
        if not (order.lost or order.mismatch or order.dark):
            return
        storage = await self._elements.storage(element)
        if not order.dark:
            async for done in self._each(caller, element, order, storage, todo, cutoff):
                yield done
            return
        async with self._db.alone() as connection:  # which holds the lock
            if not await self._store.lock(connection, element.id):
                raise Conflict(f"another adopts or deletes on '{element.name}': wait for its end", element=element.name)
            if not order.dry_run:
                await self._store.forget_held(connection, element.id)
            async for done in self._each(caller, element, order, storage, todo, cutoff):
                yield done
            if not order.dry_run:
                async for done in self._release(caller, element):
                    yield done

    async def _each(
        self, caller: Caller, element: Element, order: Scan, storage: StorageElement, todo: IO[bytes], cutoff: int
    ) -> AsyncIterator[list[Done]]:
        for batch in _batches(todo):
            known = [t for t in batch if t.kind != "dark"]
            if known:
                yield await self._mark(caller, element, order, storage, known)
            if len(known) < len(batch):
                dark = [t for t in batch if t.kind == "dark"]
                yield await self._hold(element, storage, dark, cutoff, dry_run=order.dry_run)

    # ── lost and different ───────────────────────────────────────────────────────────────────────────────────────────

    async def _mark(
        self, caller: Caller, element: Element, order: Scan, storage: StorageElement, todo: Sequence[Todo]
    ) -> list[Done]:
        faults = await looked(self._still(storage, t) for t in todo)

        async def work(tx: Transaction) -> list[Done]:
            locked = await self._changes.lock(
                tx, [t.file for t, f in zip(todo, faults, strict=True) if not f and t.file]
            )
            done: list[Done] = []
            notes = []
            for t, fault in zip(todo, faults, strict=True):
                pfn = t.pfn.decode()
                replicas = locked.get(t.file or 0)
                verb = order.lost if t.kind == "lost" else order.mismatch
                state = LOST if verb == "mark-lost" else SUSPECT
                why = fault or _unmarkable(replicas, element, pfn, state)
                if replicas is not None and why is None:
                    replicas.states[replicas.se.index(element.id)] = state
                    replicas.changed = True
                    notes.append((replicas.id, element.id, None, f"scan: {t.kind} ({t.differs or 'no object'})"))
                done.append(Kept(pfn, why, t.lfn) if why else Fixed(pfn, str(verb), t.lfn))
            names = [d.lfn or d.pfn for d in done if isinstance(d, Fixed)]
            tx.audit(names[:_NAMED], count=len(names), element=element.name)
            await self._replicas.note(tx.connection, notes, tx.at)
            await self._changes.write(tx, locked.values())
            return done

        return await self._db.change(_plain(caller), "scan.mark", work, dry_run=order.dry_run)

    async def _still(self, storage: StorageElement, todo: Todo) -> str | None:
        """None when the storage says again what was found, else why nothing is done."""
        try:
            info = await storage.stat(todo.pfn.decode())
        except ObjectNotFound:
            return None if todo.kind == "lost" else "the object is no more"
        except StorageError as error:
            return f"the element could not be asked again: {error.code}"
        if todo.kind == "lost":
            return "the object is there now"
        if todo.differs == "size" and info.size != todo.size:
            return "the object has changed since"
        return None

    # ── dark ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    # Objects to be deleted are put down first, committed, and held; then the catalogue is asked once more, and what it
    # has come to know is taken out again. Whoever registers one later takes it out himself (`cancel_deletions`). So no
    # order of events, and no kill, deletes what is registered.

    async def _hold(
        self, element: Element, storage: StorageElement, todo: Sequence[Todo], cutoff: int, *, dry_run: bool
    ) -> list[Done]:
        """Those that stay, and why; with `dry_run` also those that would go."""
        faults = await looked(_nobodys(storage, t, cutoff) for t in todo)
        stay: list[Done] = [Kept(told(t.pfn)[0], f) for t, f in zip(todo, faults, strict=True) if f is not None]
        going = [t for t, f in zip(todo, faults, strict=True) if f is None]
        if dry_run:
            return stay + [Fixed(t.pfn.decode(), "delete") for t in going]
        async with self._db.read() as connection:
            await self._store.hold(connection, element.id, [(t.pfn.decode(), t.size or 0) for t in going])
        return stay

    async def _settled(self) -> None:
        """Wait for the changes that were under way: what they register, they registered without seeing what we hold."""
        async with self._db.read() as connection:
            mark = await self._store.mark(connection)
        until = time.monotonic() + _PATIENCE
        while True:
            async with self._db.read() as connection:
                if await self._store.settled(connection, mark):
                    return
            if time.monotonic() > until:
                raise Unavailable(
                    "a long change to the catalogue is under way, and nothing was deleted: scan again later"
                )
            await asyncio.sleep(0.05)

    async def _release(self, caller: Caller, element: Element) -> AsyncIterator[list[Done]]:
        await self._settled()
        async with self._db.read(wide=True) as connection:
            spared = await self._store.spare(connection, element.id, element.prefix)
        yield [Kept(pfn, "the catalogue knows it now") for pfn in spared]

        async def work(tx: Transaction) -> list[str]:
            pfns = await self._store.release(tx.connection, element.id, tx.at, _BATCH)
            tx.audit(pfns[:_NAMED], count=len(pfns), element=element.name)
            return pfns

        while pfns := await self._db.change(_plain(caller), "scan.delete", work):
            yield [Fixed(pfn, "delete") for pfn in pfns]


def check_plausible(order: Scan, summary: ScanSummary) -> None:
    """Raises Conflict when so much is wrong that it is rather the element, its prefix or the dump that is wrong."""
    if order.however_many:
        return
    for kind, count, of, what in (
        ("lost", summary.lost, summary.replicas, "replicas"),
        ("mismatch", summary.mismatch, summary.replicas, "replicas"),
        ("dark", summary.dark, summary.objects, "objects"),
    ):
        if getattr(order, kind) and count * 100 > of * _PLAUSIBLE:
            raise Conflict(
                f"{count} of {of} {what} are {kind}, more than {_PLAUSIBLE} %, so nothing was changed: see that the"
                " storage is mounted and the prefix right. If it is all true, say so ('however_many')",
                element=summary.element,
            )


def _overlap(element: Element, under: str, other: Element) -> bool:
    """May what begins with `under` be the other's? Of the same type, with the same texts for options, or one below the
    other's (a path, a URL), and neither prefix rules it out."""
    if element.type != other.type:
        return False
    mine, theirs = "", ""
    for key in element.options.keys() | other.options.keys():
        a, b = element.options.get(key) or "", other.options.get(key) or ""
        if isinstance(a, str) and isinstance(b, str) and a != b:
            a, b = a.rstrip("/") + "/", b.rstrip("/") + "/"
            if not (a.startswith(b) or b.startswith(a)):
                return False
            mine, theirs = mine + a, theirs + b
    mine, theirs = mine + under, theirs + other.prefix
    return mine.startswith(theirs) or theirs.startswith(mine)


def _unmarkable(replicas: Replicas | None, element: Element, pfn: str, state: int) -> str | None:
    """Why a replica is not marked after all, or None."""
    if replicas is None or element.id not in replicas.se or replicas.pfn(element) != pfn:
        return "the replica is no more"
    now_is = replicas.states[replicas.se.index(element.id)]
    return f"it is marked {STATES[now_is].value} now" if now_is in (state, LOST, *_MOVING) else None


async def _nobodys(storage: StorageElement, todo: Todo, cutoff: int) -> str | None:
    """None when a dark object may go, else why it stays."""
    try:
        pfn = check_pfn(todo.pfn.decode())
        info = await storage.stat(pfn)
    except UnicodeDecodeError:
        return "its name is not UTF-8: delete it by hand"
    except InvalidRequest as error:
        return f"{error.message}: delete it by hand"
    except ObjectNotFound:
        return "the object is no more"
    except StorageError as error:
        return f"the element could not be asked again: {error.code}"
    if info.mtime_us is None:
        return "its age is not known: delete it by hand"
    if info.mtime_us >= min(cutoff, now()):
        return "it is younger than the grace"
    return None if info.size == todo.size else "the object has changed since"


def _batches(todo: IO[bytes]) -> Iterator[list[Todo]]:
    decoder = msgspec.json.Decoder(Todo)
    while lines := list(islice(todo, _BATCH)):
        yield [decoder.decode(line) for line in lines]


def _plain(caller: Caller) -> Caller:
    """Without the key, which is for the whole call."""
    return type(caller)(caller.principal, caller.origin, caller.request_id)
