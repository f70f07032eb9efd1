"""SQL of the queue. One statement a step, whatever the number of transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .shares import MANY, PLACE, Lane, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

_LEASE_LOCK = 0x6C65617365  # 'lease'
_WEIGHT = f"case when deaths > 0 then 1 else least(1, greatest(bytes / {PLACE}.0, {1 / MANY})) end::float8"  # as `shares.weight`
NEVER = 1 << 62  # `not_before` of what is paused


class QueueStore:
    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    # Touched: a lane that somebody adds to is not taken away by one who found it empty a moment before.
    _LANES = """insert into lane(source, target, activity, group_id, touched)
        select s, t, $3, $4, 1 from unnest($1::int[], $2::int[]) u(s, t) order by s, t
        on conflict on constraint lane_key do update set touched = lane.touched + 1 returning id, source, target"""

    async def lanes_for(
        self, connection: Connection, links: Sequence[tuple[int, int]], activity: str, group: int
    ) -> dict[tuple[int, int], int]:
        """{(source, target): lane id}, made where there is none."""
        sources, targets = [link[0] for link in links], [link[1] for link in links]
        rows = await connection.fetch(self._LANES, sources, targets, activity, group)
        return {(r["source"], r["target"]): r["id"] for r in rows}

    _ADD = """insert into queued(id, lane_id, priority, request_id, file_id, bytes)
        select nextval('transfer_id'), l, $4, $5, f, b from unnest($1::int[], $2::bigint[], $3::bigint[]) u(l, f, b)"""

    async def add(
        self, connection: Connection, rows: Sequence[tuple[int, int, int]], priority: int, request: int
    ) -> None:
        """Rows of (lane id, file id, bytes)."""
        if rows:
            await connection.execute(self._ADD, *(list(c) for c in zip(*rows, strict=True)), priority, request)

    _AGAIN = """insert into queued(id, lane_id, priority, request_id, file_id, bytes, attempts, deaths, not_before)
        select * from unnest($1::bigint[], $2::int[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[],
            $8::smallint[], $9::bigint[])"""

    async def add_again(self, connection: Connection, rows: Sequence[tuple[int, ...]]) -> None:
        """Rows of (id, lane id or less than 0: waits, priority, request, file, bytes, attempts, deaths, not before)."""
        if rows:
            await connection.execute(self._AGAIN, *(list(c) for c in zip(*rows, strict=True)))

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def lock(self, connection: Connection) -> None:
        """Be the only one who leases until the transaction ends: counts and limits are exact then, without counters.

        The head of a lane is then read by its index: PostgreSQL knows neither how many of each lane are wanted nor which
        requests are left out, and would sort whole lanes (measured: 230 ms for 500 of 300,000, in place of 10).
        """
        await connection.execute(self._LOCK, _LEASE_LOCK)

    _LOCK = """select pg_advisory_xact_lock($1), set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"""

    _WAITING = "select id, source, target, activity, group_id, touched from lane order by random()"

    async def lanes(self, connection: Connection) -> list[tuple[Lane, int]]:
        """(lane, its `touched`): lanes that may have something, in another order each time."""
        return [(Lane(*r[:5]), r[5]) for r in map(tuple, await connection.fetch(self._WAITING))]

    _COUNTS = f"""select 0 as id, source, target, activity, group_id, ceil(sum({_WEIGHT}))::int as n from active
        group by source, target, activity, group_id"""

    async def active(self, connection: Connection) -> list[tuple[Lane, int]]:
        """How many places are taken by each kind of transfers under way."""
        return [(Lane(*r[:5]), r[5]) for r in map(tuple, await connection.fetch(self._COUNTS))]

    # `lane_id > 0` says once more what the lanes given are: without it the index of those that are ready is none to use.
    _TAKE = f"""with pick as (select q.id from unnest($1::int[], $2::int[]) l(lane_id, n) cross join lateral
                (select id from (select id, sum({_WEIGHT}) over (order by priority desc, id) as places
                    from (select id, priority, bytes, deaths from queued
                        where lane_id = l.lane_id and lane_id > 0 and request_id <> all($3::bigint[])
                        order by priority desc, id limit l.n * {MANY} for update skip locked) head) fitting
                where places <= l.n) q),
            d as (delete from queued where id in (select id from pick) returning *)
        insert into active(id, lane_id, source, target, activity, group_id, priority, request_id, file_id, bytes, attempts, deaths,
            worker, started)
        select d.id, l.id, l.source, l.target, l.activity, l.group_id, d.priority, d.request_id, d.file_id, d.bytes, d.attempts,
            d.deaths, $4, $5 from d join lane l on l.id = d.lane_id returning *"""

    async def take(
        self, connection: Connection, given: dict[int, int], unsettled: Sequence[int], worker: int, at: int
    ) -> Rows:
        """Lease what fits into so many places of each lane, best first; requests whose rows are yet to be put aside are left out."""
        return await connection.fetch(self._TAKE, list(given), list(given.values()), unsettled, worker, at)

    _EMPTY = """with empty as (select l.id from lane l join unnest($1::int[], $2::bigint[]) u(id, touched)
                on l.id = u.id and l.touched = u.touched
            where not exists (select from queued where lane_id in (l.id, -l.id)) and not exists (select from active where lane_id = l.id)
            for update of l skip locked)
        delete from lane l using empty where l.id = empty.id"""

    async def forget_lanes(self, connection: Connection, lanes: Sequence[tuple[int, int]]) -> None:
        """Take away (lane id, `touched`) that hold nothing, unless touched since."""
        await connection.execute(self._EMPTY, [lane[0] for lane in lanes], [lane[1] for lane in lanes])

    _RIPE = """with due as (select id from queued where lane_id < 0 and not_before <= $1 order by not_before limit $2
            for update skip locked)
        update queued q set lane_id = -q.lane_id, not_before = 0 from due where q.id = due.id"""

    async def ripen(self, connection: Connection, at: int, limit: int) -> int:
        """Let some wait no longer whose time has come; how many."""
        return count(await connection.execute(self._RIPE, at, limit))

    _NEXT = "select min(not_before) from queued where lane_id < 0 and not_before < $1"

    async def next_ripe(self, connection: Connection) -> int | None:
        """When the first of those that wait comes due."""
        return await connection.fetchval(self._NEXT, NEVER)

    _FENCE = "delete from active where id = any($1::bigint[]) and worker = $2 returning *"

    async def ended(self, connection: Connection, ids: Sequence[int], worker: int) -> dict[int, asyncpg.Record]:
        """Take back those leases that the worker still has."""
        return {r["id"]: r for r in await connection.fetch(self._FENCE, ids, worker)}

    _ATTEMPTS = """insert into attempt(at, request_id, transfer_id, file_id, source, target, result, way, bytes, micros, worker, error)
        select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::smallint[], $8::text[],
            $9::bigint[], $10::bigint[], $11::int[], $12::text[])"""

    async def attempts(self, connection: Connection, at: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of (request, transfer, file, source, target, result, way, bytes, microseconds, worker, error)."""
        if rows:
            await connection.execute(self._ATTEMPTS, at, *(list(c) for c in zip(*rows, strict=True)))

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin_worker(self, connection: Connection, host: str, pid: int, settings: Any, at: int) -> int:
        statement = "insert into worker(host, pid, settings, started, beat) values ($1, $2, $3, $4, $4) returning id"
        return await connection.fetchval(statement, host, pid, settings, at)

    async def beat(self, connection: Connection, worker: int, at: int) -> bool:
        """False: others took it for dead, and its transfers from it."""
        return count(await connection.execute("update worker set beat = $2 where id = $1", worker, at)) == 1

    async def end_worker(self, connection: Connection, worker: int) -> None:
        await connection.execute("delete from worker where id = $1", worker)

    _DEAD = "select id, host, pid from worker where beat < $1 order by id for update skip locked"

    async def dead_workers(self, connection: Connection, before: int) -> Rows:
        return await connection.fetch(self._DEAD, before)

    _ORPHANS = """select * from active a where not exists (select from worker where id = a.worker) order by id limit $1
        for update skip locked"""

    async def orphans(self, connection: Connection, limit: int) -> Rows:
        """Leases of workers that are no more."""
        return await connection.fetch(self._ORPHANS, limit)

    _EXPIRE = "update upload set expires = $2 where (spec ->> 'transfer')::bigint = any($1::bigint[])"

    async def expire_uploads(self, connection: Connection, transfers: Sequence[int], at: int) -> None:
        """Let the cleaner have what these were writing."""
        await connection.execute(self._EXPIRE, transfers, at)

    # ── what operators set ───────────────────────────────────────────────────────────────────────────────────────────

    async def shares(self, connection: Connection) -> tuple[dict[str, Share], dict[str, Share]]:
        """Those of activities and of groups, by name."""
        found: tuple[dict[str, Share], dict[str, Share]] = ({}, {})
        for r in await connection.fetch("select kind, name, weight, most from share"):
            found[r["kind"] == b"g"][r["name"]] = Share(r["weight"], r["most"])
        return found

    _LINKS = 'select source, target, coalesce(most, greatest(1, floor("window")::int)) as most from link'

    async def links(self, connection: Connection) -> dict[tuple[int, int], int]:
        return {(r["source"], r["target"]): r["most"] for r in await connection.fetch(self._LINKS)}

    _SET_LINKS = """with given as (select * from unnest($1::int[], $2::int[], $3::int[]) u(s, t, m)),
            gone as (delete from link l using given where l.source = s and l.target = t and m is null)
        insert into link(source, target, most) select s, t, m from given where m is not null
        on conflict (source, target) do update set most = excluded.most"""

    async def set_links(self, connection: Connection, rows: Sequence[tuple[int, int, int | None]]) -> None:
        """Rows of (source, target, places at most; None: the default)."""
        if rows:
            await connection.execute(self._SET_LINKS, *(list(c) for c in zip(*rows, strict=True)))

    _SET_SHARES = """with given as (select k::"char" as k, n, w, m from unnest($1::text[], $2::text[], $3::float8[], $4::int[]) u(k, n, w, m)),
            gone as (delete from share s using given where s.kind = k and s.name = n and w = 1 and m is null)
        insert into share(kind, name, weight, most) select k, n, w, m from given where w <> 1 or m is not null
        on conflict (kind, name) do update set weight = excluded.weight, most = excluded.most"""

    async def set_shares(self, connection: Connection, rows: Sequence[tuple[str, str, float, int | None]]) -> None:
        """Rows of ('a' or 'g', name, weight, places at most)."""
        if rows:
            await connection.execute(self._SET_SHARES, *(list(c) for c in zip(*rows, strict=True)))

    # By lane, of which there are few: how many wait in each is told by its index.
    _LINK_USES = f"""with a as (select source, target, ceil(sum({_WEIGHT}))::int as taken from active group by 1, 2),
            w as (select source, target, sum(n)::bigint as waiting from lane cross join lateral
                (select count(*) as n from queued where lane_id = lane.id and lane_id > 0) q group by 1, 2)
        select source, target, l.most, case when l."window" is not null then greatest(1, floor(l."window")::int) end as tuned, taken, waiting from link l full join a using (source, target) full join w using (source, target)"""

    async def link_uses(self, connection: Connection) -> Rows:
        """Links with a limit, or with transfers that are ready or under way."""
        return await connection.fetch(self._LINK_USES)

    # ── days ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make_day(self, connection: Connection, name: str, begin: int, end: int) -> None:
        """The part of `attempt` for one day. Safe to repeat. `name` is a date of digits."""
        assert name.isdigit()
        await connection.execute("select pg_advisory_xact_lock($1)", _LEASE_LOCK + 1)
        await connection.execute(
            f"create table if not exists attempt_{name} partition of attempt for values from ({int(begin)}) to ({int(end)})"
        )

    _DAYS = """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'attempt'::regclass order by 1"""

    async def days(self, connection: Connection) -> list[str]:
        """The dates that have a part, as `make_day` names them."""
        return [r[0].removeprefix("attempt_") for r in await connection.fetch(self._DAYS)]

    async def drop_day(self, connection: Connection, name: str) -> None:
        assert name.isdigit()
        await connection.execute(f"drop table if exists attempt_{name}")


def count(tag: str) -> int:
    """The number of rows in PostgreSQL's answer: `UPDATE 3`."""
    return int(tag.rsplit(" ", 1)[1])
