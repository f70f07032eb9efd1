"""Writing files, links and replicas, in chunks of one transaction each that leaves its mark; and the record of the import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from .stage_store import Connection

CHUNK = 40_000


class LoadStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    _ORIGINALS = """
drop table if exists s_original;
create unlogged table s_original with (autovacuum_enabled = off) as
  select id, jsonb_object_agg(split_part(code, '_', 1), value) || coalesce(jsonb_object_agg(split_part(code, '_', 1) || '_hex', hex)
      filter (where hex is not null), '{}') as original
    from s_note join s_policy using (code)
   where kind = 'entry' and value is not null and (hex is not null or action = 'fix' and split_part(code, '_', 1) in ('size', 'guid', 'csum', 'time', 'mode')
      or code = 'xattr_kept_aside') group by id;
create unique index on s_original(id);
analyze s_original;
"""

    async def gather_originals(self) -> None:
        await self._connection.execute(self._ORIGINALS)

    # ── files, links, replicas ──────────────────────────────────────────────────────────────────────────────────────────

    # Whole tables are joined here: a planner that guesses few rows and loops over an unindexed one would take hours.
    _COPIES = """
set local enable_nestloop = off;
drop table if exists s_agg, s_style, s_extra;
analyze s_element;
create unlogged table s_agg with (autovacuum_enabled = off) as
  select o.entry, array_agg(e.element_id order by o.id) as se, nullif(array_agg(r.state order by o.id), array_fill(0::smallint, array[count(*)::int])) as rstate,
      jsonb_object_agg(e.element_id, r.pfn) as pfn
    from s_one o join s_replica r using (id) join s_element e on e.id = o.element where o.k = 1 group by 1;
analyze s_agg(entry);
create unlogged table s_style with (autovacuum_enabled = off) as
  select row(status, f_type, r_type)::text as key, jsonb_strip_nulls(jsonb_build_object('status', nullif(status, '-'), 'f_type', f_type, 'r_type', r_type)) as legacy
    from (select distinct status, f_type, r_type from s_replica) x;
create unlogged table s_extra with (autovacuum_enabled = off) as
  select o.id, jsonb_strip_nulls(jsonb_build_object('setname', nullif(r.setname, ''), 'host', case when r.host <> r.sfn_host then r.host end,
      'sfn_hex', h.hex, 'also', b.pfns)) as legacy
    from s_one o join s_replica r using (id)
    left join (select o.entry, o.element, jsonb_agg(r.pfn order by r.id) as pfns from s_one o join s_replica r using (id) where o.k > 1 group by 1, 2) b
      on b.entry = o.entry and b.element = o.element
    left join (select id, max(hex) as hex from s_found where kind = 'replica' and hex is not null group by 1) h on h.id = o.id
   where o.k = 1 and (r.setname <> '' or r.host <> r.sfn_host or b.entry is not null or h.id is not null);
analyze s_style, s_extra;
"""
    # A new GUID is a version 7 one made of the entry's time and identity: running again gives the same.
    _LOAD = """
set local enable_nestloop = off;
drop table if exists s_load, s_copy;
analyze s_party, s_acl, s_original;
create unlogged table s_load with (autovacuum_enabled = off) as
  select row_number() over (order by f.node, f.name)::int as n, nextval(pg_get_serial_sequence('file', 'id')) as entry_id, f.id, coalesce(d.entry_id, w.new_id) as dir_id, case when f.kind = 0 then e.size end as size,
      case when f.kind = 0 then coalesce(case when l.id is null then e.guid end,
        (lpad(to_hex(e.ctime * 1000), 12, '0') || '7' || substr(m.h, 1, 3) || substr('89ab', 1 + ascii(substr(m.h, 4, 1)) % 4, 1) || substr(m.h, 5, 15))::uuid) end as guid,
      e.ctime * 1000000 as ctime, e.mtime * 1000000 as mtime, coalesce(o.principal_id, 0) as owner_id, coalesce(g.principal_id, 0) as group_id,
      ('x' || e.ad)::bit(32)::int as adler32, c.acl_id, e.mode, f.kind, nullif(e.status, 0) as status, f.name, coalesce(a.se, '{}') as se, a.rstate, a.pfn, e.csum,
      t.target, x.text as comment, nullif(e.atime, 0) * 1000000 as atime, case when e.guid_raw is not null then jsonb_build_object('guid', e.guid_raw)
        when l.id is not null then jsonb_build_object('guid', e.guid::text) else '{}' end as guid_original
    from s_file f join s_node d on d.id = f.node left join s_shape w on w.id = d.id join s_entry e on e.id = f.id cross join s_self s
    cross join lateral (select md5(s.name || ':' || f.id) as h) m
    left join s_loser l on l.id = f.id left join s_party o on o.kind = 'u' and o.id = e.owner left join s_party g on g.kind = 'g' and g.id = e.grp
    left join s_acl c on c.text = e.acl left join s_agg a on a.entry = f.id left join s_goal t on t.entry = f.id and f.kind = 2
    left join s_comment x on x.entry = f.id
   where f.entry_id is null and not exists (select from s_out q where q.id = f.id) and not exists (select from s_adopt q where q.id = f.id);
