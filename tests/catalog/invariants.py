"""What is true of the catalogue's tables after every transaction, whoever wrote: checked after every test that has a world."""

from __future__ import annotations

from typing import Any

import asyncpg

_USAGE = """
with counted as (
  select f.dir_id, s as se_id, count(*)::bigint as n, sum(coalesce(f.size, 0)) as b
    from file f cross join lateral unnest(f.se || 0) s where f.kind = 0 group by 1, 2),
kept as (select dir_id, se_id, nfiles as n, bytes as b from dir_usage where nfiles <> 0 or bytes <> 0)
select coalesce(c.dir_id, k.dir_id) as dir_id, coalesce(c.se_id, k.se_id) as se_id, c.n, c.b, k.n as kept_n, k.b as kept_b
  from counted c full join kept k using (dir_id, se_id) where (c.n, c.b) is distinct from (k.n, k.b)"""

_PATHS = """
select f.id, f.name, d.path, p.path as parent from file f left join dir d on d.id = f.id left join dir p on p.id = f.dir_id
 where f.kind = 1 and f.id > 2 and d.path is distinct from
   case when p.id = 2 then 'T/' || f.id::text when p.path = '/' then '/' || f.name else p.path || '/' || f.name end"""
_STRAY_DIRS = "select d.id, d.path from dir d left join file f on f.id = d.id and f.kind = 1 where f.id is null"
_STRAY_FILES = (
    "select f.id, f.name from file f left join dir d on d.id = f.dir_id where d.id is null and f.id not in (1, 2)"
)

# Rights: a directory's access row says what its entry says, and stands on the access row of the directory above (or is it,
# where both say the same). What lies in the trash is worked out again when it comes back.
_RIGHTS = """
select d.path, f.owner_id, f.group_id, f.mode, coalesce(f.acl_id, 0) as acl_id, a.owner_id, a.group_id, a.mode, a.acl_id
  from dir d join file f on f.id = d.id join access a on a.id = d.access_id
 where (f.owner_id, f.group_id, f.mode, coalesce(f.acl_id, 0)) is distinct from (a.owner_id, a.group_id, a.mode, a.acl_id)"""
_CHAINS = """
select d.path, a.id, a.parent_id, p.access_id as above from dir d join file f on f.id = d.id
  join access a on a.id = d.access_id join dir p on p.id = f.dir_id join access b on b.id = p.access_id
 where d.path like '/_%' and a.id <> p.access_id and a.parent_id <> p.access_id"""
_MERGED = """
select d.path from dir d join file f on f.id = d.id join access a on a.id = d.access_id
  join dir p on p.id = f.dir_id join access b on b.id = p.access_id
 where d.path like '/_%' and a.id <> b.id
   and (a.owner_id, a.group_id, a.mode, a.acl_id) = (b.owner_id, b.group_id, b.mode, b.acl_id)"""

# What lies in the trash is worked out again when it comes back.
_INHERITANCE = """
select d.path, d.eff, p.eff as above, f.meta from dir d join file f on f.id = d.id left join dir p on p.id = f.dir_id
 where d.path like '/%' and d.eff <> coalesce(p.eff, '{}') || coalesce(f.meta, '{}')"""
_VALUES = """
select f.id, f.name, f.meta from file f where jsonb_typeof(f.meta) <> 'object' or f.meta = '{}'
    or exists(select from jsonb_each(f.meta) e where e.value = 'null')"""

_ARRAYS = """
select id, name from file where cardinality(se) <> (select count(distinct s) from unnest(se) s)
   or (rstate is not null and cardinality(rstate) <> cardinality(se))
   or (pfn is not null and exists(select from jsonb_object_keys(pfn) k where k::int <> all(se)))
   or (kind <> 0 and cardinality(se) > 0)"""
_TRASH = """
select coalesce(t.entry_id, f.id) as id, t.path, f.name from trash t full join (select * from file where dir_id = 2) f on f.id = t.entry_id
 where t.entry_id is null or f.id is null or f.name <> f.id::text"""
_INFO = """
select i.file_id, i.se_id from replica_info i left join file f on f.id = i.file_id and i.se_id = any(f.se) where f.id is null"""
_EDGES = "select e.* from edge e where not exists(select from file where id = child) or not exists(select from file where id = parent)"

# Data sets: where members of lists and frozen files are is known, and what a snapshot protects is not in the trash, but by force.
_MEMBERS = """
select m.* from dataset_member m left join file f on f.id = m.file_id and f.kind = 0 where f.dir_id is distinct from m.dir_id"""
_FROZEN = """
select p.snapshot_id, f.id from snapshot_part p, unnest(p.file_ids) x(id) join file f on f.id = x.id
 where f.dir_id <> p.dir_id and not exists(select from snapshot_moved m where m.file_id = f.id and m.dir_id = p.dir_id)"""
_MOVED = "select m.* from snapshot_moved m join file f on f.id = m.file_id where f.dir_id <> m.at_dir"
_PROTECTED = """
select s.id, x.id as file_id from snapshot s join snapshot_part p on p.snapshot_id = s.id cross join lateral unnest(p.file_ids) x(id)
  left join file f on f.id = x.id left join dir d on d.id = f.dir_id
 where s.released is null and (d.path is null or d.path not like '/%')
   and not exists(select from snapshot_broken b where b.snapshot_id = s.id and b.file_id = x.id)"""

RULES = {
    "usage counters equal a recount": _USAGE,
    "a directory's path is its parent's and its name": _PATHS,
    "a row of dir has an entry": _STRAY_DIRS,
    "an entry has a directory": _STRAY_FILES,
    "a directory's access row says what its entry says": _RIGHTS,
    "access rows follow the tree": _CHAINS,
    "equal neighbours share an access row": _MERGED,
    "what holds in a directory is its parent's and its own": _INHERITANCE,
    "own values are an object without nulls, or nothing": _VALUES,
    "replica columns agree": _ARRAYS,
    "the trash is what its table says": _TRASH,
    "notes belong to replicas": _INFO,
    "provenance joins files": _EDGES,
    "members of lists are where the list says": _MEMBERS,
    "frozen files are where they were, or noted as moved": _FROZEN,
    "moved files are where it is noted": _MOVED,
    "what a snapshot protects is there, or was forced": _PROTECTED,
}


async def broken(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """{rule: offending rows}; empty when all is well."""
    connection = await asyncpg.connect(dsn)
    try:
        found = {rule: await connection.fetch(statement) for rule, statement in RULES.items()}
    finally:
        await connection.close()
    return {rule: [tuple(r.items()) for r in rows[:5]] for rule, rows in found.items() if rows}


async def dump(dsn: str) -> dict[str, list[str]]:
    """Every row of every table, as text: two dumps are equal when nothing changed. Interned rights say nothing by themselves."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        return {
            name: sorted(r[0] for r in await connection.fetch(f"select t::text from {name} t"))
            for (name,) in names
            if name not in ("acl", "access")
        }
    finally:
        await connection.close()
