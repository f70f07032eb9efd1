"""SQL of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class Wish(NamedTuple):
    """Whose events: of `user` (None: everybody's), and those about what `name` owns; of `actions` (patterns of LIKE, none
    for all); at or below `under`."""

    user: int | None
    name: str
    actions: Sequence[str]
    under: str


class EventsStore:
    async def horizon(self, connection: Connection) -> int:
        """All transactions before this one are over: what they did can be read, and no more will come."""
        return await connection.fetchval("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")

    _AFTER = """select a.xid, a.id, a.at, coalesce(p.name, a.user_id::text) as user, a.action, a.count, a.targets, a.details, a.origin,
            a.request_id
        from audit a left join principal p on p.id = a.user_id
        where (a.xid, a.id) > ($1, $2) and a.xid < $3 and a.targets <> '{}' and ($4::int is null or a.user_id = $4 or a.details->>'owner' = $5)
            and (cardinality($6::text[]) = 0 or a.action like any($6))
            and ($7::text = '/' or exists(select from unnest(a.targets) t where t = $7 or starts_with(t, $7 || '/')))
        order by a.xid, a.id limit $8"""

    async def after(self, connection: Connection, xid: int, row: int, horizon: int, wish: Wish, limit: int) -> Rows:
        """In order, after one of them, before the horizon; what is about no name is left out."""
        return await connection.fetch(self._AFTER, xid, row, horizon, *wish, limit)

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    _ADD = """insert into webhook(user_id, url, secret, actions, under, xid, created) values ($1, $2, $3, $4, $5, $6, $7) returning *"""

    async def add(self, connection: Connection, *values: Any) -> asyncpg.Record:
        """Values: user, URL, sealed secret, actions, under, xid, at."""
        row = await connection.fetchrow(self._ADD, *values)
        assert row is not None
        return row

    async def every(self, connection: Connection) -> Rows:
        return await connection.fetch("select * from webhook order by id")

    async def remove(self, connection: Connection, hook: int) -> bool:
        return await connection.execute("delete from webhook where id = $1", hook) == "DELETE 1"

    _CLAIM = """update webhook set lease = $2 where id = (select id from webhook where next_try <= $1 and lease < $1
        order by next_try, id limit 1 for update skip locked) returning *"""

    async def claim(self, connection: Connection, at: int, until: int) -> asyncpg.Record | None:
        return await connection.fetchrow(self._CLAIM, at, until)

    _TOLD = """update webhook set xid = $3, row_id = $4, delivered = delivered + $5, at = case when $5 > 0 then $6 else at end,
            failures = 0, error = null, next_try = $7, lease = 0 where id = $1 and lease = $2"""

    async def told(
        self, connection: Connection, hook: int, lease: int, xid: int, row: int, count: int, at: int, next_try: int
    ) -> None:
        await connection.execute(self._TOLD, hook, lease, xid, row, count, at, next_try)

    _FAILED = (
        "update webhook set failures = failures + 1, error = $3, next_try = $4, lease = 0 where id = $1 and lease = $2"
    )

    async def failed(self, connection: Connection, hook: int, lease: int, error: str, next_try: int) -> None:
        await connection.execute(self._FAILED, hook, lease, error, next_try)
