"""SQL of transfers in a worker's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class WorkStore:
    _FILES = """select f.id, d.path, f.name, f.size, f.guid::text as guid, f.adler32, f.csum, f.se, f.rstate, f.pfn
        from file f join dir d on d.id = f.dir_id where f.id = any($1::bigint[]) and f.kind = 0"""

    async def files(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """Files with their directory's path (no LFN for what is in the trash) and their copies."""
        return await connection.fetch(self._FILES, ids)

    _ORDERS = "select id, kind, user_id, copies, target, source, options from request where id = any($1::bigint[])"

    async def orders(self, connection: Connection, ids: Sequence[int]) -> Rows:
        return await connection.fetch(self._ORDERS, ids)

    # In one order, so that no two wait for each other; as `TransferStore.uploading` does for one.
    _LOCK = """select pg_advisory_xact_lock(key) from (select distinct hashtextextended(p, s) as key
        from unnest($1::int[], $2::text[]) u(s, p) order by key) k"""
    _TAKEN = "select u.s, u.p from unnest($1::int[], $2::text[]) u(s, p) where exists (select from upload where se_id = u.s and pfn = u.p)"

    async def claim(self, connection: Connection, places: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        """Which of the places (element id, PFN) somebody writes to now. Nobody else begins there until the end of this
        transaction."""
        elements, pfns = [p[0] for p in places], [p[1] for p in places]
        await connection.execute(self._LOCK, elements, pfns)
        return {(r["s"], r["p"]) for r in await connection.fetch(self._TAKEN, elements, pfns)}

    _ADD = """insert into upload(id, lfn, se_id, pfn, guid, user_id, spec, started, expires)
        select i, l, s, p, g, u, x, $8, $9 from unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::uuid[], $6::int[], $7::jsonb[])
            r(i, l, s, p, g, u, x)"""

    async def add_uploads(self, connection: Connection, rows: Sequence[tuple[Any, ...]], at: int, expires: int) -> None:
        """Rows of (id, LFN, element id, PFN, GUID, user id, spec)."""
        if rows:
            await connection.execute(self._ADD, *(list(c) for c in zip(*rows, strict=True)), at, expires)

    async def extend_uploads(self, connection: Connection, ids: Sequence[str], expires: int) -> None:
        await connection.execute("update upload set expires = $2 where id = any($1::uuid[])", ids, expires)

    async def end_uploads(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Forget uploads; those that were still there: the cleaner has not taken them."""
        statement = "delete from upload where id = any($1::uuid[]) returning id::text as id"
        return {r["id"] for r in await connection.fetch(statement, ids)}

    async def expire_uploads(self, connection: Connection, ids: Sequence[str], at: int) -> None:
        """Let the cleaner have them now."""
        await connection.execute("update upload set expires = $2 where id = any($1::uuid[])", ids, at)
