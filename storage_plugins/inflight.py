"""Requests that are under way at once, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


class Requests(Generic[T]):
    """Coroutines that run at once; their results come in order."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._tasks: deque[asyncio.Task[T]] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, request: Coroutine[Any, Any, T]) -> None:
        self._tasks.append(asyncio.create_task(request))

    async def next(self) -> T:
        return await self._tasks.popleft()

    async def cancel(self) -> None:
        """Wait for none of them any more."""
        tasks = list(self._tasks)
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
