"""Faults of the moment, tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from .base import Chunk, Element
from .errors import ObjectNotFound, Transient
from .wrapper import REPEATABLE, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

T = TypeVar("T")


class Retried(Wrapper):
    """What ended in Transient is done again after a growing wait (or the storage's `retry_after`), `attempts` times in
    all.

    A read goes on where it broke off, unless the storage tells that the object was replaced meanwhile. A scan begins
    again only if nothing came of it. A write is never repeated: its chunks are used up; nor is a copy or a rename,
    which may have been done although the answer was lost.
    """

    def __init__(self, inner: Element, attempts: int, *, first_wait: float = 0.1, longest_wait: float = 5.0) -> None:
        super().__init__(inner)
        self._again = stamina.AsyncRetryingCaller(
            attempts=attempts, timeout=None, wait_initial=first_wait, wait_max=longest_wait, wait_jitter=first_wait
        )

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._again(_wait, call) if operation in REPEATABLE else await call()

    def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        inner = self.inner.of_one_version()
        return self.around_stream("read", pfn, start, lambda at: inner.read(pfn, at, stop))

    async def remove(self, pfn: str) -> None:
        tries = 0

        async def once() -> None:
            nonlocal tries
            tries += 1
            try:
                await self.inner.remove(pfn)
            except ObjectNotFound:
                if tries == 1:
                    raise  # else an earlier try removed it, and its answer was lost

        await self._again(_wait, once)

    async def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        at = start
        begun = False
        opened = stream(at)

        async def reopen() -> T | None:
            nonlocal opened
            await opened.aclose()
            opened = stream(at)
            return await anext(opened, None)

        try:
            while True:
                try:
                    item = await anext(opened, None)
                except Transient:
                    if begun and operation != "read":
                        raise
                    item = await self._again(_wait, reopen)
                if item is None:
                    return
                begun = True
                if isinstance(item, Chunk):
                    at += len(item)
                yield item
        finally:
            await opened.aclose()


def _wait(error: Exception) -> bool | float:
    if isinstance(error, Transient):
        return True if error.retry_after is None else min(error.retry_after, 60.0)
    return False