create unique index on s_load(n);
analyze s_load(n, id);
create unlogged table s_copy with (autovacuum_enabled = off) as
  select l.n, e.element_id, r.ctime * 1000000 as ctime, r.atime * 1000000 as atime, case when x.id is null then y.legacy else y.legacy || x.legacy end as legacy
    from s_one o join s_replica r using (id) join s_element e on e.id = o.element join s_load l on l.id = o.entry
    join s_style y on y.key = row(r.status, r.f_type, r.r_type)::text
    left join s_extra x on x.id = o.id
   where o.k = 1 order by l.n;
create index on s_copy using brin (n) with (pages_per_range = 32);
analyze s_copy(n);
"""

    async def gather_copies(self) -> None:
        """The replicas of each file, put together. Safe to repeat until `prepare`."""
        async with self._connection.transaction():
            await self._connection.execute(self._COPIES)

    async def prepare(self) -> None:
        """The rows as they will be written, each with its id. Safe to repeat until the first chunk is written."""
        async with self._connection.transaction():
            await self._connection.execute(self._LOAD)

    async def rows(self) -> int:
        return int(await self._connection.fetchval("select coalesce(max(n), 0) from s_load"))

    async def tops(self) -> list[str]:
        """The top-level directories that are touched: what the structure lock is on."""
        rows = await self._connection.fetch("select path from s_node where depth <= 1 order by 1")
        return [r["path"] or "/" for r in rows]

    _INTO_FILE = """
    insert into file(id, dir_id, size, guid, ctime, mtime, owner_id, group_id, adler32, acl_id, mode, kind, status, name, se, rstate, pfn, csum, target, comment)
    select entry_id, dir_id, size, guid, ctime, mtime, owner_id, group_id, adler32, acl_id, mode, kind, status, name, se, rstate, pfn, csum, target, comment
      from s_load l where n > $1 and n <= $2"""
    # `t` are the rows that got in: all of them, or those that found their directory there and their name free.
    _PLAIN = f"""
with t as not materialized (select * from s_load where n > $1 and n <= $2),
 f as ({_INTO_FILE} order by n),"""
    _CAREFUL = f"""
with f as ({_INTO_FILE} and exists (select from dir d where d.id = l.dir_id) order by n
    on conflict on constraint file_dir_name_key do nothing returning id),
 t as materialized (select l.* from s_load l join f on f.id = l.entry_id where n > $1 and n <= $2),"""
    _CHUNK = """
 r as (insert into replica_info(file_id, se_id, ctime, atime, legacy)
    select t.entry_id, c.element_id, c.ctime, c.atime, c.legacy from s_copy c join t using (n) where c.n > $1 and c.n <= $2),
 i as (insert into import_entry(source_id, legacy_id, entry_id, atime, original)
    select $3, t.id, t.entry_id, t.atime, nullif(coalesce(o.original, '{}') || t.guid_original, '{}') from t left join s_original o on o.id = t.id),
 u as (insert into dir_usage as u select dir_id, se_id, count(*), coalesce(sum(size), 0) from (
      select dir_id, 0 as se_id, size from t where kind = 0 union all select dir_id, unnest(se), size from t) x group by 1, 2 order by 1, 2
    on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes)
select (select count(*) from s_load where n > $1 and n <= $2) as wanted, count(*) filter (where kind = 0) as files,
    count(*) filter (where kind = 2) as links, coalesce(sum(cardinality(se)), 0)::bigint as replicas from t"""
    _HOMELESS = """select exists(select from s_load l where n > $1 and n <= $2 and not exists (select from dir d where d.id = l.dir_id))"""
    _MARK = "insert into import_chunk(run_id, chunk, counts) values ($1, $2, $3)"

    async def chunk(self, run_id: int, number: int, source_id: int, *, careful: bool) -> dict[str, Any]:
        """Write chunk `number` (from 0) and its mark; what was written, and `wanted`: more when names were taken meanwhile.

        Unless it is `careful`, a name that is taken or a directory that is gone is a UniqueViolationError; with it the
        others are written. The usual chunk is spared the price of looking.
        """
        rows = (number * CHUNK, (number + 1) * CHUNK)
        if not careful and await self._connection.fetchval(self._HOMELESS, *rows):
            raise asyncpg.UniqueViolationError
        statement = (self._CAREFUL if careful else self._PLAIN) + self._CHUNK
        row = await self._connection.fetchrow(statement, *rows, source_id)
        assert row is not None
        await self._connection.execute(self._MARK, run_id, number, dict(row))
        return dict(row)

    # ── entries that were there already ─────────────────────────────────────────────────────────────────────────────────

    _ADOPT = """
