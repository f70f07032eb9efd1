"""Renaming a directory with everything below it, and moving it to where other rights are: microseconds a sub-directory."""

from __future__ import annotations

import time

from catalog.namespace.store import path_range
from lading.model.api import Move, Moves

from .report import Figure, limit
from .timing import REPEATS
from .world import World, done

_RAW = """update dir set path = $2 || substr(path, length($1) + 1) where path = $1 or (path > $3 and path < $4)"""


async def measure(world: World) -> list[Figure]:
    connection = await world.database()
    below = await connection.fetchval(
        "select count(*) from dir where path > $1 and path < $2", *path_range("/bench/prod")
    )
    names: dict[str, list[float]] = {"/bench/prods": [], "/bench/archive/prod": []}
    raw = []
    async with world.client() as client:

        async def move(source: str, target: str) -> float:
            begun = time.perf_counter()
            await client.bulk("/v1/move", Moves([Move(source, target)]), done)
            return time.perf_counter() - begun

        for _ in range(REPEATS):
            for target, seconds in names.items():
                seconds.append(await move("/bench/prod", target))
                seconds.append(await move(target, "/bench/prod"))
            for old, new in (("/bench/prod", "/bench/prods"), ("/bench/prods", "/bench/prod")):
                begun = time.perf_counter()
                await connection.execute(_RAW, old, new, *path_range(old))
                raw.append(time.perf_counter() - begun)
            await connection.execute("vacuum dir")
    await connection.close()
    limits = [min(times) / below * 1e6 for times in (*names.values(), raw)]
    whole = min(names["/bench/prods"])
    return [
        limit(f"rename a directory of {below:,}", "us a sub-directory", limits[0], 20, limits[2]),
        limit("move it to where other rights are", "us a sub-directory", limits[1], 20, limits[2]),
        limit("rename it", "s", whole, 0.2 * below / 10_210 if below > 10_210 else 0.2),
    ]
