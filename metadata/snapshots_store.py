"""SQL of snapshots: their lists, written once; and what comes of comparing them with now and with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.namespace.store import path_range

from .datasets_store import COPIES, seen
from .params import Params

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from catalog.db import Connection

    from .prepared import Prepared
    from .sight import Sight

    Rows = Sequence[asyncpg.Record]

COLUMNS = """s.id, n.name as dataset, s.number, s.hash, s.files, s.bytes, s.query, s.under, s.user_id, s.at, s.note, s.annotations,
 s.released, n.id as dataset_id, n.owner_id, n.group_id, n.mode,
 (select count(*) from snapshot_broken b where b.snapshot_id = s.id) as broken"""
_FROM = "snapshot s join dataset n on n.id = s.dataset_id"
_LFN = """(case p.path when '/' then '' else p.path end || '/' || x.name) collate "C\""""
_LIST = "snapshot_part p cross join lateral unnest(p.names, p.file_ids, p.guids, p.sizes, p.checksums) x(name, file_id, guid, size, checksums)"
_NOW = "left join file f on f.id = x.file_id left join dir d on d.id = f.dir_id"
# What `checksums` is made of now: as at the freeze, sorted.
_SUMS = "string_to_array(concat_ws(',', 'adler32:' || lpad(to_hex(f.adler32), 8, '0'), f.csum), ',')"
_PREFETCH = 2000


