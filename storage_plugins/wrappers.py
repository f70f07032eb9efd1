"""Retry, limits, a pace, timeouts, metrics and read-only, each a wrapper of the same interface. `wrap` stacks those
asked for."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from .base import Chunk, Element, ObjectInfo, ProbeReport
from .errors import Denied, StorageError
from .paced import Paced
from .retried import Retried
from .timed import Timed
from .wrapper import CHANGING, INTAKE, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

T = TypeVar("T")


class Observation(Struct, frozen=True):
    """One finished operation. `size` is bytes moved (0 when it failed in a write); `error` a StorageError's code."""

    element: str
    operation: str
    seconds: float
    size: int = 0
    error: str | None = None


Observe = Callable[[Observation], None]


def wrap(
    element: Element,
    *,
    read_only: bool = False,
    attempts: int = 1,
    max_concurrent: int | None = None,
    max_rate: int | None = None,
    timeout: float | None = None,
    observe: Observe | None = None,
) -> Element:
    """`element` with what is asked for. A retry waits for its turn anew, and waiting is not counted against the
    timeout."""
    if observe:
        element = Observed(element, observe)
    if timeout:
        element = Timed(element, timeout)
    if max_concurrent:
        element = Limited(element, max_concurrent)
    if max_rate:
        element = Paced(element, max_rate)
    if attempts > 1:
        element = Retried(element, attempts)
    if read_only:
        element = ReadOnly(element)
    return element


class ReadOnly(Wrapper):
    """Whatever would change the storage raises Denied; a probe only looks."""

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation in CHANGING:
            raise Denied("the element is read-only", pfn=pfn or None)
        return await call()

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        return await self.inner.probe(write=False)


class Limited(Wrapper):
    """At most so many operations at once; others wait their turn.

    Counted apart, `max_concurrent` each: streams out, writes and copies in, and all else. A copy inside one element
    holds a write and a read at once: were they counted together, such copies could wait for each other for ever.
    """

    def __init__(self, inner: Element, max_concurrent: int) -> None:
        super().__init__(inner)
        self._turns: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(max_concurrent))

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        async with self._turns["in" if operation in INTAKE else "other"]:
            return await call()

    async def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        async with self._turns["out"], aclosing(stream(start)) as items:
            async for item in items:
                yield item


class Observed(Wrapper):
    """Tells `observe` of every operation as it ends, streams included."""

    def __init__(self, inner: Element, observe: Observe) -> None:
        super().__init__(inner)
        self._observe = observe

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        began = time.perf_counter()
        size, code = 0, None
        try:
            result = await call()
            if operation in INTAKE and isinstance(result, ObjectInfo):
                size = result.size
            return result
        except BaseException as error:
            code = _code(error)
            raise
        finally:
            self._tell(operation, began, size, code)

    async def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        began = time.perf_counter()
        size, code = 0, None
        try:
            async with aclosing(stream(start)) as items:
                async for item in items:
                    if isinstance(item, Chunk):
                        size += len(item)
                    yield item
        except Exception as error:
            code = _code(error)
            raise
        finally:
            self._tell(operation, began, size, code)

    def _tell(self, operation: str, began: float, size: int, code: str | None) -> None:
        self._observe(Observation(self.name, operation, time.perf_counter() - began, size, code))


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, StorageError) else type(error).__name__