with t as (select a.id, a.entry_id, e.atime from s_adopt a join s_entry e using (id)),
 n as (select t.entry_id, e.element_id, r.pfn, r.state, r.ctime, r.atime, f.dir_id, f.size from t join file f on f.id = t.entry_id
    join s_one o on o.entry = t.id and o.k = 1 join s_replica r on r.id = o.id join s_element e on e.id = o.element where not f.se @> array[e.element_id]),
 f as (update file f set se = f.se || x.se, rstate = case when f.rstate is null and x.plain then null
        else coalesce(f.rstate, array_fill(0::smallint, array[cardinality(f.se)])) || x.states end, pfn = coalesce(f.pfn, '{}') || x.pfn
    from (select entry_id, array_agg(element_id order by element_id) as se, array_agg(state order by element_id) as states, bool_and(state = 0) as plain,
        jsonb_object_agg(element_id, pfn) as pfn from n group by 1) x where f.id = x.entry_id),
 r as (insert into replica_info(file_id, se_id, ctime, atime) select entry_id, element_id, ctime * 1000000, atime * 1000000 from n on conflict do nothing),
 u as (insert into dir_usage as u select dir_id, element_id, count(*), coalesce(sum(size), 0) from n group by 1, 2 order by 1, 2
    on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes)
insert into import_entry(source_id, legacy_id, entry_id, atime) select (select source_id from s_self), id, entry_id, nullif(atime, 0) * 1000000 from t on conflict do nothing"""

    async def adopt(self) -> None:
        """Entries that lading had, the same: their legacy ids, and the replicas they lack. Safe to repeat."""
        await self._connection.execute(self._ADOPT)

    _ALIASES = "insert into alias(prefix, target, ctime) select * , $3 from unnest($1::text[], $2::text[]) on conflict (prefix) do nothing"

    async def add_aliases(self, rules: Sequence[tuple[str, str]], at: int) -> None:
        """The old prefixes, for ever. One that exists keeps its target."""
        pairs = [(old, new or "/") for old, new in rules if old]
        await self._connection.execute(self._ALIASES, [p[0] for p in pairs], [p[1] for p in pairs], at)

    # Of what was taken as it is or put right, so many rows per code; of what stayed out, every one. Counts are in the report.
    _ISSUES = """
delete from import_issue where source_id = (select source_id from s_self);
insert into import_issue(source_id, source_table, legacy_id, code, action, value, raw)
  select (select source_id from s_self), t.source_table, n.id, n.code, p.action, n.value,
      case when n.code in ('row_malformed', 'dup_row_id') then jsonb_build_object('row', n.value)
        when o.id is not null then to_jsonb(e) when r.id is not null then to_jsonb(x)
        when n.kind = 'comment' then to_jsonb(c) when n.kind = 'link' then to_jsonb(l) end
    from (select *, row_number() over (partition by code order by id) as k from s_note) n join s_policy p using (code) join s_kind t using (kind)
    left join s_out o on n.kind = 'entry' and o.id = n.id left join s_entry e on e.id = o.id
    left join s_rout r on n.kind = 'replica' and r.id = n.id and r.code <> 'merged' left join s_replica x on x.id = r.id
    left join s_comment c on n.kind = 'comment' and p.verdict > 0 and c.entry = n.id left join s_link l on n.kind = 'link' and l.entry = n.id
   where p.verdict > 0 or n.k <= 100000;
insert into import_issue(source_id, source_table, legacy_id, code, action, value, raw)
  select (select source_id from s_self), t.source_table, o.id, o.code, case o.verdict when 1 then 'skip' else 'quarantine' end, null, to_jsonb(e)
    from s_out o join s_entry e using (id) join s_kind t on t.kind = 'entry'
   where not exists (select from s_note n where n.kind = 'entry' and n.id = o.id and n.code = o.code);
insert into import_issue(source_id, source_table, legacy_id, code, action, value, raw)
  select (select source_id from s_self), t.source_table, o.id, o.code, case o.verdict when 1 then 'skip' else 'quarantine' end, null, to_jsonb(r)
    from s_rout o join s_replica r using (id) join s_kind t on t.kind = 'replica'
   where o.code <> 'merged' and not exists (select from s_note n where n.kind = 'replica' and n.id = o.id and n.code = o.code);
"""

    async def write_issues(self) -> None:
        """The quarantine and the record of all that was put right: this source's, replaced whole. Safe to repeat."""
        async with self._connection.transaction():
            await self._connection.execute(self._ISSUES)
