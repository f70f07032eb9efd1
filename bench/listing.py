"""A directory of 100,000 entries with all columns, streamed over HTTP and decoded, against a raw fetch of the columns."""

from __future__ import annotations

import gc
import time

import msgspec

from catalog.namespace.store import COLUMNS
from lading.model.file import Entry

from .report import Figure, rate
from .timing import REPEATS, Cpu, Pair
from .world import FLAT, World

_FETCH = f"select {COLUMNS} from file f where f.dir_id = $1 order by f.name"
_decoder = msgspec.json.Decoder(Entry)


async def measure(world: World) -> list[Figure]:
    rates, cpu = Pair(), ""
    connection = await world.database()
    flat = await connection.fetchval("select id from dir where path = '/bench/flat'")
    async with world.client() as client:
        for repeat in range(REPEATS + 1):
            meter = Cpu(server=world.host.servers, postgres=world.host.postgres)
            begun = time.perf_counter()
            count = await client.lines("/v1/list?lfn=/bench/flat", _decoder)
            seconds = time.perf_counter() - begun
            assert count == FLAT, count
            if repeat:
                rates.ours.append(count / seconds)
                cpu = meter.per(count)
            gc.collect()
            gc.disable()
            begun = time.perf_counter()
            rows = await connection.fetch(_FETCH, flat)
            seconds = time.perf_counter() - begun
            gc.enable()
            assert len(rows) == FLAT
            del rows
            if repeat:
                rates.raw.append(FLAT / seconds)
    await connection.close()
    return [rate("list 100,000 entries, all columns", "entries/s", *rates.best(), 0.6, cpu)]
