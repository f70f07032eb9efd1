"""Two things at once: PostgreSQL has a core for each connection, and an import alone would use one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .stage_store import Connection, connect

T = TypeVar("T")
U = TypeVar("U")


async def together(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """The results of both; when one fails the other is stopped first, and its fault is not heard."""
    tasks = (asyncio.create_task(first), asyncio.create_task(second))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def aside(dsn: str, schema: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """`work` on a connection of its own, which finds the tables of `schema` first."""
    connection = await connect(dsn, schema)
    try:
        return await work(connection)
    finally:
        await connection.close(timeout=10)
