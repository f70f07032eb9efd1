"""Leases: who works on which transfer, within every limit; and what came of each try."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from catalog.db import now
from lading.model.request import RESULTS, Result

from ..requests.store import RequestsStore, Tally
from .shares import Lane, Limits, allot, weight
from .store import NEVER, QueueStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import ElementsService

_log = structlog.get_logger("lading.queue")
ATTEMPTS = 8  # tries of a transfer, over some five hours
DEATHS = 3  # workers that a transfer may take with it
PATIENCE = 60  # seconds without a sign of life after which a worker is taken for dead
_FIRST, _LONGEST = 30.0, 3600.0  # seconds before the second try, and before any
_ROUNDS = 3
_OVER = (None, "cancelled", "failed")
_DAY = 86_400_000_000
KEEP_DAYS = 30  # that tries are remembered


@dataclass(frozen=True, slots=True)
class Lease:
    """A transfer that is a worker's until it ends, or the worker gives no sign of life."""

    id: int
    lane_id: int
    source: int
    target: int
    activity: str
    group_id: int
    priority: int
    request_id: int
    file_id: int
    bytes: int
    attempts: int
    deaths: int


@dataclass(slots=True)
class Ended:
    """What came of a lease. `later`: seconds until the next try. `waits`: it was none, nothing was wrong but the
    time."""

    lease: Lease
    result: Result
    error: str | None = None
    way: str | None = None
    source: int | None = None
    bytes: int = 0
    micros: int = 0
    later: float | None = None
    waits: bool = False


