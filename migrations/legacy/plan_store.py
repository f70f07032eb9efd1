"""What will be written: verdicts carried down the tree, paths mapped, clashes found. Reads the catalogue, writes only staging.

`s_out` gets a row per entry that stays out, `s_rout` per replica; `s_node` one per directory of the catalogue that is needed,
`s_load` one per file or link to be added, in the order in which it lies in the catalogue, `s_copy` one per replica of it.
Verdicts: 1 skip, 2 quarantine.
"""

from __future__ import annotations

from collections.abc import Iterable

from lading.model.lfn import MAX_PATH

from .stage_store import Connection


class PlanStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    _FAILING = """select code, count(*) as n from s_note join s_policy using (code) where verdict = 3 group by 1
        union select code, sum(n) from s_host where verdict = 3 group by 1
        union select code, count(*) from s_out o where own and verdict = 3
            and not exists (select from s_note n where n.kind = 'entry' and n.id = o.id and n.code = o.code) group by 1 order by 1"""

    async def failing(self) -> dict[str, int]:
        """Codes that were found though the policy says fail, with their counts."""
        return {r["code"]: r["n"] for r in await self._connection.fetch(self._FAILING)}

    # The two codes left out name rows that are not staged at all: their ids may be other rows' too.
    _VERDICTS = """
analyze s_note;
create unlogged table s_out with (autovacuum_enabled = off) as
  select n.id, max(p.verdict) as verdict, (array_agg(n.code order by p.verdict desc, n.code))[1] as code, true as own
    from s_note n join s_policy p using (code)
   where n.kind = 'entry' and p.verdict > 0 and n.code not in ('row_malformed', 'dup_row_id') group by n.id;
create unique index on s_out(id);
create unlogged table s_rout with (autovacuum_enabled = off) as
  select n.id, max(p.verdict) as verdict, (array_agg(n.code order by p.verdict desc, n.code))[1] as code, true as own
    from s_note n join s_policy p using (code)
   where n.kind = 'replica' and p.verdict > 0 and n.code not in ('row_malformed', 'dup_row_id') group by n.id;
create unique index on s_rout(id);
analyze s_out;
analyze s_rout;
"""
    # Only what can be reached is a tree, and ends; the rest is out already, each entry for a reason of its own.
    _SPREAD = """
with recursive below as (
    select d.id, o.verdict from s_out o join s_dir d on d.parent = o.id and d.path is not null
    union all select d.id, b.verdict from below b join s_dir d on d.parent = b.id and d.path is not null)
  insert into s_out select id, verdict, 'parent_not_imported', false from below on conflict do nothing;
insert into s_out select e.id, o.verdict, 'parent_not_imported', false from s_out o join s_dir d using (id) join s_entry e on e.parent = d.id
   where e.kind <> 1 on conflict do nothing;
"""

    async def decide(self) -> None:
        """What the policies say of each entry and replica, and of everything below a directory that stays out."""
        await self._connection.execute(self._VERDICTS)
        await self._connection.execute(self._SPREAD)

    _MAPPED = f"""
create unlogged table s_place with (autovacuum_enabled = off) as
  select d.id, coalesce(m.path, d.path) collate "C" as path
    from s_dir d left join lateral (select r.target || substr(d.path, length(r.prefix) + 1) as path from s_rule r
      where d.path = r.prefix or starts_with(d.path, r.prefix || '/') order by length(r.prefix) desc limit 1) m on true
   where d.path is not null and not exists (select from s_out o where o.id = d.id);
insert into s_out select id, p.verdict, p.code, true from s_place, s_policy p where p.code = 'path_too_long' and octet_length(path) > {MAX_PATH}
   on conflict do nothing;
analyze s_place;
"""
    # Directories of the catalogue: what the source's become, and what lies above them by the path rules. An earlier run's
    # directory is found by its id, wherever it was moved meanwhile; any other by its path.
    _NODES = """
create unlogged table s_here with (autovacuum_enabled = off) as
  select path, left(path, -position('/' in reverse(path))) as parent, min(id) as src
    from s_place p where not exists (select from s_out o where o.id = p.id) group by 1;
analyze s_here;
with recursive above(path) as (
    select '' union select h.parent from s_here h where not exists (select from s_here o where o.path = h.parent)
    union select left(a.path, -position('/' in reverse(a.path))) from above a where a.path <> '')
  insert into s_here select a.path, left(a.path, -position('/' in reverse(a.path))), null from above a
   where not exists (select from s_here o where o.path = a.path);
create unlogged table s_number with (autovacuum_enabled = off) as select row_number() over (order by path)::int as id, path, parent, src from s_here;
analyze s_number;
create unlogged table s_node with (autovacuum_enabled = off) as
  select n.id, n.path, substr(n.path, length(n.parent) + 2) as name, length(n.path) - length(replace(n.path, '/', '')) as depth,
      case when n.path <> '' then p.id end as parent, n.src, coalesce(m.id, d.id) as entry_id, coalesce(m.access_id, d.access_id) as access_id
    from s_number n join s_number p on p.path = n.parent
    left join import_entry i on i.source_id = (select source_id from s_self) and i.legacy_id = n.src
    left join dir m on m.id = i.entry_id and m.path like '/%'
    left join dir d on d.path = case when n.path = '' then '/' else n.path end;
create unique index on s_node(id);
create index on s_node using hash (path);
analyze s_node;
create index on s_node(parent);
create unlogged table s_target with (autovacuum_enabled = off) as
  select p.id, n.id as node from s_place p join s_node n using (path) where not exists (select from s_out o where o.id = p.id);
create unique index on s_target(id);
analyze s_target;
create unlogged table s_goal with (autovacuum_enabled = off) as
  select l.entry, coalesce(m.target, l.target) as target
    from s_link l left join lateral (select r.target || substr(l.target, length(r.prefix) + 1) as target from s_rule r
      where l.target = r.prefix or starts_with(l.target, r.prefix || '/') order by length(r.prefix) desc limit 1) m on true;
analyze s_goal;
"""
    _CLASHES = """
with clash as (
    select n.path, i.entry_id is not null as before from s_node n join s_node p on p.id = n.parent
      left join import_entry i on i.source_id = (select source_id from s_self) and i.legacy_id = n.src
     where n.entry_id is null and (i.entry_id is not null or exists (select from file f where f.dir_id = p.entry_id and f.name = n.name)))
  insert into s_out select distinct on (t.id) t.id, p.verdict, p.code, true from clash c join s_node n on n.path = c.path or starts_with(n.path, c.path || '/')
    join s_target t on t.node = n.id join s_policy p on p.code = case when c.before then 'removed_in_lading' else 'conflict_existing' end
   order by t.id, p.verdict desc on conflict do nothing
"""

    async def map_paths(self, rules: Iterable[tuple[str, str]]) -> None:
        """Where each directory goes. What clashes with the catalogue stays out, with all that is below."""
        await self._connection.execute("create unlogged table s_rule(prefix text, target text)")
        await self._connection.copy_records_to_table("s_rule", records=list(rules))
        await self._connection.execute(self._MAPPED)
        await self._connection.execute(self._SPREAD)
        await self._connection.execute(self._NODES)
        if await self._connection.execute(self._CLASHES) != "INSERT 0 0":
            await self._connection.execute(self._SPREAD)
            await self._connection.execute("delete from s_target t using s_out o where o.id = t.id")

    # One sort gives the order of loading and shows the names that meet.
    _FILES = f"""
create unlogged table s_file with (autovacuum_enabled = off) as
  select e.id, t.node, e.kind, e.name, lag(e.name) over w = e.name and lag(t.node) over w = t.node as second, i.entry_id,
      octet_length(n.path) + 1 + octet_length(e.name) > {MAX_PATH} as long, n.entry_id as dir_id
    from s_entry e join s_target t on t.id = e.parent join s_node n on n.id = t.node
    left join import_entry i on i.source_id = (select source_id from s_self) and i.legacy_id = e.id
   where e.kind <> 1 and not exists (select from s_out o where o.id = e.id)
  window w as (order by t.node, e.name, e.id);
analyze s_file;
insert into s_out select f.id, p.verdict, p.code, true from s_file f join s_policy p on p.code = 'path_too_long' where f.long
   on conflict do nothing;
insert into s_out select f.id, p.verdict, p.code, true from s_file f join s_policy p on p.code = 'name_collision'
   where f.second or exists (select from s_node c where c.parent = f.node and c.name = f.name) on conflict do nothing;
insert into s_out select f.id, p.verdict, p.code, true from s_file f join s_policy p on p.code = 'removed_in_lading'
   where f.entry_id is not null and not exists (select from file x where x.id = f.entry_id) on conflict do nothing;
create unlogged table s_adopt with (autovacuum_enabled = off) as
  select f.id, x.id as entry_id, x.kind = f.kind and (f.kind = 2 and x.target = l.target or f.kind = 0
        and (x.size = e.size or e.size is null or x.size is null) and coalesce(x.guid = e.guid, true)
        and coalesce(x.adler32 = ('x' || e.ad)::bit(32)::int, true) and (x.csum = e.csum or e.csum is null or x.csum is null)) as same
    from s_file f join file x on x.dir_id = f.dir_id and x.name = f.name join s_entry e on e.id = f.id left join s_goal l on l.entry = f.id
   where f.entry_id is null and not exists (select from s_out o where o.id = f.id);
insert into s_out select a.id, p.verdict, p.code, true from s_adopt a join s_policy p on p.code = 'conflict_existing' where not coalesce(a.same, false)
   on conflict do nothing;
delete from s_adopt where not coalesce(same, false);
insert into s_note(kind, id, code, value)
  select 'entry', e.id, 'guid_taken', e.guid::text from s_entry e join file x on x.guid = e.guid
   where not exists (select from s_out o where o.id = e.id) and not exists (select from s_adopt a where a.id = e.id)
     and not exists (select from import_entry i where i.source_id = (select source_id from s_self) and i.legacy_id = e.id);
insert into s_out select n.id, p.verdict, n.code, true from s_note n join s_policy p using (code) where n.code = 'guid_taken' and p.verdict > 0
   on conflict do nothing;
create unlogged table s_loser with (autovacuum_enabled = off) as
  select id from (select s.id, row_number() over (partition by s.guid order by o.id is not null, s.id) as k from s_same_guid s
      left join s_out o on o.id = s.id) x where k > 1
  union select id from s_note where kind = 'entry' and code = 'guid_taken';
create unique index on s_loser(id);
analyze s_loser;
analyze s_out;
"""

    async def plan_files(self) -> None:
        """Which files and links are new, which are there already, which clash."""
        await self._connection.execute(self._FILES)

    # s_one: a row per replica that stays; the first (available before suspect) of those on one element is kept.
    _COPIES = """
insert into s_rout select r.id, coalesce(o.verdict, 2), 'entry_not_imported', false from s_replica r join s_out o on o.id = r.entry
   on conflict do nothing;
create unlogged table s_one with (autovacuum_enabled = off) as
  select r.id, r.entry, h.element, row_number() over (partition by r.entry, h.element order by r.state, r.id) as k
    from s_replica r join s_host h on r.host = h.host and r.sfn_host = h.sfn_host
   where h.verdict = 0 and not exists (select from s_rout o where o.id = r.id);
insert into s_rout select r.id, h.verdict, h.code, true from s_replica r join s_host h on r.host = h.host and r.sfn_host = h.sfn_host
   where h.verdict > 0 on conflict do nothing;
insert into s_rout select id, 1, 'merged', false from s_one where k > 1;
analyze s_one;
analyze s_rout;
"""

    async def plan_replicas(self) -> None:
        """One replica per file and element."""
        await self._connection.execute(self._COPIES)
