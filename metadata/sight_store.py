"""SQL of sights: which access rows and ACLs there are. None ever changes or goes, so counting tells whether all are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.db import Connection


class SightStore:
    _COUNTS = "select (select count(*) from access)::int, (select count(*) from acl)::int"

    async def counts(self, connection: Connection) -> tuple[int, int]:
        row = await connection.fetchrow(self._COUNTS)
        assert row is not None
        return row[0], row[1]

    _GROUPS = "select id from principal where kind = 'g'"

    async def groups(self, connection: Connection) -> frozenset[int]:
        return frozenset(r["id"] for r in await connection.fetch(self._GROUPS))

    _IDS = "select array(select id from access order by id), array(select id from acl order by id)"

    async def ids(self, connection: Connection) -> tuple[list[int], list[int]]:
        """Of all access rows and all ACLs."""
        row = await connection.fetchrow(self._IDS)
        assert row is not None
        return list(row[0]), list(row[1])
