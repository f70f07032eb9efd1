"""SQL that moves names: renames, moves, the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .store import path_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class TreeStore:
    _MOVE_PATHS = """update dir set path = $2 || substr(path, length($1) + 1)
        where path = $1 or (path > $3 and path < $4)"""

    async def move_paths(self, connection: Connection, old: str, new: str) -> int:
        """Rewrite the paths of a directory and of all below it: 8 us a directory, nothing per file. The number rewritten."""
        done = await connection.execute(self._MOVE_PATHS, old, new, *path_range(old))
        return int(done.rpartition(" ")[2])

    _LONGEST = "select coalesce(max(octet_length(path)), 0) from dir where path = $1 or (path > $2 and path < $3)"

    async def longest_path(self, connection: Connection, path: str) -> int:
        """The length in bytes of the longest directory path at or below `path`."""
        return await connection.fetchval(self._LONGEST, path, *path_range(path))

    # Entries change directory with their usage: what each brings is taken from the old counters and added to the new. Where
    # files of snapshots and of lists are now is noted.
    _MOVE_ENTRIES = """with m as (select * from unnest($1::bigint[], $2::bigint[], $3::text[]) m(id, d, n)),
        old as (select f.id, f.dir_id, f.size, f.se, m.d, m.n from m join file f on f.id = m.id order by f.id for update of f),
        up as (update file f set dir_id = old.d, name = old.n from old where f.id = old.id returning f.id, f.kind),
        delta as (select d, s, sum(n) as n, sum(b) as b from (
            select old.dir_id as d, s, -1 as n, -coalesce(old.size, 0) as b from old join up using (id) cross join lateral unnest(old.se || 0) s
              where up.kind = 0 and old.dir_id <> old.d
            union all
            select old.d, s, 1, coalesce(old.size, 0) from old join up using (id) cross join lateral unnest(old.se || 0) s
              where up.kind = 0 and old.dir_id <> old.d) z group by 1, 2),
        us as (insert into dir_usage as u(dir_id, se_id, nfiles, bytes) select d, s, n, b from delta order by d, s
            on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes),
        away as (insert into snapshot_moved(file_id, dir_id, at_dir) select old.id, old.dir_id, old.d from old
            where old.dir_id <> old.d and old.id in (select unnest(p.file_ids) from snapshot_part p where p.dir_id in (select dir_id from old))
            on conflict (file_id, dir_id) do nothing),
        further as (update snapshot_moved s set at_dir = old.d from old where s.file_id = old.id and old.dir_id <> old.d),
        listed as (update dataset_member l set dir_id = old.d from old where l.file_id = old.id and old.dir_id <> old.d)
        select count(*) from up"""

    async def move_entries(
        self, connection: Connection, ids: Sequence[int], dirs: Sequence[int], names: Sequence[str]
    ) -> int:
        """Give entries new directories and names, and move their usage along; the number moved."""
        return await connection.fetchval(self._MOVE_ENTRIES, ids, dirs, names)

    _KEYS = """select coalesce(array_agg(distinct k), '{}') from dir d join file f on f.%s = d.id
        cross join lateral jsonb_object_keys(f.meta) k where (d.path = $1 or (d.path > $2 and d.path < $3)) and f.kind = $4"""

    async def keys_below(self, connection: Connection, path: str, *, directories: bool) -> list[str]:
        """The keys of the values that are set on the directories at and below `path`, or on the files there."""
        statement = self._KEYS % ("id" if directories else "dir_id")
        return await connection.fetchval(statement, path, *path_range(path), int(directories))

    _KEYS_OF = """select coalesce(array_agg(distinct k), '{}') from file f cross join lateral jsonb_object_keys(f.meta) k
        where f.id = any($1::bigint[]) and f.kind = 0"""

    async def keys_of(self, connection: Connection, files: Sequence[int]) -> list[str]:
        return await connection.fetchval(self._KEYS_OF, files)

    _ACCESSES = "select distinct access_id from dir where path = $1 or (path > $2 and path < $3)"

    async def accesses(self, connection: Connection, path: str) -> list[int]:
        """The distinct access rows of a subtree: few, however many directories."""
        return [r[0] for r in await connection.fetch(self._ACCESSES, path, *path_range(path))]

    _EMPTY = "select d as id, not exists(select from file f where f.dir_id = d) as empty from unnest($1::bigint[]) d"

    async def empty(self, connection: Connection, dir_ids: Sequence[int]) -> set[int]:
        """Those of the directories that have no entry."""
        return {r["id"] for r in await connection.fetch(self._EMPTY, dir_ids) if r["empty"]}

    _SUM = """select coalesce(sum(u.nfiles), 0)::bigint as n, least(coalesce(sum(u.bytes), 0), 9223372036854775807)::bigint as b
        from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0 where d.path = $1 or (d.path > $2 and d.path < $3)"""

    async def sum(self, connection: Connection, path: str) -> tuple[int, int]:
        """(files, bytes) of a subtree."""
        row = await connection.fetchrow(self._SUM, path, *path_range(path))
        assert row is not None
        return row["n"], row["b"]

    _TO_TRASH = """insert into trash(entry_id, kind, path, removed_by, removed_at, expires, files, bytes)
        select i, k, p, $6, $7, $8, n, b from unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[]) u(i, k, p, n, b)"""

    async def add_trash(
        self, connection: Connection, rows: Sequence[tuple[int, int, str, int, int]], user: int, at: int, expires: int
    ) -> None:
        """Rows of (entry id, kind, path it had, files, bytes)."""
        await connection.execute(self._TO_TRASH, *(list(c) for c in zip(*rows, strict=True)), user, at, expires)

    _TRASH = """select t.entry_id, t.kind, t.path, t.removed_by, t.removed_at, t.expires, t.files, t.bytes from trash t
        where t.entry_id > $1 and (t.path = $2 or ($3 < t.path and t.path < $4)) and ($5::int is null or t.removed_by = $5 or t.path ~ $6)
        order by t.entry_id limit $7"""

    async def trash(
        self, connection: Connection, under: str, after: int, limit: int, user: int | None, governed: str
    ) -> Rows:
        """What was removed at or below `under`: by `user` (None: by anybody), or at a path matching `governed`."""
        return await connection.fetch(self._TRASH, after, under, *path_range(under), user, governed, limit)

    _PICK = """select t.entry_id, t.kind, t.path, t.removed_by, t.expires from trash t where t.entry_id = any($1::bigint[])
        order by t.entry_id for update"""

    async def lock_trash(self, connection: Connection, ids: Sequence[int]) -> Rows:
        return await connection.fetch(self._PICK, ids)

    async def forget_trash(self, connection: Connection, ids: Sequence[int]) -> None:
        await connection.execute("delete from trash where entry_id = any($1::bigint[])", ids)

    async def expire_trash(self, connection: Connection, ids: Sequence[int], at: int) -> None:
        await connection.execute(
            "update trash set expires = least(expires, $2) where entry_id = any($1::bigint[])", ids, at
        )
