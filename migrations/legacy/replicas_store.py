"""The source's replicas, before any decision: orphans, duplicates, and which host each pair of host column and SFN means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from .stage_store import Connection

_NOTES_PER_CODE = 100_000  # of what a whole host shares; counts are exact all the same


class HostRow(NamedTuple):
    """What was decided for all replicas with this host column and this host in the SFN ('' for none)."""

    host: str
    sfn_host: str
    element: str
    code: str | None
    placeholder: str | None


class ReplicasStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    _JUDGE = """
insert into s_note(kind, id, code, value)
  select 'replica', r.id, case when e.id is null then 'orphan_replica' else 'replica_of_no_file' end, 'fileid ' || r.entry || ', ' || r.pfn
    from s_replica r left join s_entry e on e.id = r.entry where e.id is null or e.kind <> 0;
insert into s_note(kind, id, code)
  select 'entry', e.id, 'file_without_replica' from s_entry e join s_dir d on d.id = e.parent and d.path is not null
   where e.kind = 0 and not exists (select from s_replica r where r.entry = e.id);
create unlogged table s_same_sfn with (autovacuum_enabled = off) as
  select r.entry, r.pfn from s_replica r join (select hashtextextended(pfn, 0) as h from s_replica group by 1 having min(entry) <> max(entry)) g
    on g.h = hashtextextended(r.pfn, 0);
insert into s_note(kind, id, code, value)
  select distinct 'entry', entry, 'dup_sfn_two_files', pfn from (select entry, pfn, min(entry) over w as a, max(entry) over w as z from s_same_sfn
    window w as (partition by pfn)) x join s_entry e on e.id = x.entry where a <> z;
"""
    # An SFN that repeats the path of its file repeats its blanks too: that says nothing new, and the note goes.
    _BLANKS = """
with c as (
  select n.ctid as row, n.value, string_to_array(substr(d.path || '/' || e.name, 2), '/') as parts
    from s_note n join s_replica r on r.id = n.id join s_entry e on e.id = r.entry join s_dir d on d.id = e.parent
   where n.kind = 'replica' and n.code = 'replica_sfn_blank' and d.path is not null),
 tail as (
  select c.row, c.value, max(octet_length(array_to_string(c.parts[k:], '/'))) as size
    from c cross join lateral generate_series(1, cardinality(c.parts)) k
   where right(replace(c.value, '\\\\', '\\'), length(array_to_string(c.parts[k:], '/'))) = array_to_string(c.parts[k:], '/') group by 1, 2)
delete from s_note n using tail t where n.ctid = t.row
   and convert_from(substr(convert_to(replace(t.value, '\\\\', '\\'), 'UTF8'), 1, octet_length(replace(t.value, '\\\\', '\\')) - t.size), 'UTF8') !~ '[^!-~]'
"""
    _HOSTS = """
create unlogged table s_pair with (autovacuum_enabled = off) as select host, sfn_host, count(*) as n from s_replica group by 1, 2;
"""
    _PAIRS = "select host, sfn_host, n from s_pair"

    async def judge(self) -> list[asyncpg.Record]:
        """Notes on single replicas; then (host, sfn_host, n) of every distinct pair, '' for none."""
        await self._connection.execute(self._JUDGE)
        await self._connection.execute(self._BLANKS)
        await self._connection.execute(self._HOSTS)
        return await self._connection.fetch(self._PAIRS)

    # `element` is a number of our own here: the element itself may not exist yet.
    _SETTLE = """
create unlogged table s_element with (autovacuum_enabled = off) as select row_number() over (order by name)::int as id, name, placeholder, null::int as element_id
  from (select element as name, max(placeholder) as placeholder from s_decided group by 1) x;
create unlogged table s_host with (autovacuum_enabled = off) as
  select p.host, p.sfn_host, p.n, e.id as element, d.code, coalesce(o.verdict, 0)::smallint as verdict
    from s_pair p join s_decided d using (host, sfn_host) join s_element e on e.name = d.element left join s_policy o on o.code = d.code;
analyze s_host;
"""
    _NOTES = f"""
insert into s_note(kind, id, code, value)
  select 'replica', id, code, value from (
    select r.id, h.code, r.host || ' | ' || r.pfn as value, row_number() over (partition by h.code) as k
      from s_host h join s_replica r on r.host = h.host and r.sfn_host = h.sfn_host
     where h.code is not null) x where k <= {_NOTES_PER_CODE}
"""
    _TWICE = """
create unlogged table s_twice with (autovacuum_enabled = off) as
  select r.entry, r.id, r.pfn, h.element, coalesce(nullif(lower(r.host), ''), lower(r.sfn_host), '') as host
    from s_replica r join s_host h on r.host = h.host and r.sfn_host = h.sfn_host
    join (select r.entry, h.element from s_replica r join s_host h on r.host = h.host and r.sfn_host = h.sfn_host
          group by 1, 2 having count(*) > 1) g on g.entry = r.entry and g.element = h.element;
insert into s_note(kind, id, code, value)
  select 'entry', entry, 'dup_replica_row_exact', min(pfn) from (select entry, pfn from s_twice group by 1, 2 having count(*) > 1) x group by 2;
insert into s_note(kind, id, code, value)
  select 'entry', entry, 'dup_replica_same_se', min(a) || ' | ' || min(z) from (
    select entry, min(pfn) as a, max(pfn) as z from s_twice group by entry, host having min(pfn) <> max(pfn)) x group by 2;
insert into s_note(kind, id, code, value)
  select 'entry', entry, 'dup_replica_same_element', min(a) || ' | ' || max(z) from (
    select entry, min(pfn) as a, max(pfn) as z from s_twice group by entry, element having min(host) <> max(host)) x group by 2;
"""

    async def settle_hosts(self, rows: Iterable[HostRow]) -> None:
        """Which element each pair means; then the notes that follow from it, and the duplicates."""
        await self._connection.execute(
            "create unlogged table s_decided(host text, sfn_host text, element text, code text, placeholder text)"
        )
        await self._connection.copy_records_to_table("s_decided", records=list(rows))
        await self._connection.execute(self._SETTLE)
        await self._connection.execute(self._NOTES)
        await self._connection.execute(self._TWICE)
