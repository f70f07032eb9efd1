"""Short blocking calls in as few threads as keep up with the storage.

Calls on a disk that answers from memory take less time than a thread needs to get the interpreter back: eight threads
write small files a third as fast as one. Calls that wait for a disk or a server gain from every thread. So calls wait
in one queue, and the threads that empty it, the lanes, are as many as it takes to end a call every 0.3 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
_PACE = 0.0003  # seconds a call: about what the event loop has to do for each
_STUCK = 0.002  # without an end of any call: the next one does not wait behind it
_TELL = 0.002  # at the latest, of what has ended


class Lanes:
    """A queue in front of a pool's threads. For one event loop, as elements are."""

    def __init__(self, pool: ThreadPoolExecutor, most: int) -> None:
        self._pool = pool
        self._most = most
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._lock = threading.Lock()
        self._running = 0
        self._opening = self._watching = False
        self._takes = 0.0  # seconds, on the average of late
        self._moved = 0.0  # when a call ended or a lane opened

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """What `call` returns or raises. It may run though nobody waits any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._waiting.append((call, future))
        if not self._opening:  # when all who are ready to go on have come too: nobody holds the interpreter then
            self._opening = True
            loop.call_soon(self._open, loop)
        return future

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have as many lanes as are needed; those that run open more when they see that they do not suffice."""
        self._opening = False
        refused: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        with self._lock:
            stuck = monotonic() - self._moved > _STUCK
            try:
                self._another(loop, stuck=stuck)
            except RuntimeError:  # the pool is shut
                if not self._running:
                    refused = list(self._waiting)
                    self._waiting.clear()
        _tell(loop, [(future, None, Unavailable("the element is closed")) for _, future in refused])
        if self._waiting and not self._watching:  # nothing is to wait behind one call that hangs
            self._watching = True
            loop.call_later(_STUCK, self._watch, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = False
        self._open(loop)

    def _another(self, loop: asyncio.AbstractEventLoop, *, stuck: bool = False) -> None:
        if self._running < self._most and (stuck or self._running <= self._takes / _PACE):
            self._pool.submit(self._lane, loop)
            self._running += 1
            self._moved = monotonic()

    def _lane(self, loop: asyncio.AbstractEventLoop) -> None:
        ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        told = begun = monotonic()
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    break
                call, future = self._waiting.popleft()
                if self._waiting:
                    with contextlib.suppress(RuntimeError):  # shut: those that run see to the rest
                        self._another(loop)
            try:
                ended.append((future, call(), None))
            except BaseException as error:  # its caller's, whatever it is
                ended.append((future, None, error))
            now = self._moved = monotonic()
            self._takes += (now - begun - self._takes) / 8
            begun = now
            if now - told > _TELL:
                _tell(loop, ended)
                told, ended = now, []
        _tell(loop, ended)


def _tell(loop: asyncio.AbstractEventLoop, ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    def settle() -> None:
        for future, result, error in ended:
            if future.done():  # cancelled
                continue
            if error:
                future.set_exception(error)
            else:
                future.set_result(result)

    if ended:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle)
