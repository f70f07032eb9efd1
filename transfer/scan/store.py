"""SQL of scans: what the catalogue has on one element, and objects that wait for leave to be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from catalog.db import Connection

    Take = Callable[[bytes], Coroutine[Any, Any, None]]

BATCH = 5_000
HELD = 1 << 62  # `not_before` of deletions that may not be carried out yet


class ScanStore:
    # The element's directories by one index, the files of each by another: `offset 0` keeps the planner from reading all
    # files of the catalogue for an element that holds few. The PFN is that of `catalog.elements.layout.implied`.
    _ON_ELEMENT = """(select f.*, coalesce(f.pfn ->> $1::int::text,
                $2 || right(f.guid::text, 2) || '/' || substr(f.guid::text, 33, 2) || '/' || f.guid::text) as place
            from dir_usage u cross join lateral
                (select * from file where dir_id = u.dir_id and kind = 0 and $1 = any(se) offset 0) f
            where u.se_id = $1 and u.nfiles > 0) r"""
    _CLAIMS = f"select place, '' from {_ON_ELEMENT} where starts_with(place, $3)"

    async def claims(self, connection: Connection, element: int, prefix: str, under: str, take: Take) -> None:
        """Rows `PFN TAB` of the element's replicas that begin with `under`, in no order, as COPY writes them.

        `take` gets them in pieces of any length, at its pace. Needs a transaction.
        """
        await self._copy(connection, self._CLAIMS, element, prefix, under, take)

    # A copy that was made after its file has a time of its own.
    _REPLICAS = f"""select place, coalesce(size::text, '') || ',' || coalesce(lpad(to_hex(adler32), 8, '0'), '') || ',' || id
            || ',' || coalesce(rstate[array_position(se, $1)], 0) || ',' || greatest(r.ctime, i.ctime) || ',' || coalesce(csum, '')
        from {_ON_ELEMENT} left join replica_info i on i.file_id = r.id and i.se_id = $1 where starts_with(place, $3)"""

    async def replicas(self, connection: Connection, element: int, prefix: str, under: str, take: Take) -> None:
        """`PFN TAB size,adler32,file id,state,ctime,other checksums`, as `claims`. What is not known is empty."""
        await self._copy(connection, self._REPLICAS, element, prefix, under, take)

    async def _copy(
        self, connection: Connection, query: str, element: int, prefix: str, under: str, take: Take
    ) -> None:
        await connection.execute("set local statement_timeout = 0")  # it takes as long as `take` does
        await connection.copy_from_query(query, element, prefix, under, output=take)

    _UPLOADS = "select pfn from upload where se_id = $1 and starts_with(pfn, $2)"

    async def uploads(self, connection: Connection, element: int, under: str) -> list[str]:
        """PFNs of uploads under way: as many as there are writers."""
        return [r[0] for r in await connection.fetch(self._UPLOADS, element, under)]

    _DELETIONS = "select pfn from deletion where se_id = $1 and not_before < $3 and starts_with(pfn, $2)"

    async def deletions(self, connection: Connection, element: int, under: str) -> AsyncIterator[list[str]]:
        """PFNs of objects to be deleted, those that wait for leave left out. Needs a transaction."""
        cursor = await connection.cursor(self._DELETIONS, element, under, HELD)
        while rows := await cursor.fetch(BATCH):
            yield [r[0] for r in rows]

    _COUNT = "select coalesce(sum(nfiles), 0)::bigint from dir_usage where se_id = $1"

    async def count(self, connection: Connection, element: int) -> int:
        return await connection.fetchval(self._COUNT, element)

    _FILES = """select f.id, f.guid::text as guid, case when d.path = '/' then '' else d.path end || '/' || f.name as lfn
        from file f join dir d on d.id = f.dir_id where f.id = any($1::bigint[]) and $2 = any(f.se)"""

    async def files(self, connection: Connection, ids: Sequence[int], element: int) -> dict[int, tuple[str, str]]:
        """{file id: (LFN, GUID)} of those that have a replica on the element still. In the trash, LFNs begin with `T`."""
        return {r["id"]: (r["lfn"], r["guid"]) for r in await connection.fetch(self._FILES, ids, element)}

    # ── deletions that wait for leave ────────────────────────────────────────────────────────────────────────────────

    _LOCK = "select pg_try_advisory_lock(hashtextextended('lading scan fix', $1))"

    async def lock(self, connection: Connection, element: int) -> bool:
        """Be the only one that deletes or adopts what it found on the element, until the connection ends. False: another."""
        return await connection.fetchval(self._LOCK, element)

    _HOLD = "insert into deletion(se_id, pfn, size, not_before) select $1, p, s, $4 from unnest($2::text[], $3::bigint[]) u(p, s)"

    async def hold(self, connection: Connection, element: int, objects: Sequence[tuple[str, int]]) -> None:
        """Have (PFN, size) deleted once `release` says so. Whoever registers one from now on takes it out again."""
        await connection.execute(self._HOLD, element, [o[0] for o in objects], [o[1] for o in objects], HELD)

    async def forget_held(self, connection: Connection, element: int) -> None:
        """Those of a run that did not come to its end."""
        await connection.execute("delete from deletion where se_id = $1 and not_before = $2", element, HELD)

    async def mark(self, connection: Connection) -> int:
        """A transaction number later than those of all changes under way."""
        return await connection.fetchval("select pg_current_xact_id()::text::bigint")

    async def settled(self, connection: Connection, mark: int) -> bool:
        """Have all changes ended that began before `mark`?"""
        return await connection.fetchval("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint > $1", mark)

    _SPARE = f"""with c as (select place from {_ON_ELEMENT} union all select pfn from upload where se_id = $1)
        delete from deletion d using c where d.se_id = $1 and d.not_before = {HELD} and d.pfn = c.place returning d.pfn"""

    async def spare(self, connection: Connection, element: int, prefix: str) -> list[str]:
        """Take out those that the catalogue has come to know before they were held."""
        return [r[0] for r in await connection.fetch(self._SPARE, element, prefix)]

    _RELEASE = """update deletion set not_before = $3 where id in
            (select id from deletion where se_id = $1 and not_before = $2 order by id limit $4 for update)
        returning pfn"""

    async def release(self, connection: Connection, element: int, at: int, most: int) -> list[str]:
        """Let the cleaner have some of those held; their PFNs."""
        return [r[0] for r in await connection.fetch(self._RELEASE, element, HELD, at, most)]


__all__: list[Any] = ["BATCH", "HELD", "ScanStore"]
