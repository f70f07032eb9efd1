"""Many described files quickly: rows as the services would write them."""

from __future__ import annotations

from tests.catalog.world import World

_DIRS = """with n as (select i, nextval(pg_get_serial_sequence('file', 'id')) as id from generate_series(1, $1::int) i),
    top as (select d.id, d.access_id from dir d where d.path = '/vo'),
    f as (insert into file(id, dir_id, name, kind, owner_id, group_id, mode, ctime, mtime, meta)
        select n.id, top.id, 'd' || lpad(n.i::text, 6, '0'), 1, 1, 2, 493, 1, 1,
            jsonb_build_object('site', 's' || n.i % 50, 'subject', n.i) from n, top)
    insert into dir(id, path, access_id, eff)
        select n.id, '/vo/d' || lpad(n.i::text, 6, '0'), top.access_id, jsonb_build_object('site', 's' || n.i % 50, 'subject', n.i) from n, top"""
_FILES = """insert into file(dir_id, name, size, guid, owner_id, group_id, mode, ctime, mtime, meta)
    select d.id, 'f' || lpad(i::text, 5, '0'), 10, gen_random_uuid(), 1, 2, 420, 1, 1,
        jsonb_build_object('run', (d.id * 7919 + i * 31) % 10007, 'tag', 't' || i % 20) from dir d, generate_series(1, $1::int) i where d.path like '/vo/d%' order by d.path, i"""
_USAGE = "insert into dir_usage(dir_id, se_id, nfiles, bytes) select f.dir_id, 0, count(*), sum(size) from file f where kind = 0 group by 1"


async def fill(world: World, directories: int, files: int) -> None:
    """`directories` below /vo, each with `site` (50 of them) and `subject`, each with `files` that have `run` and `tag`."""
    await world.vo("vo")
    await world.declare(site="string", subject="int", run="int", tag="string")
    await world.sql(_DIRS, directories)
    await world.sql(_FILES, files)
    await world.sql(_USAGE)
    await world.sql("update field set on_dirs = name in ('site', 'subject'), on_files = name in ('run', 'tag')")
    await world.sql("update field_epoch set epoch = epoch + 1")
    world.services.known_fields.forget()
    await world.sql("analyze")


async def index(world: World, name: str) -> None:
    """Build a field's indexes and wait for them."""
    await world.services.fields.set_index(world.admin, "vo", name, on=True)
    while (await world.services.fields.show(world.admin, "vo", name)).index_state.value != "ready":
        pass
