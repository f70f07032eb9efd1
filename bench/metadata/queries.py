"""Queries of 10,000 of all files, decoded by a client, beside SQL that is written by hand for the same answer.

The SQL is what a database's own administrator would write: on the same tables and by the same indexes, the values known
to the statement, nothing but the LFN fetched, in any order. It knows no language and no rights; the campaigns that the
asker may not read are left out by their paths, so that both find the same files.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from lading.model.search import Find
from metadata.index_store import expression

from ..client import requests, wires
from ..report import Figure
from ..world import World
from .turns import turns
from .world import CLOSED, EVENTS


class Line(Struct):
    lfn: str


lines = msgspec.json.Decoder(Line)
WIDE, NARROW = (200_000, 200_000 + EVENTS // 25 - 1), (100_000, 100_000 + EVENTS // 450 - 1)
THREE = {"campaign": "c03", "stream": "t2", "release": "r1"}
_LFN = "select d.path || '/' || f.name from dir d join file f on f.dir_id = d.id where f.kind = 0"
_EVENTS = f"f.meta ? 'events' and ({expression('events', 'int', 'f.meta')}) between $1 and $2"
_DIRECTORIES = f"""{_LFN} and d.eff <> '{{}}' and d.eff @> '{{"campaign": "c03", "stream": "t2", "release": "r1"}}'"""
_RANGE = f"{_LFN} and {_EVENTS} and d.path < '/bench/c{CLOSED}'"
_BOTH = f"""{_LFN} and d.eff <> '{{}}' and d.eff @> '{{"campaign": "c03"}}' and {_EVENTS}"""

QUERIES: list[tuple[str, str, str, tuple[int, int] | None]] = [
    ("3 equalities on directory fields", " and ".join(f'{k} = "{v}"' for k, v in THREE.items()), _DIRECTORIES, None),
    ("range on an indexed file field", "events between {} and {}", _RANGE, NARROW),
    ("directory equality and file range", 'campaign = "c03" and events between {} and {}', _BOTH, WIDE),
]


async def measure(world: World) -> list[Figure]:
    made = []
    connection = await world.database()
    async with wires(world.host.url, 1) as (wire,):
        for name, query, sql, bounds in QUERIES:
            given: tuple[Any, ...] = tuple(Decimal(b) for b in bounds or ())
            asked = [Find(query.format(*bounds or ()))]
            (request,) = requests(world.host.url, "/v1/find", world.token, asked, "application/x-ndjson")

            async def ours(request: bytes = request) -> int:
                return len(lines.decode_lines(await wire.send(request)))

            async def raw(sql: str = sql, given: tuple[Any, ...] = given) -> int:
                return len(await connection.fetch(sql, *given))

            found = await raw()
            times = await turns(world, ours, raw)
            told = f"{name}: {found:,} of {world.files:,} files"
            made.append(
                Figure(told, "ms", times.ours * 1e3, times.raw * 1e3, times.ours / times.raw, 2, False, times.cpu)
            )
    await connection.close()
    return made
