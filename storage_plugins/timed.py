"""Elements that let us wait."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport
from .errors import Transient
from .wrapper import LONG, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping

T = TypeVar("T")


class Timed(Wrapper):
    """Transient when the element lets us wait longer than `seconds`: for an answer, for the next chunk of a read, or
    before it takes the next chunk of a write (the last of them: until all is durable). The other side's slowness does
    not count. Copies and checksums that the storage does by itself are not timed.
    """

    def __init__(self, inner: Element, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation in LONG:
            return await call()
        return await self._in_time(call(), pfn)

    async def _in_time(self, awaitable: Awaitable[T], pfn: str) -> T:
        try:
            async with asyncio.timeout(self._seconds) as timer:
                return await awaitable
        except TimeoutError:
            raise self._late(timer, pfn) from None

    def _late(self, timer: asyncio.Timeout, pfn: str) -> Exception:
        if timer.expired():
            return Transient(f"no answer within {self._seconds:g} s", pfn=pfn or None)
        return TimeoutError()  # of the caller's own

    async def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        async with aclosing(stream(start)) as items:
            while (item := await self._in_time(anext(items, None), pfn)) is not None:
                yield item

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        async def watched(timer: asyncio.Timeout) -> AsyncGenerator[Chunk, None]:
            timer.reschedule(None)
            async for chunk in chunks:
                timer.reschedule(asyncio.get_running_loop().time() + self._seconds)
                yield chunk
                timer.reschedule(None)
            timer.reschedule(asyncio.get_running_loop().time() + self._seconds)

        try:
            async with asyncio.timeout(self._seconds) as timer:
                return await self.inner.write(pfn, watched(timer), size=size, overwrite=overwrite, checksums=checksums)
        except TimeoutError:
            raise self._late(timer, pfn) from None

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            return await self._in_time(self.inner.probe(prepare=prepare, write=write), "")
        except Transient as error:
            return ProbeReport(ok=False, error=error.message)
