"""Bytes on disk of everything in the catalogue, indexes and audit included, by the number of files."""

from __future__ import annotations

from .report import Figure, limit
from .world import World

_SIZE = """select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')"""


async def measure(world: World) -> list[Figure]:
    connection = await world.database()
    await connection.execute("vacuum")
    await connection.execute("checkpoint")
    size = await connection.fetchval(_SIZE)
    files = await connection.fetchval("select sum(nfiles) from dir_usage where se_id = 0")
    parts = await connection.fetch(
        """select relname, pg_relation_size(oid) / $1::float as bytes from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'i') order by 2 desc limit 8""",
        int(files),
    )
    await connection.close()
    told = ", ".join(f"{p['relname']} {p['bytes']:.0f}" for p in parts if p["bytes"] >= 1)
    figure = limit("disk, tables and indexes", "bytes a file", float(size) / float(files), 400)
    figure.cpu = told
    return [figure]
