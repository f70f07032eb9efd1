"""Many looks at single objects, some at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Any

T = TypeVar("T")
AT_ONCE = 16


async def looked(looks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each says, in their order."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(look: Coroutine[Any, Any, T]) -> T:
        async with limit:
            return await look

    return await asyncio.gather(*(one(look) for look in looks))
