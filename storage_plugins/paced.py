"""A limit on bytes per second."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from .base import NONE, Chunk, Element, ObjectInfo
from .wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping

T = TypeVar("T")


class Paced(Wrapper):
    """At most `rate` bytes a second through this process, reads and writes together, however many there are: each in
    its turn waits as long as its bytes take. What storages copy among themselves does not come by here."""

    def __init__(self, inner: Element, rate: int) -> None:
        super().__init__(inner)
        self._rate = rate
        self._free_at = 0.0  # when all that was let through is due

    def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        return self._passed(stream(start)) if operation == "read" else stream(start)

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        async with aclosing(self._slowly(chunks)) as slowly:
            return await self.inner.write(pfn, slowly, size=size, overwrite=overwrite, checksums=checksums)

    async def _passed(self, stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        async with aclosing(stream), aclosing(self._slowly(stream)) as items:
            async for item in items:
                yield item

    async def _slowly(self, items: AsyncIterable[T]) -> AsyncGenerator[T, None]:
        clock = asyncio.get_running_loop().time
        async for item in items:
            if isinstance(item, Chunk):
                at = max(clock(), self._free_at)
                self._free_at = at + len(item) / self._rate
                await asyncio.sleep(at - clock())
            yield item
