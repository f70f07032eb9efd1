"""SQL of files with their copies: registration, resolution, and changes to the copies of a file.

A file's replicas are in its own row (`se`, `rstate`, `pfn`: see `migrations/schema/0001_initial.sql`), which halves what a
look-up costs. Whoever changes them locks the row, works out the new arrays, and writes them with the usage they imply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

FILE, DIRECTORY = 0, 1
_FEW = 20


class ReplicasStore:
    _RESOLVED = """f.kind, f.owner_id, f.group_id, f.mode, f.acl_id, f.size, f.guid::text as guid, f.adler32, f.csum, f.se,
            f.rstate, f.pfn"""
    # Lateral with a limit, for the planner to look for the name in the index: where directories are small on average, a join
    # reads the whole directory for each name (27 ms against 0.2 for 19 names of a directory of 20,000 files).
    _RESOLVE = f"""select u.o, d.access_id, {_RESOLVED} from unnest($1::text[], $2::text[]) with ordinality u(p, n, o)
        join dir d on d.path = u.p cross join lateral (select * from file where dir_id = d.id and name = u.n limit 1) f"""
    _DIRS = "select d.path, d.id, d.access_id from unnest($1::text[]) u(p) join dir d on d.path = u.p"
    # One text for the names: the driver takes a third of the time of an array for it, and no name holds a newline.
    _RESOLVE_IN = f"""select u.o, u.a as access_id, {_RESOLVED}
        from unnest($1::bigint[], $2::int[], string_to_array($3, E'\n')) with ordinality u(d, a, n, o)
        join file f on f.dir_id = u.d and f.name = u.n"""

    async def resolve(self, connection: Connection, parents: Sequence[str], names: Sequence[str]) -> Rows:
        """A record per (directory, name) found: `o` its position from 1, the directory's access row, the file.

        Few in one statement; for many each directory is looked up once, which is worth the round trip.
        """
        if len(names) < _FEW:
            return await connection.fetch(self._RESOLVE, parents, names)
        rows = await connection.fetch(self._DIRS, list(set(parents)))
        known = {path: (dir_id, access_id) for path, dir_id, access_id in rows}
        ids, accesses = zip(*(known.get(p, (-1, -1)) for p in parents), strict=True)
        return await connection.fetch(self._RESOLVE_IN, ids, accesses, "\n".join(names))

    # Arrays shorter than the others are padded with nulls: what no file of a call has is sent as an empty array.
    _REGISTER = """with t as (select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], $5::int[], $6::text[],
            $7::int[], $8::smallint[], $9::int[], $10::text[], $11::text[], $12::jsonb[], $13::bigint[], $14::bigint[],
            $15::jsonb[], $16::text[]) t(d, n, s, g, k, se, grp, mode, acl, rs, cs, pfn, ct, mt, meta, note)),
        ins as (insert into file(dir_id, name, size, guid, adler32, se, owner_id, group_id, mode, acl_id, rstate, csum, pfn, ctime, mtime, meta, comment)
            select d, n, s, g, k, se::int[], $17, grp, mode, nullif(acl, 0), rs::smallint[], cs, pfn, coalesce(ct, $18), coalesce(mt, $18), meta, note
              from t order by d, n
            on conflict on constraint file_dir_name_key do nothing returning dir_id, size, se),
        us as (insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
            select dir_id, x, count(*), coalesce(sum(size), 0) from (select dir_id, size, unnest(se || 0) as x from ins) z
             group by 1, 2 order by 1, 2
            on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes)
        select count(*) from ins"""

    async def register(self, connection: Connection, columns: Sequence[Sequence[Any]], owner: int, at: int) -> int:
        """Insert files, counting their usage; the number inserted. Those whose name is taken are left alone."""
        return await connection.fetchval(self._REGISTER, *columns, owner, at)

    _EXISTING = """select u.o, f.id, f.kind, f.size, f.guid::text as guid, f.adler32, f.csum, f.se,
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

    _WRITE = """update file f set se = u.se::int[], rstate = u.rs::smallint[], pfn = u.pfn
        from unnest($1::bigint[], $2::text[], $3::text[], $4::jsonb[]) u(id, se, rs, pfn) where f.id = u.id"""
    _USAGE = """insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
        select d, s, n, b from unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[]) x(d, s, n, b) order by d, s
        on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes"""

    async def write(self, connection: Connection, rows: Sequence[tuple[int, str, str | None, Any]]) -> None:
        """Rows of (file id, se, rstate, pfn), arrays as PostgreSQL literals."""
        if rows:
            await connection.execute(self._WRITE, *(list(c) for c in zip(*rows, strict=True)))

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
