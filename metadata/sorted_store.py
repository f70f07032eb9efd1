"""A sorted search as one statement that is read piece by piece: PostgreSQL sorts once, on disk where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .params import Params
from .search_store import Lines, ordered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from catalog.db import Connection

    from .prepared import Prepared
    from .walk import Wish

_PIECE = 5_000


async def sorted_lines(
    connection: Connection, asked: Prepared, wish: Wish, after: tuple[Any, str, str] | None, limit: int | None
) -> AsyncIterator[Lines]:
    """All that matches, in order, after (sort key, path of `d`, name). Needs a transaction."""
    params = Params()
    found, by = ordered(asked, params, wish.columns, wish.order, after)
    statement = f"select line from ({found}) z order by {by}" + ("" if limit is None else f" limit {int(limit)}")
    with asked.clock.running() as left:
        cursor = await connection.cursor(statement, *params.values, timeout=left)
    while True:
        with asked.clock.running() as left:
            rows = await cursor.fetch(_PIECE, timeout=left)
        if rows:
            yield Lines("\n".join([r[0] for r in rows]).encode(), len(rows))
        if len(rows) < _PIECE:
            return
