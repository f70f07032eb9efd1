"""The numbers of the report, all from staging: what the source holds, and what of it is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from .stage_store import Connection

Rows = Sequence[asyncpg.Record]


class Outcome(NamedTuple):
    """Counts: `small` of comments and links by kind; `lost` by kind and verdict, of rows that were never staged."""

    entries: asyncpg.Record
    copies: asyncpg.Record
    people: asyncpg.Record
    small: Rows
    lost: Rows


class ReportStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # An active file: reachable, regular, not deleted. Sizes that are unknown count 0.
    _ACTIVE = """
drop table if exists s_active, s_held;
create unlogged table s_active with (autovacuum_enabled = off) as
  select e.id, e.parent, coalesce(e.size, 0) as size, e.owner, e.grp from s_entry e join s_dir d on d.id = e.parent and d.path is not null
   where e.kind = 0 and not exists (select from s_note n where n.kind = 'entry' and n.code = 'file_status_deleted' and n.id = e.id);
analyze s_active;
"""
    _TREE = """
select (select count(*) from s_entry) as entries_total,
  (select count(*) from s_dir where path is not null) as dirs_reachable, (select count(*) from s_dir where path is null) as dirs_unreachable,
  (select count(*) from s_unreached where kind = 0) as files_unreachable,
  (select count(*) from s_entry where kind = 0) - (select count(*) from s_unreached where kind = 0) as files_reachable,
  (select count(*) from s_active) as files_active, (select coalesce(sum(size), 0) from s_active)::text as bytes_active,
  (select count(*) from s_entry where kind = 2) - (select count(*) from s_unreached where kind = 2) as symlinks_reachable,
  (select count(*) from s_entry e where kind = 2 and not exists (select from s_unreached u where u.id = e.id) and not exists (select from s_note n
     where n.kind = 'entry' and n.id = e.id and n.code in ('symlink_missing_row', 'symlink_broken', 'symlink_loop'))) as symlinks_ok"""
    _FILES = """
with n as (select id, max(code) filter (where code like 'csum%') as csum, max(value) filter (where code like 'file_status%') as status
    from s_note where kind = 'entry' and (code like 'csum%' or code like 'file_status%') group by 1)
select coalesce(n.status, '-') as status, case when n.csum in ('csum_type_no_value', 'csum_value_no_type') or (n.csum is null and e.ad is null and e.csum is null)
      then 'none' when n.csum is not null then 'repaired or dropped' when e.ad is not null then 'adler32' else split_part(e.csum, ':', 1) end as checksum, count(*) as n
  from s_entry e left join n using (id) where e.kind = 0 group by 1, 2"""

    async def tree(self) -> dict[str, Any]:
        """What the root leads to and what not; sizes as text, because a sum may not fit a bigint."""
        await self._connection.execute(self._ACTIVE)
        row = await self._connection.fetchrow(self._TREE)
        assert row is not None
        return dict(row)

    _OTHER = """select
        (select count(*) from s_entry e join s_dir d on d.id = e.parent and d.path is not null where e.parent > e.id) as children_before_parent,
        (select count(*) from s_entry e where acl is not null
            and not exists (select from s_note n where n.kind = 'entry' and n.id = e.id and n.code = 'acl_unknown_id')) as acls_ok,
        (select count(*) from s_comment c where not exists (select from s_note n where n.kind = 'comment' and n.id = c.entry)) as comments_ok,
        (select count(*) from s_entry where guid_raw is not null) as guids_not_in_lower_case,
        (select count(distinct node) from s_target) as catalogue_directories"""

    async def other(self) -> dict[str, int]:
        row = await self._connection.fetchrow(self._OTHER)
        assert row is not None
        return dict(row)

    async def files(self) -> Rows:
        """(status, checksum, n) of all regular files."""
        return await self._connection.fetch(self._FILES)

    _REPLICAS = """
create unlogged table s_held with (autovacuum_enabled = off) as
  select r.id, r.entry, r.host, r.sfn_host, r.status, r.ctime is null as no_ctime, e.size, e.id is not null as file, a.id is not null and r.status in ('-', 'U') as active, a.parent
    from s_replica r left join s_entry e on e.id = r.entry and e.kind = 0 left join s_active a on a.id = r.entry;
