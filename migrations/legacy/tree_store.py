"""The source's own tree, before any decision: paths from the root, what hangs in the air, what stands twice.

Every step is set-based and adds rows to `s_note`. Afterwards `s_dir` has a row per directory, with its path if it can be
reached ('' is the root's) and its depth.
"""

from __future__ import annotations

from .rows import BadSource
from .stage_store import Connection

# The walk ends on its own: from the root down nothing is met twice, each row having one parent. Paths longer than this are
# not followed further: they are damage, and would grow with the square of their depth.
_LONGEST = 65536


class TreeStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    _DIRS = """
create unlogged table s_tree with (autovacuum_enabled = off) as select id, parent, name from s_entry where kind = 1;
create index on s_tree(parent);
analyze s_tree;
create unlogged table s_root with (autovacuum_enabled = off) as select id from s_tree where parent = 0 order by name <> '/', id limit 1;
"""
    # `offset 0`: a look into the index for each directory. The planner, who can't know how few a level has, would read all
    # of s_tree for each of seventy levels.
    _WALK = f"""
create unlogged table s_dir with (autovacuum_enabled = off) as
  with recursive w(id, path, depth) as (
    select id, ''::text collate "C", 0 from s_root
    union all
    select t.id, w.path || '/' || t.name, w.depth + 1
      from w cross join lateral (select id, name from s_tree where parent = w.id and id <> w.id offset 0) t
     where octet_length(w.path) < {_LONGEST})
  select e.id, e.parent, e.name, w.path collate "C" as path, w.depth from s_entry e left join w using (id) where e.kind = 1;
create unique index on s_dir(id);
create index on s_dir(parent);
create index on s_dir using hash (path);
analyze s_dir;
drop table s_tree;
"""
    _UNREACHED = """
create unlogged table s_unreached with (autovacuum_enabled = off) as
  select e.id, e.parent, e.kind from s_entry e left join s_dir d on d.id = case when e.kind = 1 then e.id else e.parent end
   where d.path is null;
create unique index on s_unreached(id);
analyze s_unreached;
insert into s_note(kind, id, code, value)
  select 'entry', u.id, case
      when u.parent is null then 'null_parent'
      when u.parent = u.id then 'self_parent'
      when u.parent = 0 then 'second_root'
      when p.id is null then case when u.kind = 1 then 'dangling_parent_dir' else 'dangling_parent_file' end
      when p.kind <> 1 then 'parent_is_file'
      when up.id is null then 'path_too_long'
      else 'below_unreachable' end, u.parent::text
    from s_unreached u left join s_entry p on p.id = u.parent left join s_unreached up on up.id = u.parent
   where u.id not in (select id from s_root);
create unlogged table s_cycle with (autovacuum_enabled = off) as
  select u.id, u.parent from s_unreached u join s_note n on n.id = u.id and n.kind = 'entry' and n.code = 'below_unreachable'
   where u.kind = 1;
create index on s_cycle(parent);
create unique index on s_cycle(id);
with recursive hanging as (
    select c.id from s_cycle c where not exists (select from s_cycle p where p.id = c.parent)
    union all select c.id from hanging h join s_cycle c on c.parent = h.id)
  delete from s_cycle where id in (select id from hanging);
"""
    _PEEL = "delete from s_cycle c where not exists (select from s_cycle k where k.parent = c.id)"
    _CYCLES = """update s_note n set code = 'parent_cycle' from s_cycle c
        where n.kind = 'entry' and n.id = c.id and n.code = 'below_unreachable'"""

    async def walk(self) -> None:
        """Paths and depths of everything the root leads to, and the reason for the rest. Raises BadSource without a root."""
        await self._connection.execute(self._DIRS)
        if await self._connection.fetchval("select id from s_root") is None:
            raise BadSource(
                "no directory has parent 0: the root is missing, so nothing can be reached. Take the dump again"
            )
        await self._connection.execute(self._WALK)
        await self._connection.execute(self._UNREACHED)
        # What is left lies on cycles or below them; taking away the ends leaves the cycles.
        while await self._connection.execute(self._PEEL) != "DELETE 0":
            pass
        await self._connection.execute(self._CYCLES)

    _ENTRIES = (
        ("owners and groups", """
insert into s_note(kind, id, code, value) select 'entry', id, 'owner_uid_missing', owner::text from s_entry e
 where owner <> 0 and not exists (select from s_user u where u.id = e.owner);
insert into s_note(kind, id, code, value) select 'entry', id, 'gid_missing', grp::text from s_entry e
 where grp <> 0 and not exists (select from s_group g where g.id = e.grp);
"""),
        # Grouped by hashes first: the names themselves would fill the memory.
        ("siblings", """
create unlogged table s_alike with (autovacuum_enabled = off) as
  select e.id, e.parent, e.name, e.kind from s_entry e
    join (select parent, hashtext(lower(name collate "C")) as h from s_entry group by 1, 2 having count(*) > 1) g
      on g.parent = e.parent and g.h = hashtext(lower(e.name collate "C"));
insert into s_note(kind, id, code, value)
  select 'entry', id, 'name_case_siblings', name from
    (select id, name, count(*) over w as n, min(name) over w as a, max(name) over w as z from s_alike
      window w as (partition by parent, lower(name collate "C"))) x where n > 1 and a <> z;
insert into s_note(kind, id, code, value)
  select 'entry', id, 'name_collision', name from
    (select id, name, row_number() over (partition by parent, name order by kind <> 1, id) as k from s_alike) x where k > 1;
create unlogged table s_nfc with (autovacuum_enabled = off) as
  select id from (select id, count(*) over (partition by parent, normalize(name, nfc)) as n, count(*) over (partition by parent, name) as same
    from s_entry where octet_length(name) <> length(name)) x where n > same;
insert into s_note(kind, id, code, value) select 'entry', id, 'name_nfc_siblings', name from s_nfc join s_entry using (id);
delete from s_note where kind = 'entry' and code = 'name_utf8_in_latin1' and id in (select id from s_nfc);
"""),
        ("GUIDs", """
create unlogged table s_same_guid with (autovacuum_enabled = off) as
  select id, guid, count(*) over (partition by guid) as n, guid_raw from s_entry
   where guid in (select guid from s_entry where guid is not null group by guid having count(*) > 1);
insert into s_note(kind, id, code, value)
  select 'entry', s.id, case when d.spellings < s.n then 'dup_guid_exact' else 'dup_guid_case' end, coalesce(s.guid_raw, s.guid::text)
    from s_same_guid s join (select guid, count(distinct coalesce(guid_raw, guid::text)) as spellings from s_same_guid group by 1) d using (guid);
"""),
        ("directories", """
create unlogged table s_children with (autovacuum_enabled = off) as select parent as id, count(*) as n from s_entry group by 1;
analyze s_children;
insert into s_note(kind, id, code, value)
  select 'entry', e.id, 'nlink_wrong', e.claimed || ', entries ' || coalesce(c.n, 0) from s_entry e left join s_children c using (id)
   where e.kind = 1 and e.claimed <> coalesce(c.n, 0);
insert into s_note(kind, id, code)
  select 'entry', d.id, 'empty_dir' from s_dir d left join s_children c using (id) where d.path is not null and c.n is null;
insert into s_note(kind, id, code, value)
  select 'entry', e.id, 'deep_path', (d.depth + 1)::text from s_dir d join s_entry e on e.parent = d.id where e.kind <> 1 and d.depth >= 64;
insert into s_note(kind, id, code, value)
  select 'entry', e.id, 'path_over_1023', (octet_length(d.path) + 1 + octet_length(e.name))::text from s_dir d
    join s_entry e on e.parent = d.id
   where octet_length(d.path) > 1023 - 256 and e.kind <> 1 and octet_length(d.path) + 1 + octet_length(e.name) > 1023;
"""),
        ("links and comments", """
insert into s_note(kind, id, code) select 'entry', e.id, 'symlink_missing_row' from s_entry e
 where e.kind = 2 and not exists (select from s_link l where l.entry = e.id);
insert into s_note(kind, id, code, value) select 'link', l.entry, 'orphan_symlink_row', l.target from s_link l
 where not exists (select from s_entry e where e.id = l.entry and e.kind = 2);
insert into s_note(kind, id, code, value) select 'comment', c.entry, 'orphan_comment', c.text from s_comment c
 where not exists (select from s_entry e where e.id = c.entry);
create unlogged table s_hop with (autovacuum_enabled = off) as
  select e.id, case when l.target like '/%' then l.target else d.path || '/' || l.target end as at
    from s_link l join s_entry e on e.id = l.entry and e.kind = 2 join s_dir d on d.id = e.parent where d.path is not null;
update s_hop set at = regexp_replace(regexp_replace(at, '/+', '/', 'g'), '(.)/$', '\\1');
"""),
    )  # fmt: skip
    # One step for all links together: found ones leave the table, links go on to their target, the rest is broken.
    _HOP = """
with h as (select s.id, s.at, substr(s.at, 1, length(s.at) - position('/' in reverse(s.at))) as parent,
        right(s.at, position('/' in reverse(s.at)) - 1) as name from s_hop s),
 f as (select h.id, h.at, x.kind, x.target, (h.at = '/' or exists (select from s_dir d where d.path = h.at)) as directory
    from h left join lateral (select e.kind, l.target from s_dir d join s_entry e on e.parent = d.id and e.name = h.name
        left join s_link l on l.entry = e.id and e.kind = 2 where d.path = h.parent limit 1) x on true),
 broken as (insert into s_note(kind, id, code, value) select 'entry', f.id, 'symlink_broken', l.target from f join s_link l on l.entry = f.id
    where not directory and (f.kind is null or (f.kind = 2 and f.target is null)) returning id),
 over as (delete from s_hop s using f where s.id = f.id and (directory or f.kind is distinct from 2 or f.target is null) returning s.id)
update s_hop s set at = case when f.target like '/%' then f.target else substr(s.at, 1, length(s.at) - position('/' in reverse(s.at))) || '/' || f.target end
  from f where f.id = s.id and not directory and f.kind = 2 and f.target is not null"""
    _LOOPS = """insert into s_note(kind, id, code, value) select 'entry', s.id, 'symlink_loop', l.target from s_hop s join s_link l on l.entry = s.id"""

    async def judge_entries(self) -> None:
        """Everything that a look at many entries together shows."""
        for _name, sql in self._ENTRIES:
            await self._connection.execute(sql)
        await self._connection.execute("create index if not exists s_entry_parent on s_entry(parent); analyze s_hop")
        for _ in range(16):
            if not await self._connection.fetchval("select exists(select from s_hop)"):
                break
            await self._connection.execute(self._HOP)
        await self._connection.execute(self._LOOPS)
