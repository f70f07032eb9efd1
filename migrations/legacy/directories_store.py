"""Writing directories: shaped level by level, because rights come from above, then added in chunks, parents first."""

from __future__ import annotations

from .stage_store import Connection


class DirectoriesStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # A row per directory to be made, its id taken beforehand. One that only the path rules ask for is like the one above it.
    # Where a directory of an earlier run was moved meanwhile, what is new goes where it is now.
    _SHAPES = """
create unlogged table if not exists s_shape with (fillfactor = 60, autovacuum_enabled = off) as
  select n.id, n.parent, n.depth, n.name, n.path as real, nextval(pg_get_serial_sequence('file', 'id')) as new_id, null::int as access_id,
      case when n.src is not null then coalesce(o.principal_id, 0) end as owner_id, coalesce(g.principal_id, 0) as group_id, e.mode,
      coalesce(a.acl_id, 0) as acl_id, case when l.id is null then e.guid end as guid, e.mtime, e.ctime, c.text as comment
    from s_node n left join s_entry e on e.id = n.src left join s_party o on o.kind = 'u' and o.id = e.owner
    left join s_party g on g.kind = 'g' and g.id = e.grp left join s_acl a on a.text = e.acl left join s_comment c on c.entry = e.id
    left join s_loser l on l.id = n.src
   where n.entry_id is null order by n.id;
create unique index if not exists s_shape_id on s_shape(id);
create index if not exists s_shape_depth on s_shape(depth);
analyze s_shape;
"""
    _MOVED = """select n.path, d.path as real from s_node n join dir d on d.id = n.entry_id
        where n.path <> '' and d.path <> n.path order by length(n.path)"""
    _MOVE = "update s_shape s set real = $2 || substr(n.path, length($1) + 1) from s_node n where n.id = s.id and starts_with(n.path, $1 || '/')"
    _LEVELS = "select distinct depth from s_shape order by 1"
    _ABOVE = """s_shape s join s_node p on p.id = s.parent left join s_shape q on q.id = p.id
        join access a on a.id = coalesce(p.access_id, q.access_id)"""
    _UNLIKE = "s.owner_id is not null and (s.owner_id, s.group_id, s.mode, s.acl_id) <> (a.owner_id, a.group_id, a.mode, a.acl_id)"
    _ACCESS = f"""
insert into access(parent_id, owner_id, group_id, mode, acl_id)
  select distinct a.id, s.owner_id, s.group_id, s.mode, s.acl_id from {_ABOVE} where s.depth = $1 and {_UNLIKE}
  on conflict on constraint access_key do nothing"""
    _SET_ACCESS = f"""
update s_shape t set access_id = x.id from (
    select s.id as shape, coalesce(y.id, a.id) as id from {_ABOVE} left join access y on {_UNLIKE}
        and (y.parent_id, y.owner_id, y.group_id, y.mode, y.acl_id) = (a.id, s.owner_id, s.group_id, s.mode, s.acl_id) where s.depth = $1) x
 where t.id = x.shape"""

    async def shape(self) -> tuple[int, int]:
        """How the missing directories will look, each level by the one above it; (their number, the number of the last)."""
        await self._connection.execute(self._SHAPES)
        for row in await self._connection.fetch(self._MOVED):
            await self._connection.execute(self._MOVE, row["path"], row["real"])
        for row in await self._connection.fetch(self._LEVELS):
            await self._connection.execute(self._ACCESS, row["depth"])
            await self._connection.execute(self._SET_ACCESS, row["depth"])
        count = await self._connection.fetchrow("select count(*) as n, coalesce(max(id), 0) as last from s_shape")
        assert count is not None
        return count["n"], count["last"]

    _FILES = """
insert into file(id, dir_id, name, kind, owner_id, group_id, mode, acl_id, guid, ctime, mtime, comment)
  select s.new_id, coalesce(p.entry_id, q.new_id), s.name, 1, a.owner_id, a.group_id, a.mode, nullif(a.acl_id, 0), s.guid,
      coalesce(s.ctime, 0) * 1000000, coalesce(s.mtime, 0) * 1000000, s.comment
    from s_shape s join s_node p on p.id = s.parent left join s_shape q on q.id = p.id join access a on a.id = s.access_id
   where s.id > $1 and s.id <= $2 order by s.id
  on conflict on constraint file_dir_name_key do nothing"""
    # Level by level: what holds in the directory above (as it is now) holds in the new one.
    _DEPTHS = "select distinct depth from s_shape where id > $1 and id <= $2 order by 1"
    _DIRS = """insert into dir(id, path, access_id, eff) select s.new_id, s.real, s.access_id, a.eff
          from s_shape s join s_node p on p.id = s.parent left join s_shape q on q.id = p.id
          join dir a on a.id = coalesce(p.entry_id, q.new_id) where s.id > $1 and s.id <= $2 and s.depth = $3 order by s.id
        on conflict (id) do nothing"""
    _TORN = """select exists(select from s_shape s join s_node p on p.id = s.parent left join s_shape q on q.id = p.id
        left join file f on f.id = s.new_id left join dir d on d.id = coalesce(p.entry_id, q.new_id)
        where s.id > $1 and s.id <= $2
          and (f.id is null or d.path is null or s.real <> case when d.path = '/' then '' else d.path end || '/' || s.name))"""

    async def make(self, after: int, last: int) -> bool:
        """Add these; parents come first. The caller holds the structure lock. Safe to repeat.

        False when meanwhile a name was taken or a parent moved: roll back.
        """
        await self._connection.execute(self._FILES, after, last)
        for row in await self._connection.fetch(self._DEPTHS, after, last):
            await self._connection.execute(self._DIRS, after, last, row["depth"])
        return not await self._connection.fetchval(self._TORN, after, last)

    _KNOW = """
insert into import_entry(source_id, legacy_id, entry_id, atime, original)
  select (select source_id from s_self), t.id, coalesce(n.entry_id, s.new_id), nullif(e.atime, 0) * 1000000,
      nullif(coalesce(o.original, '{}') || case when e.guid_raw is null then '{}'::jsonb else jsonb_build_object('guid', e.guid_raw) end, '{}')
    from s_target t join s_node n on n.id = t.node left join s_shape s on s.id = n.id join s_entry e on e.id = t.id
    left join s_original o on o.id = t.id
  on conflict do nothing"""

    async def know(self) -> None:
        """Every directory of the source as a legacy id. Safe to repeat."""
        await self._connection.execute(self._KNOW)