class Queue:
    def __init__(self, database: Database, access: AccessService, elements: ElementsService) -> None:
        self._db = database
        self._access = access
        self._elements = elements
        self._store = QueueStore()
        self._requests = RequestsStore()

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add(
        self,
        tx: Transaction,
        request: Mapping[str, Any] | asyncpg.Record,
        transfers: Sequence[tuple[int, int, int, int]],
    ) -> None:
        """Transfers (source, target, file id, bytes) of a request; they begin when the transaction ends."""
        if not transfers:
            return
        links = sorted({(t[0], t[1]) for t in transfers})
        lanes = await self._store.lanes_for(tx.connection, links, request["activity"], request["group_id"])
        rows = [(lanes[source, target], file, size) for source, target, file, size in transfers]
        await self._store.add(tx.connection, rows, request["priority"], request["id"])
        tx.notices.add("transfers")

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def lease(self, worker: int, wanted: int, mine: Callable[[Lane], bool] = lambda _: True) -> list[Lease]:
        """Transfers for up to `wanted` places, of the lanes that are `mine`, whose elements are there. Within every
        limit: whoever leases does so alone, for some milliseconds."""
        await self._elements.load()
        taken: list[Lease] = []
        async with self._db.read() as connection, connection.transaction():
            await self._store.lock(connection)
            found = [(lane, touched) for lane, touched in await self._store.lanes(connection) if mine(lane)]
            lanes = {lane.id: lane for lane, _ in found if self._open(lane)}
            if not lanes:
                return []
            active = await self._store.active(connection)
            limits = await self._limits(connection)
            unsettled = await self._requests.unsettled(connection)
            dry: list[tuple[int, int]] = []
            touches = {lane.id: touched for lane, touched in found}
            for _ in range(_ROUNDS):
                given = allot(lanes.values(), active, limits, wanted)
                if not given:
                    break
                rows = await self._store.take(connection, given, unsettled, worker, now())
                filled: dict[int, float] = defaultdict(float)
                for row in rows:
                    taken.append(_lease(row))
                    filled[row["lane_id"]] += weight(row["bytes"], row["deaths"])
                got = {lane: math.ceil(places) for lane, places in filled.items()}
                wanted -= sum(got.values())
                active += [(lanes[lane], count) for lane, count in got.items()]
                for lane, count in given.items():
                    if got.get(lane, 0) < count:
                        dry.append((lane, touches[lane]))
                        del lanes[lane]
            await self._store.forget_lanes(connection, dry)
        return taken

    def _open(self, lane: Lane) -> bool:
        """Can bytes move there now? What can't waits, and costs no try."""
        source, target = self._elements.by_id(lane.source), self._elements.by_id(lane.target)
        if source is None or target is None:
            return True  # it is gone for good: to fail
        readable = source.readable and not source.fault_reads
        return readable and (target is source or target.writable)

    async def _limits(self, connection: Connection) -> Limits:
        activities, groups = await self._store.shares(connection)
        ids = {name: number for number, name in (await self._access.names(connection)).items()} if groups else {}
        return Limits(
            await self._store.links(connection),
            {e.id: e.max_connections for e in self._elements.every() if e.max_connections is not None},
            activities,
            {ids[name]: share for name, share in groups.items() if name in ids},
        )

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fence(self, tx: Transaction, worker: int, ids: Collection[int]) -> set[int]:
        """Which of its leases the worker has still, locked: they end with this transaction. The others are another's by
        now, who may have done them already."""
        return set(await self._store.ended(tx.connection, sorted(ids), worker))

    async def settle(self, tx: Transaction, worker: int, endings: Iterable[Ended]) -> None:
        """Note what came of leases that `fence` has taken: a row a try, another turn for what is to be tried again, and
        the requests' counts; a request whose last transfer this was is done. The last statements of a transaction."""
        endings = list(endings)
        tallies: dict[int, Tally] = defaultdict(Tally)
        attempts, again, failures = [], [], []
        states = await self._requests.states(tx.connection, {e.lease.request_id for e in endings})
        for ended in endings:
            lease, cancelled = ended.lease, states.get(ended.lease.request_id) in _OVER
            if ended.result is Result.RETRY:
                if cancelled:
                    ended.result = Result.CANCELLED
                elif not ended.waits and lease.attempts + 1 >= ATTEMPTS:
                    ended.result = Result.FAILED
            if ended.result is Result.RETRY:
                still = states.get(lease.request_id) == "paused"
                again.append(_again(ended, NEVER if still else tx.at + _pause(ended)))
            else:
                tallies[lease.request_id].count(ended.result, ended.bytes)
            source = lease.source if ended.source is None else ended.source
            if ended.result is Result.FAILED:
                why = ended.error or "it failed"
                failures.append((lease.request_id, lease.file_id, None, source, lease.target, lease.bytes, why))
            if ended.error or not ended.waits:
                what = RESULTS.index(ended.result), ended.way, ended.bytes, ended.micros, worker, ended.error
                attempts.append((lease.request_id, lease.id, lease.file_id, source, lease.target, *what))
        await self._store.add_again(tx.connection, again)
        await self._store.attempts(tx.connection, tx.at, attempts)
        await self._requests.fail(tx.connection, failures, tx.at)
        await self._requests.count(tx.connection, tallies, tx.at)
        if again:
            tx.notices.add("transfers")

    # ── what every worker sees to, now and then ──────────────────────────────────────────────────────────────────────

    async def ripen(self, limit: int = 10_000) -> float:
        """Give those their turn who have waited long enough; seconds until the next is due, 60 at most."""
        async with self._db.read() as connection:
            if await self._store.ripen(connection, now(), limit):
                return 0.0
            due = await self._store.next_ripe(connection)
        return 60.0 if due is None else min(max((due - now()) / 1e6, 0.05), 60.0)

    async def bury(self, patience: float = PATIENCE) -> int:
        """Take the leases of dead workers back; how many. What has taken DEATHS workers with it is set aside as
        failed."""
        from lading.model.principal import SYSTEM

        async def work(tx: Transaction) -> int:
            for dead in await self._store.dead_workers(tx.connection, tx.at - int(patience * 1e6)):
                _log.warning("worker lost", worker=dead["id"], host=dead["host"], pid=dead["pid"])
                await self._store.end_worker(tx.connection, dead["id"])
            rows = await self._store.orphans(tx.connection, 10_000)
            by_worker: dict[int, list[asyncpg.Record]] = defaultdict(list)
            for row in rows:
                by_worker[row["worker"]].append(row)
            for worker, orphans in by_worker.items():
                await self._store.ended(tx.connection, [r["id"] for r in orphans], worker)
                await self.settle(tx, worker, [_orphan(r) for r in orphans])
            if rows:
                await self._store.expire_uploads(tx.connection, [r["id"] for r in rows], tx.at)
                tx.audit([], count=len(rows), workers=sorted(by_worker))
            return len(rows)

        return await self._db.change(SYSTEM, "transfer.reclaim", work)

    async def days(self) -> None:
        """Have the parts of `attempt` for the days around now, and drop those that are too old. Safe to repeat."""
        today = now() // _DAY
        wanted = {time.strftime("%Y%m%d", time.gmtime(d * 86_400)): d * _DAY for d in range(today - 1, today + 3)}
        oldest = time.strftime("%Y%m%d", time.gmtime((today - KEEP_DAYS) * 86_400))
        async with self._db.read() as connection:
            there = await self._store.days(connection)
            for name in sorted(wanted.keys() - set(there)):
                async with connection.transaction():
                    await self._store.make_day(connection, name, wanted[name], wanted[name] + _DAY)
            for name in there:
                if name < oldest:
                    await self._store.drop_day(connection, name)


def _lease(row: asyncpg.Record) -> Lease:
    return Lease(**{name: row[name] for name in Lease.__slots__})


def _orphan(row: asyncpg.Record) -> Ended:
    lease = _lease(row)
    if lease.deaths + 1 >= DEATHS:
        return Ended(lease, Result.FAILED, f"{DEATHS} workers died over it: look at the object and at their logs")
    return Ended(_died(lease), Result.RETRY, "its worker died", later=1.0, waits=True)


def _died(lease: Lease) -> Lease:
    return replace(lease, deaths=lease.deaths + 1)


def _pause(ended: Ended) -> int:
    """Microseconds until the next try."""
    seconds = ended.later
    if seconds is None:
        spread = random.uniform(0.5, 1.5)  # noqa: S311  (guards nothing)
        seconds = min(_FIRST * 4**ended.lease.attempts, _LONGEST) * spread
    return int(seconds * 1e6)


def _again(ended: Ended, due: int) -> tuple[int, ...]:
    lease = ended.lease
    attempts = lease.attempts + (not ended.waits)
    numbers = (lease.request_id, lease.file_id, lease.bytes, attempts, lease.deaths, due)
    return (lease.id, -lease.lane_id, lease.priority, *numbers)
