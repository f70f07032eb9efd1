"""SQL of inherited values: `dir.eff` is what holds for everything in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .store import path_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class InheritanceStore:
    async def ids(self, connection: Connection, paths: Sequence[str]) -> dict[str, int]:
        """{path: id} of the directories at exactly these paths."""
        statement = "select d.path, d.id from unnest($1::text[]) u(p) join dir d on d.path = u.p"
        return {r["path"]: r["id"] for r in await connection.fetch(statement, paths)}

    async def effective(self, connection: Connection, paths: Sequence[str]) -> Rows:
        """(path, eff) of the directories at exactly these paths."""
        return await connection.fetch(
            "select d.path, d.eff from unnest($1::text[]) u(p) join dir d on d.path = u.p", paths
        )

    _OWN = """select d.path, f.meta from unnest($1::text[]) u(p) join dir d on d.path = u.p join file f on f.id = d.id
        where f.meta is not null"""

    async def own(self, connection: Connection, paths: Sequence[str]) -> Rows:
        """(path, own values) of those of the directories that have any."""
        return await connection.fetch(self._OWN, paths)

    _BELOW = """select d.id, d.path from unnest($1::text[], $2::text[]) u(low, high)
        cross join lateral (select d.id, d.path from dir d where d.path > u.low and d.path < u.high) d order by d.path"""

    async def below(self, connection: Connection, paths: Sequence[str]) -> AsyncIterator[asyncpg.Record]:
        """(id, path) of every directory below these, parents first. Needs a transaction; no path is below another."""
        lows, highs = zip(*(path_range(p) for p in paths), strict=True)
        async for row in connection.cursor(self._BELOW, lows, highs, prefetch=2000):
            yield row

    # Values are put together here and not in Python: no number changes its form on the way.
    _REWORK = """update dir d set eff = n.eff
        from (select u.id, coalesce(p.eff, '{}') || coalesce(f.meta, '{}') as eff
                from unnest($1::bigint[], $2::bigint[]) u(id, parent) join file f on f.id = u.id left join dir p on p.id = u.parent) n
        where d.id = n.id and d.eff <> n.eff returning d.id"""

    async def rework(self, connection: Connection, ids: Sequence[int], parents: Sequence[int]) -> set[int]:
        """Give directories what holds in their parents (0: there is none) and their own; the ids for which that is new."""
        return {r[0] for r in await connection.fetch(self._REWORK, ids, parents)}
