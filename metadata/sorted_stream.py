"""A sorted search as a stream: sorted once, for a reader that keeps up; no connection is kept for one that does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .sorted_store import sorted_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from catalog.db import Connection

    from .prepared import Prepared
    from .search_store import Lines
    from .walk import Wish

PATIENCE = 5.0  # seconds that a connection waits for a reader


async def sorted_stream(
    connect: Callable[[], AbstractAsyncContextManager[tuple[Connection, Prepared]]],
    asked: Prepared,
    wish: Wish,
    limit: int | None,
) -> AsyncGenerator[Lines, None]:
    """All results, in order, in constant memory. For a reader that was slow the rest is sorted again, from behind what
    it has: what others change meanwhile may be found or not, as between two pages."""
    pieces: asyncio.Queue[Lines | None] = asyncio.Queue(1)

    async def produce() -> None:
        after, left = wish.after(asked.directories), limit
        ended = asked.where is None
        while not ended:
            late: Lines | None = None
            async with connect() as (connection, _):
                async for lines in sorted_lines(connection, asked, wish, after, left):
                    asked.clock.earn(lines.entries)
                    after = wish._replace(cursor=wish.following(lines)).after(asked.directories)
                    left = None if left is None else left - lines.entries
                    try:
                        await asyncio.wait_for(pieces.put(lines), PATIENCE)
                    except TimeoutError:
                        late = lines
                        break
            if late is not None:
                await pieces.put(late)
            ended = late is None or left == 0

    async def all_of_it() -> None:
        try:
            await produce()
        except Exception:
            await pieces.put(None)
            raise
        await pieces.put(None)

    task = asyncio.create_task(all_of_it())
    try:
        while (lines := await pieces.get()) is not None:
            yield lines
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