"""
    _STATUSES = "select status, count(*) as n, count(*) filter (where active) as active, count(*) filter (where no_ctime) as no_ctime from s_held group by 1"
    _DISTINCT = "select count(*) from (select distinct entry, host from s_held where active) x"
    _HOSTS = """select host, count(*) filter (where file) as replicas, (coalesce(sum(size) filter (where file), 0))::text as bytes,
        count(*) filter (where active) as active_replicas, (coalesce(sum(size) filter (where active), 0))::text as active_bytes from s_held group by 1 order by 1"""

    async def replicas(self) -> tuple[Rows, int, Rows]:
        """((status, n, active, no_ctime), ...), distinct pairs of active file and host, and (host as stored, ...) with counts."""
        await self._connection.execute(self._REPLICAS)
        return (
            await self._connection.fetch(self._STATUSES),
            await self._connection.fetchval(self._DISTINCT),
            await self._connection.fetch(self._HOSTS),
        )

    _OWNERS = "select owner as id, count(*) as files, sum(size)::text as bytes from s_active group by 1 order by 1"
    _GROUPS = "select grp as id, count(*) as files, sum(size)::text as bytes from s_active group by 1 order by 1"

    async def owners(self) -> tuple[Rows, Rows]:
        """(id, files, bytes) of active files by uid, and by gid."""
        return await self._connection.fetch(self._OWNERS), await self._connection.fetch(self._GROUPS)

    _SUBTREES = """
with own as (
    select d.id, d.path, d.depth, coalesce(f.n, 0) as files, coalesce(f.bytes, 0) as bytes, coalesce(r.n, 0) as replicas
      from s_dir d left join (select parent, count(*) as n, sum(size) as bytes from s_active group by 1) f on f.parent = d.id
      left join (select parent, count(*) as n from s_held where active group by 1) r on r.parent = d.id where d.path is not null),
 up as (
    select array_to_string((string_to_array(o.path, '/'))[1:k + 1], '/') as top, k, o.depth, o.files, o.bytes, o.replicas
      from own o cross join lateral generate_series(0, least(o.depth, $1)) k)
select top, sum(files)::bigint as files, sum(bytes)::text as bytes, sum(replicas)::bigint as active_replicas, count(*) filter (where depth > k) as subdirs
  from up group by top order by sum(files) desc, top limit $2"""

    async def subtrees(self, depth: int, limit: int) -> Rows:
        """(top, files, bytes, active_replicas, subdirs) of the directories down to `depth`, the largest first."""
        return await self._connection.fetch(self._SUBTREES, depth, limit)

    _ANOMALIES = """select code, count(*) as n from s_note group by 1"""
    _BY_HOST = "select code, sum(n)::bigint as n from s_host where code is not null group by 1"
    _EXAMPLES = """
select code, id, value from (select code, id, value, row_number() over (partition by code order by id, value) as k from (
      select code, id, value from s_note union all
      select code, id, null from s_out o where not exists (select from s_note n where n.kind = 'entry' and n.id = o.id and n.code = o.code) union all
      select code, id, null from s_rout where code = 'entry_not_imported') y) x
 where k <= $1 order by code, id, value"""
    _OUT = "select code, verdict, count(*) as n from s_out where not own group by 1, 2"
    _ROUT = "select code, verdict, count(*) as n from s_rout where code = 'entry_not_imported' group by 1, 2"
    _CLASHES = """select code, verdict, count(*) as n, min(id) as id from s_out o where own
        and not exists (select from s_note n where n.kind = 'entry' and n.id = o.id and n.code = o.code) group by 1, 2"""

    async def anomalies(self, examples: int) -> tuple[dict[str, int], Rows]:
        """Count by code, and (code, id, value) of the first so many of each."""
        counts = {r["code"]: r["n"] for r in await self._connection.fetch(self._ANOMALIES)}
        counts |= {r["code"]: r["n"] for r in await self._connection.fetch(self._BY_HOST)}
        for statement in (self._OUT, self._ROUT, self._CLASHES):
            for r in await self._connection.fetch(statement):
                counts[r["code"]] = counts.get(r["code"], 0) + r["n"]
        return counts, await self._connection.fetch(self._EXAMPLES, examples)

    _ENTRIES = """select (select count(*) from s_entry) as staged, (select count(*) from s_out where verdict = 1) as skipped,
        (select count(*) from s_out where verdict >= 2) as quarantined, (select count(*) from s_target) as directories,
        (select count(*) from s_file f where kind = 0 and not exists (select from s_out o where o.id = f.id)) as files,
        (select count(*) from s_file f where kind = 2 and not exists (select from s_out o where o.id = f.id)) as links"""
    _COPIES = """select (select count(*) from s_replica) as staged, (select count(*) from s_rout where verdict = 1) as skipped,
        (select count(*) from s_rout where verdict >= 2) as quarantined, (select count(*) from s_one where k = 1) as imported,
        (select count(*) from s_one where k > 1) as merged"""
    _SMALL = """
