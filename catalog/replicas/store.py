"""SQL of files with their copies: registration, resolution, and changes to the copies of a file.

A file's replicas are in its own row (`se`, `rstate`, `pfn`: see `migrations/schema/0001_initial.sql`), which halves what a
look-up costs. Whoever changes them locks the row, works out the new arrays, and writes them with the usage they imply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

FILE, DIRECTORY = 0, 1
_FEW = 20
_NOWHERE = (-1, -1)


class ReplicasStore:
    # One text a statement: the driver takes 0.5 us a file for it and 1.8 us for fourteen columns, and PostgreSQL less too.
    _LINES = """select string_agg(u.o || '|' || {access} || ',' || f.kind || ',' || f.owner_id || ',' || f.group_id || ',' || f.mode
            || ',' || coalesce(f.acl_id, 0) || case when f.rstate is null and f.pfn is null and f.csum is null
                and f.size is not null and f.adler32 is not null and f.guid is not null
            then '|+|' || f.se::text || '|' || f.guid || '|' || f.size || '|' || lpad(to_hex(f.adler32), 8, '0')
            else '|-|' || json_build_object('size', f.size, 'guid', f.guid, 'adler32', f.adler32, 'csum', f.csum, 'se', f.se,
                'states', f.rstate, 'pfns', f.pfn) end, E'\n')"""
    # Lateral with a limit, for the planner to look for the name in the index: where directories are small on average, a join
    # reads the whole directory for each name (27 ms against 0.2 for 19 names of a directory of 20,000 files).
    _FROM_PATHS = """ from unnest(string_to_array($1, E'\n'), string_to_array($2, E'\n')) with ordinality u(p, n, o)
        join dir d on d.path = u.p cross join lateral (select * from file where dir_id = d.id and name = u.n limit 1) f"""
    _FROM_IDS = """ from unnest($1::bigint[], $2::int[], string_to_array($3, E'\n')) with ordinality u(d, a, n, o)
        join file f on f.dir_id = u.d and f.name = u.n"""
    _BY_PATHS = _LINES.format(access="d.access_id") + _FROM_PATHS
    _BY_IDS = _LINES.format(access="u.a") + _FROM_IDS
    _DIRS = "select d.path, d.id, d.access_id from unnest($1::text[]) u(p) join dir d on d.path = u.p"

    async def directories(
        self, connection: Connection, wanted: Sequence[tuple[str, str]]
    ) -> Mapping[str, tuple[int, int]] | None:
        """{path: (id, access row)} of the directories of (directory, name).

        None where looking each up once is not worth the round trip: few files, or hardly two in one directory.
        """
        paths = {w[0] for w in wanted}
        if len(wanted) < _FEW or 2 * len(paths) > len(wanted):
            return None
        rows = await connection.fetch(self._DIRS, list(paths))
        return {path: (dir_id, access_id) for path, dir_id, access_id in rows}

    async def resolve(
        self, connection: Connection, wanted: Sequence[tuple[str, str]], known: Mapping[str, tuple[int, int]] | None
    ) -> list[str]:
        """A line for each (directory, name) that is there, in no order; `known` is what `directories` said.

        `position from 1|access row,kind,owner,group,mode,ACL|` and then, for a file that has its size, its GUID, adler32 alone
        and all copies available where the layouts say, `+|{element ids}|GUID|size|adler32`, else `-|` and a JSON object.
        """
        names = "\n".join([w[1] for w in wanted])  # no name holds a newline
        if known is None:
            text = await connection.fetchval(self._BY_PATHS, "\n".join([w[0] for w in wanted]), names)
        else:
            places = [known.get(w[0], _NOWHERE) for w in wanted]
            text = await connection.fetchval(self._BY_IDS, [p[0] for p in places], [p[1] for p in places], names)
        return text.split("\n") if text else []

    # What every file has comes as texts: the driver takes a third of the time of an array for one, and no name holds a newline.
    # Arrays shorter than the others are padded with nulls: what no file of a call has is sent as an empty array.
    _REGISTER = """with t as (select ($14::bigint[])[k] as d, n, s, g, a, se::int[] as se, ($15::int[])[k] as grp,
                ($16::smallint[])[k] as mode, ($17::int[])[k] as acl, rs, cs, pfn, ct, mt, meta, note
            from unnest(string_to_array($1, E'\n')::int[], string_to_array($2, E'\n'), string_to_array($3, E'\n')::bigint[],
                string_to_array($4, E'\n')::uuid[], string_to_array($5, E'\n', '')::int[], string_to_array($6, E'\n'),
                $7::text[], $8::text[], $9::jsonb[], $10::bigint[], $11::bigint[], $12::jsonb[], $13::text[])
                t(k, n, s, g, a, se, rs, cs, pfn, ct, mt, meta, note)),
        ins as (insert into file(dir_id, name, size, guid, adler32, se, owner_id, group_id, mode, acl_id, rstate, csum, pfn, ctime, mtime, meta, comment)
            select d, n, s, g, a, se, $18, grp, mode, nullif(acl, 0), rs::smallint[], cs, pfn, coalesce(ct, $19), coalesce(mt, $19), meta, note
              from t order by d, n
            on conflict on constraint file_dir_name_key do nothing returning id, dir_id, size, se),
        ru as (insert into rule_file(file_id, due) select id, $19 from ins where exists(select from rule)),
        us as (insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
            select dir_id, x, count(*), coalesce(sum(size), 0) from (select dir_id, size, unnest(se || 0) as x from ins) z
             group by 1, 2 order by 1, 2
            on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes)
        select count(*) from ins"""

    async def register(
        self,
        connection: Connection,
        texts: Sequence[str],
        arrays: Sequence[Sequence[Any]],
        places: Sequence[tuple[int, int, int, int]],
        owner: int,
        at: int,
    ) -> int:
        """Insert files, counting their usage; the number inserted. Those whose name is taken are left alone.

        `texts`, a line a file: number of its place from 1, name, size, GUID, adler32 (or nothing), element ids as an array.
        `arrays`, empty where no file has such: states, other checksums, PFNs, ctime, mtime, metadata, comment.
        `places`: (directory id, group, mode, ACL id or 0).
        """
        columns = (list(c) for c in zip(*places, strict=True))
        return await connection.fetchval(self._REGISTER, *texts, *arrays, *columns, owner, at)

    _EXISTING = """select u.o, f.id, f.kind, f.size, f.guid::text as guid, f.adler32, f.csum, f.se, f.pfn,
            f.xmin::text = (pg_current_xact_id()::text::bigint % 4294967296)::text as mine
        from unnest($1::bigint[], $2::text[]) with ordinality u(d, n, o) join file f on f.dir_id = u.d and f.name = u.n"""

    async def existing(self, connection: Connection, dirs: Sequence[int], names: Sequence[str]) -> Rows:
        """What has these names now; `mine` tells the rows that this very transaction inserted."""
        return await connection.fetch(self._EXISTING, dirs, names)

    _TAKEN = """select f.guid::text as guid, d.path, f.name from unnest($1::uuid[]) u(g) join file f on f.guid = u.g
        join dir d on d.id = f.dir_id"""

    async def guids_taken(self, connection: Connection, guids: Sequence[str]) -> Rows:
        return await connection.fetch(self._TAKEN, guids)

    _LOCK = """select f.id, f.dir_id, f.name, f.size, f.guid::text as guid, f.se, f.rstate, f.pfn from file f
        where f.id = any($1::bigint[]) and f.kind = 0 order by f.id for update"""

    async def lock(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """The files' replicas, locked until the end of the transaction (in order of id, so that nobody deadlocks)."""
        return await connection.fetch(self._LOCK, sorted(set(ids)))

    _COPIES = "select id, se, rstate from file where id = any($1::bigint[])"

    async def copies(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """(id, se, rstate) of files, unlocked."""
        return await connection.fetch(self._COPIES, ids)

    # Rules look at the file then, and if a copy is bad, or was, the mender: see transfer/rules and transfer/care.
    _WRITE = """with f as (update file f set se = u.se::int[], rstate = u.rs::smallint[], pfn = u.pfn
            from unnest($1::bigint[], $2::text[], $3::text[], $4::jsonb[]) u(id, se, rs, pfn) where f.id = u.id returning f.id, f.rstate, f.status),
            m as (insert into mend(file_id, due) select id, $5 from f where rstate is not null or status is not null)
        insert into rule_file(file_id, due) select id, $5 from f where exists(select from rule)"""
    _USAGE = """insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
        select d, s, n, b from unnest($1::bigint[], $2::int[], $3::bigint[], $4::numeric[]) x(d, s, n, b) order by d, s
        on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes"""

    async def write(self, connection: Connection, rows: Sequence[tuple[int, str, str | None, Any]], at: int) -> None:
        """Rows of (file id, se, rstate, pfn), arrays as PostgreSQL literals."""
        if rows:
            await connection.execute(self._WRITE, *(list(c) for c in zip(*rows, strict=True)), at)

    async def add_usage(self, connection: Connection, deltas: dict[tuple[int, int], tuple[int, int]]) -> None:
        """{(directory, element): (replicas, bytes)} to add. The last statement of a change: it queues on hot counters."""
        rows = [(d, s, n, b) for (d, s), (n, b) in sorted(deltas.items()) if n or b]
        if rows:
            await connection.execute(self._USAGE, *(list(c) for c in zip(*rows, strict=True)))

    _NOTE = """insert into replica_info as i(file_id, se_id, ctime, verified, note)
        select f, s, $5, v, n from unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[]) u(f, s, v, n)
        on conflict (file_id, se_id) do update set verified = coalesce(excluded.verified, i.verified), note = coalesce(excluded.note, i.note)"""

    async def note(
        self, connection: Connection, rows: Sequence[tuple[int, int, int | None, str | None]], at: int
    ) -> None:
        """Rows of (file id, element id, verified at, note)."""
        if rows:
            await connection.execute(self._NOTE, *(list(c) for c in zip(*rows, strict=True)), at)

    async def forget_notes(self, connection: Connection, files: Sequence[int], elements: Sequence[int]) -> None:
        statement = "delete from replica_info i using unnest($1::bigint[], $2::int[]) u(f, s) where i.file_id = u.f and i.se_id = u.s"
        await connection.execute(statement, files, elements)

    _DELETE = """insert into deletion(se_id, pfn, size, lfn, not_before)
        select s, p, z, l, $5 from unnest($1::int[], $2::text[], $3::bigint[], $4::text[]) u(s, p, z, l)"""

    async def queue_deletions(
        self, connection: Connection, rows: Sequence[tuple[int, str, int | None, str]], at: int
    ) -> None:
        """Rows of (element id, PFN, size, LFN for people)."""
        if rows:
            await connection.execute(self._DELETE, *(list(c) for c in zip(*rows, strict=True)), at)

    _CANCEL = "delete from deletion d using unnest($1::int[], $2::text[]) u(s, p) where d.se_id = u.s and d.pfn = u.p"

    async def cancel_deletions(self, connection: Connection, objects: Sequence[tuple[int, str]]) -> None:
        """Objects (element id, PFN) are wanted again. Waits for a cleaner that is at one of them."""
        if objects:
            await connection.execute(self._CANCEL, *(list(c) for c in zip(*objects, strict=True)))


def array(numbers: Sequence[int]) -> str:
    """A PostgreSQL array literal."""
    return "{" + ",".join(map(str, numbers)) + "}"
