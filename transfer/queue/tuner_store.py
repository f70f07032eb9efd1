"""SQL of tuning links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lading.model.request import RESULTS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

_LOCK = 0x6C6164696E6774  # 'ladingt'
_DONE, _RETRY = RESULTS.index(Result.DONE), RESULTS.index(Result.RETRY)


class TunerStore:
    async def due(self, connection: Connection, before: int) -> bool:
        """Has nobody looked since, and is there anything to look at?"""
        statement = "select coalesce(max(looked), 0) < $1 and exists(select from attempt where at > $1) from link"
        return await connection.fetchval(statement, before)

    async def alone(self, connection: Connection) -> bool:
        """False when another is at it."""
        return await connection.fetchval("select pg_try_advisory_xact_lock($1)", _LOCK)

    _SEEN = f"""with seen as (select source, target, count(*) filter (where result = {_DONE}) as done,
                count(*) filter (where result = {_RETRY} and error is not null) as failed,
                coalesce(sum(bytes) filter (where result = {_DONE}), 0)::bigint as bytes
            from attempt where at > $1 and source <> target group by 1, 2)
        select s.*, l."window", l.rate, exists(select from lane where lane.source = s.source and lane.target = s.target
                and exists(select from queued where lane_id = lane.id and lane_id > 0)) as waiting
        from seen s left join link l using (source, target) where l.most is null order by source, target"""

    async def seen(self, connection: Connection, since: int) -> Rows:
        """Links that tries ended over, and that no operator has set: done, failed (to be tried again), bytes, whether more
        waits; their window and rate, if they have any."""
        return await connection.fetch(self._SEEN, since)

    _DECIDE = """with d as (select * from unnest($1::int[], $2::int[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::int[],
                $8::int[], $9::text[]) u(source, target, before, after, smooth, rate, done, failed, why)),
            noted as (insert into link_decision(source, target, at, before, after, rate, done, failed, why)
                select source, target, $10, before, after, rate, done, failed, why from d where why <> '')
        insert into link(source, target, "window", rate, looked) select source, target, after, smooth, $10 from d
        on conflict (source, target) do update set "window" = excluded."window", rate = excluded.rate, looked = excluded.looked"""

    async def decide(self, connection: Connection, rows: Sequence[tuple[Any, ...]], at: int) -> None:
        """Rows of (source, target, before, after, smoothed rate, rate, done, failed, why: empty for no change)."""
        if rows:
            await connection.execute(self._DECIDE, *(list(c) for c in zip(*rows, strict=True)), at)

    async def forget(self, connection: Connection, before: int) -> None:
        await connection.execute("delete from link_decision where at < $1", before)

    _DECISIONS = """select * from link_decision where ($1::int is null or source = $1) and ($2::int is null or target = $2)
        order by at desc limit $3"""

    async def decisions(self, connection: Connection, source: int | None, target: int | None, limit: int) -> Rows:
        """The latest first."""
        return await connection.fetch(self._DECISIONS, source, target, limit)