class SnapshotsStore:
    # ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────

    _ADD = """with n as (update dataset set last = last + 1 where id = $1 returning id, last, query, under)
        insert into snapshot(dataset_id, number, query, under, user_id, at, note, annotations)
        select id, last, query, under, $2, $3, $4, $5 from n returning id, number"""

    async def add(self, connection: Connection, *values: Any) -> tuple[int, int]:
        """Data set, user, time, note, annotations. (id, number) of the new snapshot, which is empty yet."""
        row = await connection.fetchrow(self._ADD, *values)
        assert row is not None
        return row["id"], row["number"]

    _ADD_PART = "insert into snapshot_part values ($1, $2, $3, $4, $5, $6, $7, $8)"

    async def add_parts(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of (snapshot, directory id, path, names, file ids, GUIDs, sizes, checksums)."""
        await connection.executemany(self._ADD_PART, rows)

    # What was read is held against what is. A move or removal of files writes the counters of their directory: where those
    # are older than what was read, and the directory is where it may be, no file needs to be looked at (lateral, or the
    # planner, which can't know how few are left, would read all files). `age` may take an old row for a new one, never a
    # new one for an old.
    _HORIZON = "select pg_snapshot_xmin(pg_current_snapshot())::text"

    async def horizon(self, reader: Connection) -> str:
        """For `strayed`: of a transaction that reads one state; ask it before anything else."""
        return await reader.fetchval(self._HORIZON)

    _INSIDE = "(d.path = $3 or (d.path > $4 and d.path < $5))"
    _STRAYED = f"""with p as materialized (select p.dir_id, p.file_ids from snapshot_part p
            left join dir d on d.id = p.dir_id left join dir_usage u on u.dir_id = p.dir_id and u.se_id = 0
            where p.snapshot_id = $1 and (u.dir_id is null or age(u.xmin) <= age($2::text::xid8::xid) or {_INSIDE} is not true))
        select p.dir_id, x.id as file_id, f.dir_id as at_dir, d.path from p cross join lateral unnest(p.file_ids) x(id)
            left join lateral (select * from file where id = x.id limit 1) f on true left join dir d on d.id = f.dir_id
            where f.dir_id is distinct from p.dir_id or {_INSIDE} is not true"""

    async def strayed(self, connection: Connection, snapshot: int, horizon: str, top: str) -> Rows:
        """(dir_id, file_id, at_dir, path) of the files of a list that are in another directory now, or outside `top`: in
        the trash, or (path null) no more."""
        return await connection.fetch(self._STRAYED, snapshot, horizon, top, *path_range(top))

    _EMPTY = """delete from snapshot_part where snapshot_id = $1 and dir_id = any($2::bigint[])
        and file_ids <@ $3::bigint[]"""
    _DROP = """update snapshot_part p set (names, file_ids, guids, sizes, checksums) = (
            select array_agg(x.name order by x.n), array_agg(x.id order by x.n), array_agg(x.guid order by x.n),
                array_agg(x.size order by x.n), array_agg(x.sums order by x.n)
            from unnest(p.names, p.file_ids, p.guids, p.sizes, p.checksums) with ordinality x(name, id, guid, size, sums, n)
            where x.id <> all($3::bigint[]))
        where p.snapshot_id = $1 and p.dir_id = any($2::bigint[])"""

    async def drop(self, connection: Connection, snapshot: int, dirs: Sequence[int], files: Sequence[int]) -> None:
        """Take files, in these parts, out of a list that nobody has seen yet."""
        await connection.execute(self._EMPTY, snapshot, dirs, files)
        await connection.execute(self._DROP, snapshot, dirs, files)

    _FOLLOW = """insert into snapshot_moved(file_id, dir_id, at_dir)
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) on conflict (file_id, dir_id) do update set at_dir = excluded.at_dir"""

    async def follow(self, connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
        """Rows of (file, directory of its part, directory where it is), as who moves frozen files would note them."""
        await connection.execute(self._FOLLOW, *([list(c) for c in zip(*rows, strict=True)] or [[], [], []]))

    _PATIENT = "select set_config('idle_in_transaction_session_timeout', '0', true)"

    async def patient(self, connection: Connection) -> None:
        """This transaction waits for what another one reads."""
        await connection.execute(self._PATIENT)

    _FINISH = "update snapshot set hash = $2, files = $3, bytes = $4 where id = $1"

    async def finish(self, connection: Connection, snapshot: int, hash: str, files: int, bytes: int) -> None:
        await connection.execute(self._FINISH, snapshot, hash, files, bytes)

    _LINES = f"""select {_LFN} as lfn, x.guid::text as guid, x.size, x.checksums from {_LIST} where p.snapshot_id = $1 order by 1"""

    async def lines(self, connection: Connection, snapshot: int) -> AsyncIterator[asyncpg.Record]:
        """(lfn, guid, size, checksums) of the whole list, in byte order. Needs a transaction."""
        async for row in connection.cursor(self._LINES, snapshot, prefetch=_PREFETCH):
            yield row

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    _ONE = f"select {COLUMNS} from {_FROM} where n.name = $1 and s.number = coalesce($2, n.last)"

    async def find(
        self, connection: Connection, dataset: str, number: int | None, *, lock: bool = False
    ) -> asyncpg.Record | None:
        """By its number, or the latest."""
        return await connection.fetchrow(self._ONE + (" for update of s" if lock else ""), dataset, number)

    _PAGE = f"select {COLUMNS} from {_FROM} where n.id = $1 and s.number > $2 order by s.number limit $3"

    async def page(self, connection: Connection, dataset: int, after: int, limit: int) -> Rows:
        return await connection.fetch(self._PAGE, dataset, after, limit)

    _SET = "update snapshot set note = $2, annotations = $3, released = $4 where id = $1"

    async def change(self, connection: Connection, *values: Any) -> None:
        """Id, note, annotations, when it was released."""
        await connection.execute(self._SET, *values)

    async def largest(self, connection: Connection, snapshot: int) -> int:
        """How many files the directory with most of them has in it."""
        statement = "select coalesce(max(cardinality(file_ids)), 0) from snapshot_part where snapshot_id = $1"
        return await connection.fetchval(statement, snapshot)

    async def files(
        self, connection: Connection, snapshot: int, sight: Sight, *, keeper: bool
    ) -> AsyncIterator[asyncpg.Record]:
        """As `lines`, with `seen`: may the asker read it? Needs a transaction."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""select {_LFN} as lfn, x.guid::text as guid, x.size, x.checksums, {seen(sight, params, keeper)} as seen
            from {_LIST} {_NOW} where p.snapshot_id = {given} order by 1"""
        async for row in connection.cursor(statement, *params.values, prefetch=_PREFETCH):
            yield row

    async def numbers(self, connection: Connection, snapshot: int, sight: Sight, *, keeper: bool) -> asyncpg.Record:
        """(files, bytes, hidden, nowhere) of a snapshot, as the asker sees it."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""select count(*) filter (where z.seen) as files, coalesce(sum(z.size) filter (where z.seen), 0)::numeric as bytes,
                count(*) filter (where not z.seen) as hidden, count(*) filter (where z.seen and z.nowhere) as nowhere
            from (select x.size, {seen(sight, params, keeper)} as seen, f.id is null or d.path not like '/%'
                or not exists(select from unnest(f.se, f.rstate) r(se, state) where coalesce(r.state, 0) = 0) as nowhere
                from {_LIST} {_NOW} where p.snapshot_id = {given}) z"""
        row = await connection.fetchrow(statement, *params.values)
        assert row is not None
        return row

    async def elements(self, connection: Connection, snapshot: int, sight: Sight) -> Rows:
        """(element id, files, bytes) of what is available there and may be read."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""select r.se as id, {COPIES} from {_LIST} join file f on f.id = x.file_id join dir d on d.id = f.dir_id
            cross join lateral unnest(f.se, f.rstate) r(se, state)
            where p.snapshot_id = {given} and coalesce(r.state, 0) = 0 and {seen(sight, params, False)} group by 1"""
        return await connection.fetch(statement, *params.values)

    async def broken(self, connection: Connection, snapshot: int, sight: Sight, *, keeper: bool) -> Rows:
        """(lfn, user_id, at) of files removed by force; at most a thousand."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""select b.lfn, b.user_id, b.at from snapshot_broken b left join file f on f.id = b.file_id left join dir d on d.id = f.dir_id
            where b.snapshot_id = {given} and {seen(sight, params, keeper)} order by b.lfn limit 1000"""
        return await connection.fetch(statement, *params.values)

    # ── comparing ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def since(
        self, connection: Connection, snapshot: int, asked: Prepared, sight: Sight, *, keeper: bool
    ) -> asyncpg.Record:
        """(added, removed, added_bytes, removed_bytes) of what matches now, beside a snapshot, as the asker sees both."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""with live as (select f.id, f.size from file f join dir d on d.id = f.dir_id where {asked.of_all(params)}),
            frozen as (select x.file_id as id, x.size from {_LIST} {_NOW} where p.snapshot_id = {given} and {seen(sight, params, keeper)})
            select count(*) filter (where frozen.id is null) as added, count(*) filter (where live.id is null) as removed,
                coalesce(sum(live.size) filter (where frozen.id is null), 0)::numeric as added_bytes,
                coalesce(sum(frozen.size) filter (where live.id is null), 0)::numeric as removed_bytes
            from live full join frozen on frozen.id = live.id"""
        return await asked.clock.row(connection, statement, params.values)

    async def diff(
        self, connection: Connection, old: int, new: int, sight: Sight, *, keeper: tuple[bool, bool]
    ) -> AsyncIterator[asyncpg.Record]:
        """Files, by LFN, that are not the same in both, of those that the asker may read. Needs a transaction."""
        params = Params()

        def side(snapshot: int, keeps: bool) -> str:
            return f"""select {_LFN} as lfn, x.guid::text as guid, x.size, x.checksums from {_LIST} {_NOW}
                where p.snapshot_id = {params.add(snapshot, "int")} and {seen(sight, params, keeps)}"""

        statement = f"""select coalesce(o.lfn, n.lfn) as lfn, o.lfn is not null as was, n.lfn is not null as is,
                o.guid as old_guid, o.size as old_size, o.checksums as old_checksums, n.guid, n.size, n.checksums
            from ({side(old, keeper[0])}) o full join ({side(new, keeper[1])}) n on n.lfn = o.lfn
            where o.lfn is null or n.lfn is null or (o.guid, o.size, o.checksums) is distinct from (n.guid, n.size, n.checksums)
            order by 1"""
        async for row in connection.cursor(statement, *params.values, prefetch=_PREFETCH):
            yield row

    async def findings(
        self, connection: Connection, snapshot: int, sight: Sight, *, keeper: bool
    ) -> AsyncIterator[asyncpg.Record]:
        """Files that are not as they were frozen: gone, moved, or with another GUID, size or checksum. A checksum that came
        later is no change. Needs a transaction."""
        params = Params()
        given = params.add(snapshot, "int")
        statement = f"""select z.lfn, z.there, z.now, z.guid, z.size, z.checksums from (
            select {_LFN} as lfn, d.path is not null and d.path like '/%' as there,
                case d.path when '/' then '' else d.path end || '/' || f.name as now,
                x.guid is distinct from f.guid as guid, x.size is distinct from f.size as size,
                not string_to_array(x.checksums, ',') <@ {_SUMS} as checksums, {seen(sight, params, keeper)} as seen
            from {_LIST} {_NOW} where p.snapshot_id = {given}) z
            where z.seen and (not z.there or z.now <> z.lfn or z.guid or z.size or z.checksums) order by 1"""
        async for row in connection.cursor(statement, *params.values, prefetch=_PREFETCH):
            yield row
