"""A worker: a process, on any host, that leases transfers and does them, as many at once as it was told.

Killed at any instant it loses nothing: its leases are given to others once it gives no sign of life, and what it was
writing is taken away by the cleaner, or met and adopted by whoever does it again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from catalog.db import now
from lading.model.errors import CatalogError, InvalidRequest
from lading.model.request import Result

from ..queue.queue import PATIENCE, Ended
from ..queue.store import QueueStore
from ..queue.tuner import Tuner
from ..requests.store import RequestsStore
from .line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from catalog.db import Database
    from catalog.elements.service import ElementsService

    from ..queue.queue import Queue
    from ..queue.shares import Lane
    from .act import Act
    from .hand import Hand
    from .job import Job

_log = structlog.get_logger("lading.worker")
CONCURRENCY = 16
_BEAT = 5.0
_IDLE = 5.0  # seconds after which the queue is looked at, word or no word
_MOST = 500  # transfers ended in one transaction
_LAST = 5.0  # seconds to tell the catalogue, when the worker stops


class Filters:
    """Which lanes a worker serves: all, or those of the elements (either end) and links named."""

    def __init__(self, elements: ElementsService, names: list[str], links: list[str]) -> None:
        """`links` as `SOURCE>TARGET`. Raises InvalidRequest."""
        self._elements = elements
        self._names = frozenset(names)
        self._links = frozenset(tuple(link.split(">")) for link in links)
        if any(len(pair) != 2 or not all(pair) for pair in self._links):
            raise InvalidRequest("a link is written SOURCE>TARGET")

    def __call__(self, lane: Lane) -> bool:
        if not (self._names or self._links):
            return True
        ends = [self._elements.by_id(e) for e in (lane.source, lane.target)]
        source, target = (e.name if e else "" for e in ends)
        return source in self._names or target in self._names or (source, target) in self._links


class Worker:
    def __init__(
        self,
        database: Database,
        elements: ElementsService,
        queue: Queue,
        steps: Sequence[Callable[[], Awaitable[bool]]],
        hand: Hand,
        act: Act,
        *,
        concurrency: int = CONCURRENCY,
        mine: Callable[[Lane], bool] = lambda _: True,
        patience: float = PATIENCE,
        drain: float = 20.0,
    ) -> None:
        """`steps`: what makes work of orders, rules and care; each does a piece, and tells whether there may be more.
        `drain`: seconds that a stopping worker gives to what it has begun."""
        self._db = database
        self._elements = elements
        self._queue = queue
        self._tuner = Tuner(database, elements)
        self._steps = steps
        self._hand = hand
        self._act = act
        self._concurrency = concurrency
        self._mine = mine
        self._patience = patience
        self._drain = drain
        self._store = QueueStore()
        self._requests = RequestsStore()
        self._id = 0
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._line = Line()
        self._stopping = False
        self._ended: asyncio.Queue[Job] = asyncio.Queue()
        self._taking: asyncio.Task[bool] | None = None
        self._work = asyncio.Event()  # there may be something to lease
        self._plan = asyncio.Event()  # there may be something to plan
        self._check = asyncio.Event()  # a request may have been cancelled

    def heard(self, notice: str | None) -> None:
        """Another process has something for us; None: we may have missed such a word."""
        if notice in ("transfers", None):
            self._work.set()
        if notice in ("requests", None):
            self._plan.set()
            self._check.set()

    async def run(self) -> None:
        """Work until cancelled; then come to an end with what was begun, for some seconds, and give the rest back."""
        await self._begin()
        loops = (self._leasing, self._planning, self._beating, self._housekeeping)
        tasks = [asyncio.create_task(self._ever(loop)) for loop in loops]
        ending = asyncio.create_task(self._ever(self._ending))
        try:
            await asyncio.gather(*tasks)
        finally:
            await asyncio.shield(self._stop(tasks, ending))

    async def _ever(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Do it again and again. A fault of the moment is waited out, any other told."""
        while True:
            try:
                await loop()
            except CatalogError as error:
                _log.warning("worker waits", error=error.message)
                await asyncio.sleep(1)
            except Exception:
                _log.exception("worker failed")
                await asyncio.sleep(1)

    async def _begin(self) -> None:
        settings = {"concurrency": self._concurrency}
        while True:
            try:
                async with self._db.read() as connection:
                    self._id = await self._store.begin_worker(
                        connection, socket.gethostname(), os.getpid(), settings, now()
                    )
                await self._queue.days()
                return
            except CatalogError as error:
                _log.warning("worker waits", error=error.message)
                await asyncio.sleep(1)

    # ── the loops ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _leasing(self) -> None:
        free = self._concurrency - self._line.places()
        if free <= self._concurrency // 4:  # take some at a time, not one by one
            self._work.clear()
            await self._woken(self._work, _IDLE)
            return
        self._work.clear()
        self._taking = asyncio.create_task(self._take(free))
        if not await asyncio.shield(self._taking):  # who stops waits for it: what is leased is begun
            await self._woken(self._work, _IDLE)

    async def _take(self, most: int) -> bool:
        """Lease some and begin them; False when there are none."""
        leases = await self._queue.lease(self._id, most, self._mine)
        self._line.add(await self._hand.begin(self._id, leases) if leases else ())
        self._go_on()
        return bool(leases)

    def _go_on(self) -> None:
        """Begin those whose turn it is."""
        for job in self._line.begin():
            job.begun = True
            task = asyncio.create_task(self._act.perform(job))
            self._jobs[task] = job
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task)
        self._line.ended(job)
        if not task.cancelled() and task.exception() is not None:
            _log.error("transfer failed unforeseen", lfn=job.path, exc_info=task.exception())
            job.ended = Ended(job.lease, Result.RETRY, f"unforeseen: {type(task.exception()).__name__}")
            job.dirty = job.upload is not None
        self._ended.put_nowait(job)
        if not self._stopping:
            self._go_on()

    async def _ending(self) -> None:
        jobs = [await self._ended.get()]
        while len(jobs) < _MOST and not self._ended.empty():
            jobs.append(self._ended.get_nowait())
        try:
            await self._tell(jobs)
        finally:
            for _ in jobs:
                self._ended.task_done()
            self._work.set()  # their places under the limits are free now, not before

    async def _tell(self, jobs: list[Job]) -> None:
        """Until the catalogue has heard of them. What was broken off is given back."""
        told = [job for job in jobs if job.ended is not None]
        broken = [job for job in jobs if job.ended is None]
        for tell, some in ((self._hand.end, told), (self._hand.give_back, broken)):
            while some:
                try:
                    await tell(self._id, some)
                    break
                except CatalogError as error:
                    if not error.retryable:
                        raise
                    await asyncio.sleep(1)

    async def _planning(self) -> None:
        self._plan.clear()
        if not any([await step() for step in self._steps]):
            await self._woken(self._plan, _IDLE)

    async def _beating(self) -> None:
        async with self._db.read() as connection:
            if not await self._store.beat(connection, self._id, now()):
                _log.warning("others took this worker for dead: it begins anew")
                self._give_back(self._line.take_back())
                for task in list(self._jobs):
                    task.cancel()
                await self._begin()
        await self._hand.alive([*self._jobs.values(), *self._line.waiting()])
        await self._break_off()
        self._check.clear()
        await self._woken(self._check, min(_BEAT, self._patience / 4))

    async def _break_off(self) -> None:
        """Stop what belongs to cancelled requests, and begin nothing more of paused ones."""
        ids = {job.order.id for job in (*self._jobs.values(), *self._line.waiting())}
        if ids:
            async with self._db.read() as connection:
                over, still = await self._requests.stopped(connection, sorted(ids))
            self._give_back(self._line.take_back(still))
            for task, job in list(self._jobs.items()):
                if job.order.id in over:
                    task.cancel()

    def _give_back(self, jobs: list[Job]) -> None:
        """These were not begun, and are not going to be."""
        for job in jobs:
            self._ended.put_nowait(job)

    async def _housekeeping(self) -> None:
        await self._queue.bury(self._patience)
        await self._queue.days()
        await self._tuner.step()
        until = asyncio.get_running_loop().time() + min(self._patience / 4, 30.0)
        while (left := until - asyncio.get_running_loop().time()) > 0:
            pause = await self._queue.ripen()
            if pause:
                await asyncio.sleep(min(pause, left, 1.0))
            else:
                self._work.set()

    async def _woken(self, event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stop(self, tasks: list[asyncio.Task[None]], ending: asyncio.Task[None]) -> None:
        await _cancelled(tasks)
        if self._taking is not None:
            await asyncio.wait([self._taking])
        self._stopping = True
        self._give_back(self._line.take_back())
        if self._jobs:
            _log.info("stopping: transfers under way end first", count=len(self._jobs), seconds=self._drain)
            await asyncio.wait(list(self._jobs), timeout=self._drain)
        await _cancelled(list(self._jobs))
        with suppress(TimeoutError, CatalogError):
            async with asyncio.timeout(_LAST):
                if not ending.done():
                    await self._ended.join()
                async with self._db.read() as connection:
                    await self._store.end_worker(connection, self._id)
        await _cancelled([ending])


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
