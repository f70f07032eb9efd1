"""Threads for calls that block, each with an iRODS session of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from .errors import Unavailable
from .irods_session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .irods import IrodsOptions

T = TypeVar("T")
P = ParamSpec("P")
_PATIENCE = 5.0  # seconds that calls under way are given when the element is closed


class Worker:
    """A thread that does one thing after the other."""

    def __init__(self, options: IrodsOptions, name: str) -> None:
        self.session = Session(options)
        self.last: Future[object] | None = None
        self._pool = ThreadPoolExecutor(1, name)

    def submit(
        self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """`function(session, …)` in the thread; it is done even when nobody waits for it any more, unless it has not
        begun. Raises Unavailable after `close`."""
        try:
            job = self._pool.submit(function, self.session, *args, **kwargs)
        except RuntimeError:
            raise Unavailable("the element is closed") from None
        self.last = job  # type: ignore[assignment]  # of any result
        waiting = asyncio.wrap_future(job)
        waiting.add_done_callback(_seen)
        return waiting

    def close(self) -> None:
        """Blocks until it is done."""
        with suppress(RuntimeError):
            self._pool.submit(self.session.close)
        self._pool.shutdown()


class Workers:
    """`count` of them at most, made when they are needed. Each belongs to one user at a time."""

    def __init__(self, options: IrodsOptions, count: int, name: str) -> None:
        self._options = options
        self._name = f"irods-{name}"
        self._free = asyncio.Semaphore(count)
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._closed = False

    async def run(self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self.lease() as worker:
            return await worker.submit(function, *args, **kwargs)

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Worker, None]:
        """The one that was given back last: its connection is the least likely to have died. It is given back when what
        it does last is done, not before."""
        await self._free.acquire()
        if self._closed:
            self._free.release()
            raise Unavailable("the element is closed")
        if self._idle:
            worker = self._idle.pop()
        else:
            self._all.append(worker := Worker(self._options, self._name))
        try:
            yield worker
        finally:
            if worker.last is None or worker.last.done():
                self._back(worker)
            else:
                loop = asyncio.get_running_loop()
                worker.last.add_done_callback(lambda _: _soon(loop, lambda: self._back(worker)))

    def _back(self, worker: Worker) -> None:
        self._idle.append(worker)
        self._free.release()

    async def aclose(self) -> None:
        self._closed = True
        closing = [asyncio.create_task(asyncio.to_thread(worker.close)) for worker in self._all]
        if closing and (await asyncio.wait(closing, timeout=_PATIENCE))[1]:
            for worker in self._all:
                worker.session.abort()
            await asyncio.wait(closing)


def _seen(job: asyncio.Future[T]) -> None:
    """Nobody may ask for its error: that is no fault of the program."""
    if not job.cancelled():
        job.exception()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed, and nobody waits
        loop.call_soon_threadsafe(call)
