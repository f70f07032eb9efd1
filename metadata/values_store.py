"""SQL of the values of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Connection


class ValuesStore:
    _LOCK = "select f.id, f.meta from file f where f.id = any($1::bigint[]) order by f.id for update"

    async def lock(self, connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """{id: its own values}, the rows locked in the order of their ids: whoever else sets values waits."""
        return {r[0]: r[1] or {} for r in await connection.fetch(self._LOCK, ids)}

    # Rows are locked already, in order. An id's dead versions stay on its page: no index is on `meta` itself.
    _SET = (
        "update file f set meta = nullif(u.m, '{}') from unnest($1::bigint[], $2::jsonb[]) u(id, m) where f.id = u.id"
    )

    async def set(self, connection: Connection, ids: Sequence[int], values: Sequence[dict[str, Any]]) -> None:
        await connection.execute(self._SET, ids, values)
