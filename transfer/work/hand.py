"""Many transfers at once in the catalogue: begun in one transaction, ended in one."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from catalog.db import now
from catalog.elements.layout import derived, implied
from catalog.namespace.service import checksums
from catalog.replicas.changes import AVAILABLE, LOST, SUSPECT, Replicas
from catalog.replicas.store import ReplicasStore
from lading.model.principal import SYSTEM
from lading.model.request import RequestKind, Result

from ..queue.queue import Ended
from ..requests.choices import Known, Pool, leaving, made_up, states
from ..requests.store import RequestsStore
from .job import Job, Order
from .store import WorkStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from catalog.db import Database, Transaction
    from catalog.elements.service import Element, ElementsService
    from catalog.replicas.changes import ReplicaChanges

    from ..queue.queue import Lease, Queue
    from ..requests.planner import Planner

_log = structlog.get_logger("lading.worker")
LEASE = 120_000_000  # microseconds that bytes on their way live without a sign of life
_BUSY = 5.0  # seconds to wait for another who writes to the same place


class Hand:
    def __init__(
        self,
        database: Database,
        elements: ElementsService,
        changes: ReplicaChanges,
        queue: Queue,
        planner: Planner,
    ) -> None:
        self._db = database
        self._elements = elements
        self._changes = changes
        self._queue = queue
        self._planner = planner
        self._store = WorkStore()
        self._requests = RequestsStore()
        self._replicas = ReplicasStore()

    # ── begin ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, worker: int, leases: Sequence[Lease]) -> list[Job]:
        """What is to be done for each lease; those that need nothing are ended here. One transaction, so that a killed
        worker leaves rows that tell of every byte it may have written."""

        async def work(tx: Transaction) -> list[Job]:
            connection = tx.connection
            await self._elements.ready(connection)
            orders = await self.orders(tx, {lease.request_id for lease in leases})
            files = {r["id"]: r for r in await self._store.files(connection, [lease.file_id for lease in leases])}
            jobs: list[Job] = []
            ended: list[Ended] = []
            for lease in leases:
                made = self._job(lease, orders.get(lease.request_id), files.get(lease.file_id))
                (jobs if isinstance(made, Job) else ended).append(made)  # type: ignore[arg-type]  # each to its own list
            copying = [job for job in jobs if job.upload is not None]
            busy = await self._claim(tx, copying)
            if busy:
                jobs = [job for job in jobs if job.upload not in busy]
                ended += [Ended(j.lease, Result.RETRY, later=_BUSY, waits=True) for j in copying if j.upload in busy]
            if ended:
                alive = await self._queue.fence(tx, worker, [e.lease.id for e in ended])
                await self._queue.settle(tx, worker, [e for e in ended if e.lease.id in alive])
            tx.audit([], count=len(leases), worker=worker)
            return jobs

        return await self._db.change(SYSTEM, "transfer.begin", work)

    async def orders(self, tx: Transaction, ids: set[int]) -> dict[int, Order]:
        return {
            r["id"]: Order(
                r["id"], RequestKind(r["kind"]), r["user_id"], r["copies"], r["target"], r["source"], r["options"]
            )
            for r in await self._store.orders(tx.connection, sorted(ids))
        }

    def _job(self, lease: Lease, order: Order | None, file: asyncpg.Record | None) -> Job | Ended:
        target = self._elements.by_id(lease.target)
        if order is None or target is None:
            return Ended(lease, Result.FAILED, "its storage element is no more")
        if file is None or not file["path"].startswith("/"):
            return Ended(lease, Result.SKIPPED, "the file was removed")
        copies = states(file)
        sums = checksums(file["adler32"], file["csum"])
        path = file["path"].rstrip("/") + "/" + file["name"]
        job = Job(lease, order, path, file["guid"], file["size"], sums, [], target, "")
        if not order.copies_bytes:
            if lease.target not in copies:
                return Ended(lease, Result.SKIPPED, "the copy was dropped")
            job.pfn = _place(file, target)
            job.sources = [(target, job.pfn)]
            return job
        job.pfn, job.stored = derived(target, file["guid"], path)
        if copies.get(target.id) == AVAILABLE:
            return job  # for a move there may still be something to drop
        if target.id in copies:  # a bad copy, to be replaced where it is
            job.pfn, job.stored = _place(file, target), str(target.id) in (file["pfn"] or {})
        else:
            job.ours = not job.stored or bool(order.options.get("replace"))
        job.upload = str(uuid.uuid4())
        job.sources = [(e, _place(file, e)) for e in self._sources(lease, copies, target.id)]
        return job

    def _sources(self, lease: Lease, copies: dict[int, int], target: int) -> list[Element]:
        """Where to read it, good copies before suspect ones, the planned source first."""
        wanted = [i for i, state in copies.items() if i != target and state in (AVAILABLE, SUSPECT)]
        found = [e for i in wanted if (e := self._elements.by_id(i)) is not None and e.readable]
        return sorted(found, key=lambda e: (copies[e.id], e.id != lease.source, e.medium == "tape", e.cost))

    async def _claim(self, tx: Transaction, jobs: Sequence[Job]) -> set[str | None]:
        """Put down that bytes are on their way; the uploads whose place another writes to now."""
        if not jobs:
            return set()
        places = [(job.target.id, job.pfn) for job in jobs]
        taken = await self._store.claim(tx.connection, places)
        busy: set[str | None] = set()
        rows = []
        for job in jobs:
            if (job.target.id, job.pfn) in taken:
                busy.add(job.upload)
                continue
            taken.add((job.target.id, job.pfn))
            spec = {"transfer": job.lease.id, "stored": job.stored}
            rows.append((job.upload, job.path, job.target.id, job.pfn, job.guid, job.order.user_id, spec))
        await self._replicas.cancel_deletions(tx.connection, [(r[2], r[3]) for r in rows])
        await self._store.add_uploads(tx.connection, rows, tx.at, tx.at + LEASE)
        return busy

    async def alive(self, jobs: Iterable[Job]) -> None:
        """Keep the bytes on their way from being taken for a dead worker's."""
        uploads = [job.upload for job in jobs if job.upload is not None]
        if uploads:
            async with self._db.read() as connection:
                await self._store.extend_uploads(connection, uploads, now() + LEASE)

    # ── end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def end(self, worker: int, jobs: Sequence[Job]) -> None:
        """Tell the catalogue what came of these, in one transaction: new copies show, bad ones are suspect, a move
        drops what it leaves. Of a lease that was taken away meanwhile nothing is told: its upload's row remains, and
        the cleaner sees to the object."""

        async def work(tx: Transaction) -> None:
            await self._elements.ready(tx.connection)
            held = await self._queue.fence(tx, worker, [job.lease.id for job in jobs])
            # Copies: this may run again after a lost race, and what is changed below is of this run.
            ended = {job: replace(job.ended) for job in jobs if job.lease.id in held and job.ended is not None}
            done = [job for job, e in ended.items() if e.result is Result.DONE]
            clean = [job.upload for job in ended if job.upload is not None and (job in done or not job.dirty)]
            kept = await self._store.end_uploads(tx.connection, clean)
            left = [job.upload for job in ended if job.upload is not None and job.upload not in kept]
            await self._store.expire_uploads(tx.connection, left, tx.at)
            locked = await self._changes.lock(
                tx, [job.lease.file_id for job in ended if ended[job].result is Result.DONE or job.bad or job.gone]
            )
            await self._tell(tx, ended, done, kept, locked)
            await self._changes.write(tx, locked.values())
            await self._leave(tx, [job for job in done if job.order.kind is RequestKind.MOVE])
            await self._queue.settle(tx, worker, ended.values())
            tx.audit([job.path for job in done[:100]], count=len(ended), worker=worker)

        await self._db.change(SYSTEM, "transfer", work)

    async def _tell(
        self,
        tx: Transaction,
        ended: dict[Job, Ended],
        done: Sequence[Job],
        kept: set[str],
        locked: dict[int, Replicas],
    ) -> None:
        orphans: list[tuple[int, str, int | None, str]] = []
        notes: list[tuple[int, int, int | None, str | None]] = []
        for job in done:
            replicas = locked.get(job.lease.file_id)
            if job.order.kind is RequestKind.VERIFY and replicas is not None and job.target.id in replicas.se:
                notes.append((replicas.id, job.target.id, tx.at, None))
                _set(replicas, job.target.id, AVAILABLE)
            if job.upload is None:
                continue
            if job.upload not in kept:
                why = "the cleaner took it for a dead worker's"
                ended[job] = Ended(job.lease, Result.RETRY, why, later=1.0, waits=True)
            elif replicas is None:
                orphans.append((job.target.id, job.pfn, job.size, job.path))
                ended[job] = Ended(job.lease, Result.SKIPPED, "the file was removed")
            else:
                self._show(job, replicas)
                notes.append((replicas.id, job.target.id, tx.at, None))
        for job in ended:
            replicas = locked.get(job.lease.file_id)
            if replicas is None:
                continue
            for found, state in ((job.bad, SUSPECT), (job.gone, LOST)):
                for element_id, why in found:
                    if _set(replicas, element_id, state):
                        notes.append((replicas.id, element_id, None, why))
                        _log.warning("copy is no good", lfn=job.path, element=element_id, why=why)
        await self._store_notes(tx, notes)
        await self._replicas.queue_deletions(tx.connection, orphans, tx.at)

    async def _store_notes(self, tx: Transaction, notes: Sequence[tuple[int, int, int | None, str | None]]) -> None:
        unique: dict[tuple[int, int], tuple[int, int, int | None, str | None]] = {}
        for note in notes:
            before = unique.get(note[:2])
            unique[note[:2]] = note if before is None else (*note[:2], note[2] or before[2], note[3] or before[3])
        await self._replicas.note(tx.connection, list(unique.values()), tx.at)

    @staticmethod
    def _show(job: Job, replicas: Replicas) -> None:
        """The copy is there, and verified."""
        if job.target.id in replicas.se:
            _set(replicas, job.target.id, AVAILABLE)
            return
        explicit = job.pfn if job.stored or job.pfn != implied(job.target, job.guid) else None
        replicas.add(job.target, AVAILABLE, explicit)

    async def _leave(self, tx: Transaction, moves: Sequence[Job]) -> None:
        """Drop what moves leave behind, of files that have all their copies at the target now."""
        by_order: dict[int, list[Job]] = defaultdict(list)
        for job in moves:
            by_order[job.order.id].append(job)
        for jobs in by_order.values():
            order = jobs[0].order
            row = {"kind": order.kind, "target": order.target, "source": order.source}
            pool: Pool = await self._planner.pool(tx.connection, row)
            targets = {e.id for e in pool.targets}
            wanted: dict[int, tuple[str, list[int]]] = {}
            made = Counter(job.lease.file_id for job in jobs)
            paths = {job.lease.file_id: job.path for job in jobs}
            for copies in await self._replicas.copies(tx.connection, list(paths)):
                file = Known(copies["id"], paths[copies["id"]], 0, states(copies))
                there = sum(state == AVAILABLE and e in targets for e, state in file.copies.items())
                if not order.copies:
                    wanted[file.id] = (file.path, made_up(file, leaving(file, pool), made[file.id]))
                elif there >= order.copies:
                    wanted[file.id] = (file.path, leaving(file, pool))
            await self._planner.drop(tx, {f: w for f, w in wanted.items() if w[1]}, pool)

    async def give_back(self, worker: int, jobs: Sequence[Job]) -> None:
        """End these without a word, to be done by another: the worker stops, or their request was cancelled."""
        for job in jobs:
            job.ended = Ended(job.lease, Result.RETRY, later=0.0, waits=True)
            job.dirty = job.begun and job.upload is not None
        await self.end(worker, jobs)


def _place(file: asyncpg.Record, element: Element) -> str:
    return str((file["pfn"] or {}).get(str(element.id)) or implied(element, file["guid"]))


def _set(replicas: Replicas, element_id: int, state: int) -> bool:
    """Set a copy's state; False when it has it already, or is no more."""
    if element_id not in replicas.se:
        return False
    at = replicas.se.index(element_id)
    if replicas.states[at] == state:
        return False
    replicas.states[at] = state
    replicas.changed = True
    return True
