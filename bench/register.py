"""Registration of 1,000 files with two replicas a call, against COPY of the same rows, 1,000 a call, each durable."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator

from lading.model.api import Register
from lading.model.file import FileSpec
from lading.model.guid import new_guids

from .client import Wire, granted, requests, wires
from .report import Figure, rate
from .timing import REPEATS, Cpu, Pair, drive
from .world import ELEMENTS, World, directory, registered, spec

Row = tuple[object, ...]
CALLS = 24
_serial = itertools.count(time.time_ns() // 10_000 % 10**10)  # no run on a kept catalogue meets the names of another

# The same columns and the same three unique indexes as `file`, holding the same rows.
_RAW = """drop schema if exists bench_raw cascade; create schema bench_raw;
create table bench_raw.file (like file including defaults including identity including storage including constraints);
insert into bench_raw.file select * from file;
alter table bench_raw.file add primary key (id), add constraint raw_dir_name_key unique (dir_id, name);
create unique index raw_guid_key on bench_raw.file(guid) where guid is not null;
select setval(pg_get_serial_sequence('bench_raw.file', 'id'), (select max(id) from file));"""
_COLUMNS = (
    "dir_id",
    "name",
    "size",
    "guid",
    "adler32",
    "se",
    "owner_id",
    "group_id",
    "mode",
    "acl_id",
    "ctime",
    "mtime",
)


async def measure(world: World) -> list[Figure]:
    connection = await world.database()
    await connection.execute(_RAW)
    await connection.execute("vacuum (analyze) bench_raw.file")
    await connection.execute("checkpoint")
    figures = []
    for wide, targets in ((10, (0.30, 0.45)), (1000, (0.23, 0.27))):
        for connections, target in zip((1, 4), targets, strict=True):
            figures.append(await _one(world, wide, connections, target))
    await connection.execute("drop schema bench_raw cascade")
    await connection.close()
    return figures


async def _one(world: World, wide: int, connections: int, target: float) -> Figure:
    rates, cpu = Pair(), ""
    rng = random.Random(wide * 10 + connections)
    raw = [await world.database() for _ in range(connections)]
    async with wires(world.host.url, connections) as opened:

        def registering(wire: Wire) -> Callable[[bytes], Awaitable[None]]:
            async def register(request: bytes) -> None:
                granted(registered.decode(await wire.send(request)))

            return register

        def copier(number: int) -> Callable[[list[Row]], Awaitable[None]]:
            async def copy(rows: list[Row]) -> None:
                await raw[number].copy_records_to_table("file", schema_name="bench_raw", records=rows, columns=_COLUMNS)

            return copy

        registers, copiers = [registering(w) for w in opened], [copier(n) for n in range(connections)]
        for repeat in range(REPEATS + 1):  # the first warms connections and statements, and is not counted
            calls = CALLS if repeat else 4
            bodies = [Register(list(_files(world, wide, rng))) for _ in range(calls)]
            calling = requests(world.host.url, "/v1/files/register", world.token, bodies)
            rows = [list(_rows(world, wide, rng)) for _ in range(calls)]
            meter = Cpu(server=world.host.servers, postgres=world.host.postgres)
            seconds = await drive(registers, calling)
            if repeat:
                rates.ours.append(calls * 1000 / seconds)
                cpu = meter.per(calls * 1000)
            seconds = await drive(copiers, rows)
            if repeat:
                rates.raw.append(calls * 1000 / seconds)
    for connection in raw:
        await connection.close()
    label = (
        f"register 1,000 x 2 replicas, {wide:,} directories a call, {connections} connection{'s'[: connections - 1]}"
    )
    return rate(label, "files/s", *rates.best(), target, cpu)


def _files(world: World, wide: int, rng: random.Random) -> Iterator[FileSpec]:
    for d in _where(world, wide, rng):
        yield spec(f"{directory(d)}/{_fresh(d)}")


def _rows(world: World, wide: int, rng: random.Random) -> Iterator[Row]:
    assert world.dirs is not None
    at = time.time_ns() // 1000
    for d, guid in zip(_where(world, wide, rng), new_guids(1000), strict=True):
        adler, se = rng.getrandbits(31), rng.sample(range(1, ELEMENTS + 1), 2)
        yield world.dirs[d], _fresh(d), rng.getrandbits(32), guid, adler, se, 101, 102, 0o664, 1, at, at


def _fresh(d: int) -> str:
    """37 characters, never the same again."""
    return f"reg_26_13TeV.{d:08d}.{next(_serial) % 10**10:010d}.root"


def _where(world: World, wide: int, rng: random.Random) -> list[int]:
    """The directories of 1,000 files: `wide` different ones, drawn from all."""
    chosen = rng.sample(range(world.directories), wide)
    return [d for d in chosen for _ in range(1000 // wide)]
