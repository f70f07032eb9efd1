"""The time that one question may take of the database, in all its statements."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalog.db import Connection

TooSlow = asyncpg.QueryCanceledError
_RATE = 20_000


class Clock:
    """Runs while a statement does, and not while a reader takes what was found. Raises TooSlow when it has run down."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.left = self.given = seconds

    def earn(self, results: int) -> None:
        """So many were found: a stream that brings 20,000 a second is never stopped, however long it is."""
        self.left += results / _RATE

    async def fetch(self, connection: Connection, statement: str, values: Sequence[Any]) -> list[asyncpg.Record]:
        with self.running() as left:
            return await connection.fetch(statement, *values, timeout=left)

    async def row(self, connection: Connection, statement: str, values: Sequence[Any]) -> asyncpg.Record:
        """The one row of a statement that always has one."""
        (row,) = await self.fetch(connection, statement, values)
        return row

    @contextmanager
    def running(self) -> Iterator[float | None]:
        """What is left, for a statement that is run inside. The driver cancels it then."""
        if self.left <= 0:
            raise TooSlow("no time is left")
        begun = time.monotonic()
        try:
            yield None if math.isinf(self.left) else self.left
        except TimeoutError:
            raise TooSlow("no time is left") from None
        finally:
            self.left -= time.monotonic() - begun