with c as (select 'comment' as kind, entry, exists (select from s_note n where n.kind = 'comment' and n.id = t.entry and n.code = 'orphan_comment') as orphan from s_comment t
    union all select 'link', entry, exists (select from s_note n where n.kind = 'link' and n.id = t.entry and n.code = 'orphan_symlink_row') from s_link t)
select c.kind, count(*) as staged,
    count(*) filter (where not c.orphan and o.id is null) as imported,
    count(*) filter (where c.orphan and p.verdict = 1 or not c.orphan and o.verdict = 1) as skipped,
    count(*) filter (where c.orphan and p.verdict >= 2 or not c.orphan and o.verdict >= 2) as quarantined
  from c left join s_out o on o.id = c.entry left join s_policy p on p.code = case c.kind when 'link' then 'orphan_symlink_row' else 'orphan_comment' end
 group by 1"""
    _PEOPLE = "select (select count(*) from s_user) as users, (select count(*) from s_group) as groups"
    _LOST = """select n.kind, p.verdict, count(*) as n from s_note n join s_policy p using (code) where code in ('row_malformed', 'dup_row_id') group by 1, 2"""

    async def outcome(self) -> Outcome:
        """What becomes of every row that was read."""
        entries = await self._connection.fetchrow(self._ENTRIES)
        copies = await self._connection.fetchrow(self._COPIES)
        people = await self._connection.fetchrow(self._PEOPLE)
        assert entries is not None
        assert copies is not None
        assert people is not None
        small, lost = await self._connection.fetch(self._SMALL), await self._connection.fetch(self._LOST)
        return Outcome(entries, copies, people, small, lost)

    _BYTES = """select coalesce(sum(e.size), 0)::text from s_file f join s_entry e using (id)
        where f.kind = 0 and not exists (select from s_out o where o.id = f.id)"""
    _ELEMENTS = """select s.name, s.placeholder is not null as placeholder, count(*) as replicas, coalesce(sum(e.size), 0)::text as bytes
        from s_one o join s_element s on s.id = o.element join s_entry e on e.id = o.entry where o.k = 1 group by 1, 2 order by 1"""
    _HOST_MAP = "select h.host, h.sfn_host, h.n, s.name as element, h.code, s.placeholder is not null as placeholder from s_host h join s_element s on s.id = h.element order by h.n desc"

    async def imported(self) -> tuple[str, Rows, Rows]:
        """Bytes of the files imported; (element, placeholder, replicas, bytes); how each pair of hosts was read."""
        return (
            await self._connection.fetchval(self._BYTES),
            await self._connection.fetch(self._ELEMENTS),
            await self._connection.fetch(self._HOST_MAP),
        )

    _CATALOGUE = """select count(*) filter (where f.kind = 0) as files, count(distinct f.id) filter (where f.kind = 1) as directories,
        count(*) filter (where f.kind = 2) as links, coalesce(sum(cardinality(f.se)), 0)::bigint as replicas, coalesce(sum(f.size), 0)::text as bytes
        from import_entry i join file f on f.id = i.entry_id where i.source_id = $1"""

    async def catalogue(self, source_id: int) -> dict[str, Any]:
        """What the catalogue has of this source now, counted there."""
        row = await self._connection.fetchrow(self._CATALOGUE, source_id)
        assert row is not None
        return dict(row)
