"""SQL of names: look-ups, directories, listings, attributes. Files are inserted by `catalog.replicas`, with their copies."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from lading.model import lfn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

ROOT, TRASH = 1, 2
FILE, DIRECTORY, LINK = 0, 1, 2

_STRUCTURE = 0x6C616469  # the class of our advisory locks
_BUCKETS = 64

# What the service makes an Entry of. `guid::text` because decoding a uuid costs 0.3 us a row.
COLUMNS = """f.id, f.name, f.kind, f.size, f.guid::text as guid, f.ctime, f.mtime, f.owner_id, f.group_id, f.adler32, f.acl_id,
 f.mode, f.status, cardinality(f.se) as replicas, f.csum, f.target, f.comment, f.meta"""


def path_range(path: str) -> tuple[str, str]:
    """(low, high): every directory below `path` has low < its path < high, in byte order."""
    low = path if path == "/" else path + "/"
    return low, low[:-1] + "0"


def structure_buckets(paths: Iterable[str], *, everything: bool) -> list[int]:
    """What to lock for these paths: a bucket a top-level directory, or all for the root if `everything` below it counts."""
    names = {lfn.vo(p) for p in paths}
    if everything and "" in names:
        return list(range(_BUCKETS))
    return sorted({zlib.crc32(name.encode()) % _BUCKETS for name in names})


class NamesStore:
    """Methods take the connection and many items; they return records in the order of their items where they say so."""

    _LOCK = "select pg_advisory_xact_lock{}($1, b) from unnest($2::int[]) b"

    async def lock(self, connection: Connection, paths: Iterable[str], *, exclusive: bool = False) -> None:
        """The structure lock of the top-level directories of `paths`: the transaction's first statement.

        Shared by whoever adds names, exclusive for whoever moves or removes directories: stored paths stay true
        (without it 3,978 of 25,000 went wrong in the lab). Bucketed, so that a call never holds more than 64.
        """
        buckets = structure_buckets(paths, everything=exclusive)
        await connection.execute(self._LOCK.format("" if exclusive else "_shared"), _STRUCTURE, buckets)

    async def hold(self, connection: Connection, top: str) -> None:
        """The structure lock, shared, of all that lies below `top`: directories stay where they are, names may come."""
        buckets = structure_buckets([top], everything=True)
        await connection.execute(self._LOCK.format("_shared"), _STRUCTURE, buckets)

    # Lateral with a limit: see `catalog.replicas.store`.
    _LOOKUP = f"""select u.o, d.id as dir_id, d.access_id, {COLUMNS}
        from unnest($1::text[], $2::text[]) with ordinality u(p, n, o)
        join dir d on d.path = u.p cross join lateral (select * from file where dir_id = d.id and name = u.n limit 1) f"""

    async def lookup(self, connection: Connection, parents: Sequence[str], names: Sequence[str]) -> Rows:
        """A record per entry found: `o` is its position from 1, then its directory's id and access, then COLUMNS."""
        return await connection.fetch(self._LOOKUP, parents, names)

    _ROOT = f"select 0::bigint as o, 0::bigint as dir_id, 1 as access_id, {COLUMNS} from file f where f.id = 1"

    async def root(self, connection: Connection) -> asyncpg.Record:
        row = await connection.fetchrow(self._ROOT)
        assert row is not None
        return row

    _DIRS = """select u.o, d.id, d.access_id, a.acl_id from unnest($1::text[]) with ordinality u(p, o)
        join dir d on d.path = u.p join access a on a.id = d.access_id"""

    async def directories(self, connection: Connection, paths: Sequence[str]) -> Rows:
        """(o, id, access_id, acl_id) of the directories found at exactly these paths."""
        return await connection.fetch(self._DIRS, paths)

    _BY_ID = """select f.id, f.dir_id, f.name, f.kind, f.guid::text as guid, d.path as dir_path, d.access_id
        from unnest($1::bigint[]) u(id) join file f on f.id = u.id join dir d on d.id = f.dir_id"""

    async def by_id(self, connection: Connection, ids: Sequence[int]) -> Rows:
        return await connection.fetch(self._BY_ID, ids)

    _ADD_DIRS = """with t as (select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::int[],
            $7::smallint[], $8::int[], $9::int[], $10::bigint[]) t(id, parent, name, path, owner, grp, mode, acl, access, above)),
        f as (insert into file(id, dir_id, name, kind, owner_id, group_id, mode, acl_id, ctime, mtime)
            select id, parent, name, 1, owner, grp, mode, nullif(acl, 0), $11, $11 from t order by path
            on conflict on constraint file_dir_name_key do nothing returning id),
        d as (insert into dir(id, path, access_id, eff) select t.id, t.path, t.access, a.eff from t join f using (id)
            join dir a on a.id = t.above returning 1)
        select count(*) from d"""

    async def add_directories(self, connection: Connection, rows: Sequence[tuple[Any, ...]], at: int) -> int:
        """Rows of (id, parent id, name, path, owner, group, mode, ACL id, access id, nearest directory above that was there
        before: what holds in it holds in the new one); the number really added."""
        return await connection.fetchval(self._ADD_DIRS, *(list(c) for c in zip(*rows, strict=True)), at)

    async def new_ids(self, connection: Connection, count: int) -> list[int]:
        statement = "select nextval(pg_get_serial_sequence('file', 'id')) from generate_series(1, $1)"
        return [r[0] for r in await connection.fetch(statement, count)]

    _ADD_LINKS = """insert into file(dir_id, name, target, kind, owner_id, group_id, mode, ctime, mtime)
        select d, n, t, 2, $5, g, 511, $6, $6 from unnest($1::bigint[], $2::text[], $3::text[], $4::int[]) u(d, n, t, g)
         order by d, n
        on conflict on constraint file_dir_name_key do nothing returning dir_id, name"""

    async def add_links(
        self, connection: Connection, links: Sequence[tuple[int, str, str, int]], owner: int, at: int
    ) -> set[tuple[int, str]]:
        """Rows of (directory id, name, target, group); the (directory id, name) of those made: the others' were taken."""
        if not links:
            return set()
        columns = (list(c) for c in zip(*links, strict=True))
        return {(r[0], r[1]) for r in await connection.fetch(self._ADD_LINKS, *columns, owner, at)}

    # ── listings ─────────────────────────────────────────────────────────────────────────────────────────────────────

    _SUBTREE = "select id, path, access_id from dir where path > $1 and path < $2 order by path"

    async def subtree(self, connection: Connection, path: str) -> AsyncIterator[asyncpg.Record]:
        """(id, path, access_id) of every directory below `path`, in byte order of the paths. Needs a transaction."""
        async for row in connection.cursor(self._SUBTREE, *path_range(path), prefetch=2000):
            yield row

    # ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────────

    _USAGE = """select u.se_id, coalesce(e.name, '') as element, sum(u.nfiles)::bigint as n, least(sum(u.bytes), 9223372036854775807)::bigint as bytes
        from dir d join dir_usage u on u.dir_id = d.id left join element e on e.id = u.se_id
        where d.path = $1 or (d.path > $2 and d.path < $3) group by 1, 2 order by 2"""
    _COUNT_DIRS = "select count(*) from dir where path > $1 and path < $2"

    async def usage(self, connection: Connection, path: str) -> tuple[Rows, int]:
        """((se_id 0 for files, element, count, bytes), ...) of a whole subtree, and its number of directories below."""
        bounds = path_range(path)
        rows = await connection.fetch(self._USAGE, path, *bounds)
        return rows, await connection.fetchval(self._COUNT_DIRS, *bounds)

    _FILE_USAGE = """select e.name, f.size from file f cross join lateral unnest(f.se) s join element e on e.id = s where f.id = $1"""

    async def file_usage(self, connection: Connection, file_id: int) -> Rows:
        return await connection.fetch(self._FILE_USAGE, file_id)

    # ── attributes ───────────────────────────────────────────────────────────────────────────────────────────────────

    _ATTRIBUTES = """update file f set mode = u.mode, owner_id = u.owner, group_id = u.grp, acl_id = nullif(u.acl, 0),
            comment = case when $6::text is null then f.comment else nullif($6, '') end,
            status = case when $7::smallint is null then f.status else nullif($7, 0) end
        from unnest($1::bigint[], $2::smallint[], $3::int[], $4::int[], $5::int[]) u(id, mode, owner, grp, acl) where f.id = u.id"""

    async def set_attributes(
        self,
        connection: Connection,
        rows: Sequence[tuple[int, int, int, int, int]],
        comment: str | None,
        status: int | None,
    ) -> None:
        """Rows of (id, mode, owner, group, ACL id); `comment` and `status` are for all, None leaving them."""
        await connection.execute(self._ATTRIBUTES, *(list(c) for c in zip(*rows, strict=True)), comment, status)

    _SET_ACCESS = "update dir d set access_id = u.a from unnest($1::bigint[], $2::int[]) u(id, a) where d.id = u.id and d.access_id <> u.a"

    async def set_access(self, connection: Connection, ids: Sequence[int], access: Sequence[int]) -> None:
        await connection.execute(self._SET_ACCESS, ids, access)

    _CHILDREN = f"""select f.dir_id, {COLUMNS} from file f where f.dir_id = any($1::bigint[]) and (f.dir_id, f.name) > ($2, $3)
        order by f.dir_id, f.name limit $4"""

    async def children(
        self, connection: Connection, dir_ids: Sequence[int], after: tuple[int, str], limit: int
    ) -> Rows:
        """Entries of several directories, keyset by (directory, name)."""
        return await connection.fetch(self._CHILDREN, dir_ids, *after, limit)

    # ── aliases ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def aliases(self, connection: Connection) -> dict[str, str]:
        return {
            r["prefix"]: r["target"] for r in await connection.fetch("select prefix, target from alias order by prefix")
        }

    _ALIAS = "insert into alias values ($1, $2, $3) on conflict (prefix) do update set target = excluded.target"

    async def set_alias(self, connection: Connection, prefix: str, target: str, at: int) -> None:
        await connection.execute(self._ALIAS, prefix, target, at)

    async def remove_alias(self, connection: Connection, prefix: str) -> bool:
        return await connection.execute("delete from alias where prefix = $1", prefix) == "DELETE 1"

    # ── provenance ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_edges(self, connection: Connection, children: Sequence[int], parents: Sequence[int]) -> None:
        statement = "insert into edge(child, parent) select * from unnest($1::bigint[], $2::bigint[]) order by 1, 2 on conflict do nothing"
        await connection.execute(statement, children, parents)

    _STEP = """select distinct u.s as start, e.{there} as id from unnest($1::bigint[], $2::bigint[]) u(s, i)
        join edge e on e.{here} = u.i order by 1, 2"""

    async def next_relatives(self, connection: Connection, pairs: Sequence[tuple[int, int]], *, up: bool) -> Rows:
        """One step of a walk: for each (start, id), (start, each parent (`up`) or child of id)."""
        here, there = ("child", "parent") if up else ("parent", "child")
        statement = self._STEP.format(here=here, there=there)
        return await connection.fetch(statement, [p[0] for p in pairs], [p[1] for p in pairs])
