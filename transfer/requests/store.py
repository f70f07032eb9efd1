"""SQL of requests: their state and their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lading.model.request import RESULTS, Result

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


@dataclass(slots=True)
class Tally:
    """What came of transfers of one request: numbers to add to its own."""

    done: int = 0
    done_bytes: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0

    def count(self, result: Result, size: int = 0) -> None:
        match result:
            case Result.DONE:
                self.done += 1
                self.done_bytes += size
            case Result.SKIPPED:
                self.skipped += 1
            case Result.FAILED:
                self.failed += 1
            case Result.CANCELLED:
                self.cancelled += 1
            case Result.RETRY:
                pass


class RequestsStore:
    # ── made and shown ───────────────────────────────────────────────────────────────────────────────────────────────

    _ADD = """insert into request(kind, user_id, selection, target, source, copies, options, activity, group_id, priority, created)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id"""

    async def add(self, connection: Connection, *values: Any) -> int:
        return await connection.fetchval(self._ADD, *values)

    async def add_items(self, connection: Connection, request: int, lfns: Sequence[str]) -> None:
        await connection.copy_records_to_table(
            "request_item",
            records=[(request, n, text) for n, text in enumerate(lfns)],
            columns=["request_id", "number", "lfn"],
        )

    _ITEMS = "select number, lfn from request_item where request_id = $1 and number >= $2 order by number limit $3"

    async def items(self, connection: Connection, request: int, first: int, limit: int) -> list[str]:
        """LFNs from number `first` on."""
        return [r["lfn"] for r in await connection.fetch(self._ITEMS, request, first, limit)]

    _ON = """select f.dir_id, f.name, case when d.path = '/' then '' else d.path end || '/' || f.name as lfn
        from dir_usage u join dir d on d.id = u.dir_id cross join lateral (
            select dir_id, name from file where dir_id = u.dir_id and $1 = any(se) and (u.dir_id > $2 or name > $3)
            order by dir_id, name limit $4) f
        where u.se_id = $1 and u.dir_id >= $2 and u.nfiles > 0 order by u.dir_id, f.name limit $4"""

    async def on(self, connection: Connection, element: int, directory: int, name: str, limit: int) -> Rows:
        """Files with a copy on an element, by directory id and name, after one of them."""
        return await connection.fetch(self._ON, element, directory, name, limit)

    async def forget_items(self, connection: Connection, request: int) -> None:
        await connection.execute("delete from request_item where request_id = $1", request)

    _PAGE = """select r.*, (select count(*) from active where request_id = r.id) as active from request r
        where ($1::bigint is null or r.id < $1) and ($2::int is null or r.user_id = $2) and ($3::text[] is null or r.state = any($3))
        order by r.id desc limit $4"""

    async def page(
        self, connection: Connection, before: int | None, user: int | None, states: Sequence[str] | None, limit: int
    ) -> Rows:
        """Requests, the latest first."""
        return await connection.fetch(self._PAGE, before, user, states, limit)

    _ONE = "select r.*, (select count(*) from active where request_id = r.id) as active from request r where id = $1"

    async def find(self, connection: Connection, request: int) -> asyncpg.Record | None:
        return await connection.fetchrow(self._ONE, request)

    async def lock(self, connection: Connection, request: int) -> asyncpg.Record | None:
        return await connection.fetchrow("select *, 0 as active from request where id = $1 for update", request)

    _RATE = """select coalesce(sum(bytes), 0)::bigint as bytes, count(*) as done, min(at - micros) as since from attempt
        where at > $2 and request_id = $1 and result = 0"""

    async def rate(self, connection: Connection, request: int, since: int) -> asyncpg.Record:
        """What was done since a moment."""
        row = await connection.fetchrow(self._RATE, request, since)
        assert row is not None
        return row

    _TRIES = """select a.*, coalesce(case when d.path = '/' then '' else d.path end || '/' || f.name, '') as lfn from (
            select * from attempt where request_id = $1 and ($2::smallint is null or result = $2)
                and ($3::bigint is null or (at, transfer_id, file_id) < ($3, $4, $5))
            order by at desc, transfer_id desc, file_id desc limit $6) a
        left join file f on f.id = a.file_id left join dir d on d.id = f.dir_id order by at desc, transfer_id desc, file_id desc"""

    async def tries(
        self, connection: Connection, request: int, result: int | None, after: tuple[int, int, int] | None, limit: int
    ) -> Rows:
        """Tries of a request, the latest first."""
        return await connection.fetch(self._TRIES, request, result, *(after or (None, None, None)), limit)

    _UNDER_WAY = """select a.*, coalesce(case when d.path = '/' then '' else d.path end || '/' || f.name, '') as lfn
        from active a left join file f on f.id = a.file_id left join dir d on d.id = f.dir_id where a.request_id = $1
        order by a.started limit $2"""

    async def under_way(self, connection: Connection, request: int, limit: int) -> Rows:
        return await connection.fetch(self._UNDER_WAY, request, limit)

    _LINKS = """with w as (select l.source, l.target, count(*) as waiting, sum(q.bytes)::bigint as waiting_bytes
                from queued q join lane l on l.id = abs(q.lane_id) where q.request_id = $1 group by 1, 2),
            a as (select source, target, count(*) as active from active where request_id = $1 group by 1, 2),
            d as (select source, target, count(*) filter (where result = $3) as done, count(*) filter (where result = $4) as retried,
                count(*) filter (where result = $5) as failed,
                coalesce(sum(bytes) filter (where result = $3), 0)::bigint as done_bytes,
                coalesce(sum(bytes) filter (where result = $3 and at > $2), 0)::bigint as recent
                from attempt where request_id = $1 group by 1, 2)
        select * from w full join a using (source, target) full join d using (source, target) order by source, target limit $6"""

    async def links(self, connection: Connection, request: int, since: int, limit: int) -> Rows:
        """What waits, is under way, and was done over each link; `recent` bytes since a moment."""
        kinds = [RESULTS.index(result) for result in (Result.DONE, Result.RETRY, Result.FAILED)]
        return await connection.fetch(self._LINKS, request, since, *kinds, limit)

    # ── changed ──────────────────────────────────────────────────────────────────────────────────────────────────────

    _EMPTYING = """select min(id) from request where state in ('planning', 'running', 'paused') and kind = 'move'
        and selection->>'on' = $1"""

    async def emptying(self, connection: Connection, element: str) -> int | None:
        """The request under way that moves all files away from an element. Others wait till the transaction ends."""
        await connection.execute("select pg_advisory_xact_lock(hashtext('empty ' || $1))", element)
        return await connection.fetchval(self._EMPTYING, element)

    async def set_state(
        self, connection: Connection, request: int, state: str, *, settled: bool, error: str | None = None
    ) -> None:
        statement = "update request set state = $2, settled = $3, error = $4 where id = $1"
        await connection.execute(statement, request, state, settled, error)

    async def finish(self, connection: Connection, request: int, at: int) -> None:
        await connection.execute("update request set finished = $2 where id = $1", request, at)

    async def set_priority(self, connection: Connection, request: int, priority: int) -> None:
        await connection.execute("update request set priority = $2, settled = false where id = $1", request, priority)

    async def unsettled(self, connection: Connection) -> list[int]:
        """Requests that stand still, of which rows may yet be waiting for their turn."""
        statement = "select id from request where not settled and state in ('paused', 'cancelled', 'failed')"
        return [r["id"] for r in await connection.fetch(statement)]

    async def stopped(self, connection: Connection, ids: Sequence[int]) -> tuple[set[int], set[int]]:
        """(which of these are to be broken off; those and the paused ones, of which nothing more is to begin)."""
        statement = (
            "select id, state from request where id = any($1::bigint[]) and state in ('cancelled', 'failed', 'paused')"
        )
        found = {r["id"]: r["state"] for r in await connection.fetch(statement, ids)}
        return {request for request, state in found.items() if state != "paused"}, set(found)

    async def to_settle(self, connection: Connection) -> Rows:
        """Requests whose rows are to follow a change, locked; what others are at is left out."""
        return await connection.fetch(
            "select * from request where not settled order by id limit 10 for update skip locked"
        )

    async def settled(self, connection: Connection, request: int) -> None:
        await connection.execute("update request set settled = true where id = $1", request)

    _CANCEL = """with gone as (delete from queued where id in
            (select id from queued where request_id = $1 limit $2 for update skip locked) returning 1)
        update request set cancelled = cancelled + (select count(*) from gone) where id = $1 returning (select count(*) from gone)"""

    async def cancel_some(self, connection: Connection, request: int, limit: int) -> int:
        return await connection.fetchval(self._CANCEL, request, limit)

    _PAUSE = """update queued set lane_id = -abs(lane_id), not_before = $3 where id in
        (select id from queued where request_id = $1 and (lane_id > 0 or not_before < $3) limit $2 for update skip locked)"""
    _RESUME = """update queued set not_before = 0 where id in
        (select id from queued where request_id = $1 and not_before = $3 limit $2 for update skip locked)"""
    _PRIORITY = """update queued set priority = $3 where id in
        (select id from queued where request_id = $1 and priority <> $3 limit $2 for update skip locked)"""

    async def pause_some(self, connection: Connection, request: int, limit: int, never: int) -> int:
        return int((await connection.execute(self._PAUSE, request, limit, never)).split()[1])

    async def resume_some(self, connection: Connection, request: int, limit: int, never: int) -> int:
        """They ripen at once."""
        return int((await connection.execute(self._RESUME, request, limit, never)).split()[1])

    async def move_up_some(self, connection: Connection, request: int, limit: int, priority: int) -> int:
        return int((await connection.execute(self._PRIORITY, request, limit, priority)).split()[1])

    # ── planned ──────────────────────────────────────────────────────────────────────────────────────────────────────

    _CLAIM = """update request set lease = $2 where id = (select id from request where state = 'planning' and not planned and lease < $1
        order by lease, priority desc, id limit 1 for update skip locked) returning *"""

    async def claim(self, connection: Connection, at: int, until: int) -> asyncpg.Record | None:
        """A request to plan a piece of, the one first that waited longest since its last piece."""
        return await connection.fetchrow(self._CLAIM, at, until)

    _PROGRESS = """update request set plan = $2, files = files + $3, bytes = bytes + $4, skipped = skipped + $5, failed = failed + $6,
            done = done + $7, lease = $8, planned = $9, state = case when $9 and state = 'planning' then 'running' else state end
        where id = $1 and lease = $10 and state = 'planning'"""

    async def progress(
        self,
        connection: Connection,
        request: int,
        plan: Any,
        files: int,
        size: int,
        skipped: int,
        failed: int,
        done: int,
        lease: int,
        planned: bool,
        claimed: int,
    ) -> bool:
        """False: it is not the planner's any more who `claimed` it, or stands still."""
        values = (request, plan, files, size, skipped, failed, done, lease, planned, claimed)
        return await connection.execute(self._PROGRESS, *values) == "UPDATE 1"

    # ── counted ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def states(self, connection: Connection, ids: Collection[int]) -> dict[int, str]:
        """{id: state}, their rows locked against a change until the transaction ends, in order of id."""
        statement = "select id, state from request where id = any($1::bigint[]) order by id for update"
        return {r["id"]: r["state"] for r in await connection.fetch(statement, sorted(ids))}

    _COUNT = """update request r set done = r.done + u.d, done_bytes = r.done_bytes + u.b, failed = r.failed + u.f,
            skipped = r.skipped + u.s, cancelled = r.cancelled + u.c
        from unnest($1::bigint[], $2::bigint[], $3::numeric[], $4::bigint[], $5::bigint[], $6::bigint[]) u(id, d, b, f, s, c)
        where r.id = u.id"""
    _CLOSE = """update request set state = 'done', finished = $2 where id = any($1::bigint[]) and planned and state = 'running'
        and rule_id is null and standing is null and files = done + failed + skipped + cancelled returning id"""

    async def count(self, connection: Connection, tallies: Mapping[int, Tally], at: int) -> list[int]:
        """Add to the counts of requests; those that are done with it."""
        if not tallies:
            return []
        rows = [(r, t.done, t.done_bytes, t.failed, t.skipped, t.cancelled) for r, t in sorted(tallies.items())]
        await connection.execute(self._COUNT, *(list(c) for c in zip(*rows, strict=True)))
        return await self.close(connection, list(tallies), at)

    async def close(self, connection: Connection, ids: Sequence[int], at: int) -> list[int]:
        """End requests whose transfers have all ended; which."""
        return [r["id"] for r in await connection.fetch(self._CLOSE, ids, at)]

    # ── failed ───────────────────────────────────────────────────────────────────────────────────────────────────────

    # A rule looks at what failed at once: another element may do. So does the mender: another copy may be good.
    _FAIL = """with failed as (insert into failure(request_id, file_id, lfn, source, target, bytes, error, at)
            select r, f, l, s, t, b, e, $8 from unnest($1::bigint[], $2::bigint[], $3::text[], $4::int[], $5::int[], $6::bigint[], $7::text[])
                u(r, f, l, s, t, b, e) returning request_id, file_id),
            kept as (insert into rule_file(file_id, due) select f.file_id, $8 from failed f join request r on r.id = f.request_id
                where r.rule_id is not null and f.file_id is not null)
        insert into mend(file_id, due) select f.file_id, $8 from failed f join request r on r.id = f.request_id
        where r.standing = 'look' and f.file_id is not null"""

    async def fail(self, connection: Connection, rows: Sequence[tuple[Any, ...]], at: int) -> None:
        """Rows of (request, file id or None, LFN or None, source, target, bytes, why)."""
        if rows:
            await connection.execute(self._FAIL, *(list(c) for c in zip(*rows, strict=True)), at)

    _FAILURES = """select x.*, coalesce(x.lfn, case when d.path = '/' then '' else d.path end || '/' || f.name, '') as shown
        from (select * from failure where request_id = $1 and id > $2 order by id limit $3) x
        left join file f on f.id = x.file_id left join dir d on d.id = f.dir_id order by x.id"""

    async def failures(self, connection: Connection, request: int, after: int, limit: int) -> Rows:
        return await connection.fetch(self._FAILURES, request, after, limit)

    _RETRY = """with gone as (delete from failure where request_id = $1 returning *),
            names as (select distinct coalesce(x.lfn, case when d.path = '/' then '' else d.path end || '/' || f.name) as lfn
                from gone x left join file f on f.id = x.file_id left join dir d on d.id = f.dir_id),
            first as (select coalesce(max(number) + 1, 0) as n from request_item where request_id = $1),
            added as (insert into request_item(request_id, number, lfn)
                select $1, first.n + row_number() over () - 1, lfn from names, first where lfn is not null)
        update request set failed = failed - (select count(*) from gone), files = files - (select count(*) from gone),
            bytes = bytes - (select coalesce(sum(bytes), 0) from gone), plan = jsonb_build_object('item', (select n from first)),
            planned = false, state = 'planning', finished = null, lease = 0
        where id = $1 returning (select count(*) from gone)"""

    async def retry(self, connection: Connection, request: int) -> int:
        """Plan what failed again; how many that were. The request must be locked, and planned."""
        return await connection.fetchval(self._RETRY, request)
