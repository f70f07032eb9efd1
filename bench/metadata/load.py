"""The millions of files: straight into the tables, as the program itself would have left them.

Each campaign's first file was registered through the API. Owner, group, mode and ACL of the others are that file's;
names, sizes, GUIDs, replicas and values are their own. Usage is counted in the same statement. Then the indexed field is
switched on, through the API again.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from lading.model.field import Field, IndexState
from lading.model.metadata import FieldIndex

from ..client import Client
from ..world import ELEMENTS, PER_DIRECTORY, World, element
from .world import CAMPAIGNS, EVENTS, leaves

# $1 path of the example's directory, $2 its name; $3, $4 ids and numbers of directories; $5 ids of elements; $6 files a
# directory; $7 milliseconds, for GUIDs in order of time as the server makes them. A hash of the number makes every value.
_FILES = f"""with one as (select f.owner_id, f.group_id, f.mode, f.acl_id, f.ctime from file f
        where f.dir_id = (select id from dir where path = $1) and f.name = $2),
    t as (select u.id as dir_id, u.number, n, u.number::bigint * $6 + n as k from unnest($3::bigint[], $4::int[]) u(id, number)
        cross join generate_series(0, $6::int - 1) n order by u.number, n),
    h as (select t.*, (hashint8extended(k, 1) & 2147483647) as a, (hashint8extended(k, 2) & 2147483647) as b,
        md5(k::text) as m from t),
    ins as (insert into file(dir_id, name, size, guid, adler32, se, owner_id, group_id, mode, acl_id, ctime, mtime, meta)
        select dir_id, 'mc26_13TeV.' || lpad(number::text, 8, '0') || '.evgen.' || lpad(n::text, 6, '0') || '.root', 1000000 + a,
            (lpad(to_hex($7::bigint + k / 1000), 12, '0') || '7' || substr(m, 1, 3) || '8' || substr(m, 4, 15))::uuid,
            a::int, array[($5::int[])[1 + a % {ELEMENTS}], ($5::int[])[1 + (a % {ELEMENTS} + 1 + b % {ELEMENTS - 1}) % {ELEMENTS}]],
            one.owner_id, one.group_id, one.mode, one.acl_id, one.ctime, one.ctime,
            jsonb_build_object('events', a % {EVENTS}, 'luminosity', ((b % 10000) / 10.0)::numeric(8, 1), 'checked', b % 10 < 7,
                'taken', 1767225600000000 + (b % 31536000) * 1000000, 'tag', 'tag' || lpad((b % 20)::text, 2, '0'))
        from h, one order by number, n returning dir_id, size, se)
    insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
        select dir_id, x, count(*), sum(size) from (select dir_id, size, unnest(se || 0) as x from ins) z group by 1, 2 order by 1, 2
        on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes"""
_COUNT = "select count(*) from file where kind = 0 and dir_id in (select id from dir where path ~ '^/bench/c')"


async def load(world: World, files: int) -> float:
    """Bring the campaigns to so many files. Files per second; 0 when they were there.

    Raises RuntimeError for a folder with another world in it.
    """
    connection = await world.database()
    try:
        there = await connection.fetchval(_COUNT) - CAMPAIGNS
        if there == files:
            world.files = files
            return 0.0
        if there:
            raise RuntimeError(f"{world.host.data} holds {there:,} files: choose another folder, or remove it")
        dirs = leaves(files)
        ids = {r["path"]: r["id"] for r in await connection.fetch("select id, path from dir where path ~ '^/bench/c'")}
        known = {r["name"]: r["id"] for r in await connection.fetch("select id, name from element")}
        places = [known[element(n)] for n in range(ELEMENTS)]
        begun, each = time.perf_counter(), len(dirs) // CAMPAIGNS
        async with connection.transaction():  # all or nothing: a load that was killed begins again
            for c in range(CAMPAIGNS):
                some = dirs[c * each : (c + 1) * each]
                example = await connection.fetchval("select name from file where dir_id = $1", ids[some[0]])
                numbers = list(range(c * each, (c + 1) * each))
                now = time.time_ns() // 1_000_000
                where = [ids[path] for path in some]
                await connection.execute(_FILES, some[0], example, where, numbers, places, PER_DIRECTORY, now)
        seconds = time.perf_counter() - begun
        await connection.execute("vacuum (analyze)")
        await _index(world, "events")
        await connection.execute("vacuum (analyze) file")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
    world.files = files
    return files / seconds


async def _index(world: World, name: str) -> None:
    async with Client(world.host.url, world.host.admin) as admin:
        await admin.call("POST", f"/v1/fields/bench/{name}/index", FieldIndex(on=True))
        while True:
            field = msgspec.json.decode(await admin.call("GET", f"/v1/fields/bench/{name}"), type=Field)
            if field.index_state is IndexState.READY:
                return
            if field.index_state is IndexState.FAILED:
                raise RuntimeError(field.index_error)
            await asyncio.sleep(0.2)


async def warm(world: World) -> None:
    """Read all tables and indexes once, so that no figure waits for the disk. What is asked for most comes last."""
    connection = await world.database()
    for table in ("file", "dir_usage", "dir"):
        await connection.fetchval(f"select count(*) from {table} t where t::text is null")
    await connection.close()
