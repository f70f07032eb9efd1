"""SQL of care."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class CareStore:
    # ── requests that never end ──────────────────────────────────────────────────────────────────────────────────────

    _STANDING = """with made as (insert into request(kind, user_id, selection, options, activity, group_id, priority, created, state,
                planned, standing)
            values ($2, $3, '{}', jsonb_build_object('note', $4::text), $5, $6, $7, $8, 'running', true, $1)
            on conflict (standing) where standing is not null do nothing returning *)
        select * from made union all select * from request where standing = $1"""

    async def standing(self, connection: Connection, word: str, *values: Any) -> asyncpg.Record:
        """The request of that word, made if need be. Values: kind, user, note, activity, group, priority, at."""
        row = await connection.fetchrow(self._STANDING, word, *values)
        if row is None:  # another has made it just now
            row = await connection.fetchrow("select * from request where standing = $1", word)
        assert row is not None
        return row

    _OTHERS = "select id from request where rule_id is not null and state in ('running', 'paused')"

    async def of_rules(self, connection: Connection) -> list[int]:
        """The requests of rules."""
        return [r["id"] for r in await connection.fetch(self._OTHERS)]

    # ── reading back ─────────────────────────────────────────────────────────────────────────────────────────────────

    _TO_SCRUB = """select e.id from element e left join scrub s on s.se_id = e.id
        where e.scrub_days > 0 and not e.placeholder and coalesce(s.due, 0) <= $1 order by s.due nulls first limit 1"""

    async def to_scrub(self, connection: Connection, at: int) -> int | None:
        """An element of which a piece is due."""
        return await connection.fetchval(self._TO_SCRUB, at)

    async def begin_scrub(self, connection: Connection, element: int, request: int, at: int) -> None:
        statement = "insert into scrub(se_id, request_id, began) values ($1, $2, $3) on conflict do nothing"
        await connection.execute(statement, element, request, at)

    async def scrub(self, connection: Connection, element: int, at: int) -> asyncpg.Record | None:
        """Its row, locked, unless another is at it or nothing is due."""
        statement = "select * from scrub where se_id = $1 and due <= $2 for update skip locked"
        return await connection.fetchrow(statement, element, at)

    _ON = """select f.dir_id, f.name, f.id, coalesce(f.size, 0) as size, i.verified from dir_usage u cross join lateral (
            select dir_id, name, id, size from file where dir_id = u.dir_id and $1 = any(se) and (u.dir_id > $2 or name > $3)
            order by dir_id, name limit $4) f
        left join replica_info i on i.file_id = f.id and i.se_id = $1
        where u.se_id = $1 and u.dir_id >= $2 and u.nfiles > 0 order by u.dir_id, f.name limit $4"""

    async def on(self, connection: Connection, element: int, directory: int, name: str, limit: int) -> Rows:
        """Files with a copy on an element, by directory id and name, after one of them; when that was verified last."""
        return await connection.fetch(self._ON, element, directory, name, limit)

    async def scrubbed(
        self, connection: Connection, element: int, plan: Any, looked: int, began: int, ended: int | None, due: int
    ) -> None:
        statement = "update scrub set plan = $2, looked = $3, began = $4, ended = $5, due = $6 where se_id = $1"
        await connection.execute(statement, element, plan, looked, began, ended, due)

    async def waiting(self, connection: Connection, request: int, most: int) -> int:
        """How many of a request's transfers wait, counted up to `most`."""
        statement = "select count(*) from (select from queued where request_id = $1 limit $2) q"
        return await connection.fetchval(statement, request, most)

    # ── mending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def any_to_mend(self, connection: Connection, at: int) -> bool:
        return await connection.fetchval("select exists(select from mend where due <= $1)", at)

    _TAKE = """delete from mend where id in
        (select id from mend where due <= $1 order by due, id limit $2 for update skip locked) returning file_id"""

    async def take(self, connection: Connection, at: int, limit: int) -> list[int]:
        """Files that are due, taken off the list when the transaction ends; each once."""
        return list({r["file_id"]: None for r in await connection.fetch(self._TAKE, at, limit)})

    async def put(self, connection: Connection, files: Sequence[int], due: int) -> None:
        if files:
            await connection.execute(
                "insert into mend(file_id, due) select f, $2 from unnest($1::bigint[]) f", files, due
            )

    _FILES = """select f.id, d.path, f.name, f.size, f.status, f.owner_id, f.se, f.rstate
        from file f join dir d on d.id = f.dir_id where f.id = any($1::bigint[]) and f.kind = 0"""

    async def files(self, connection: Connection, ids: Sequence[int]) -> Rows:
        return await connection.fetch(self._FILES, ids)

    async def set_status(self, connection: Connection, files: Sequence[int], status: int | None) -> None:
        if files:
            await connection.execute("update file set status = $2 where id = any($1::bigint[])", files, status)
