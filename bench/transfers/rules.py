"""Rules: a look at all files of one, and what they cost whoever adds files.

The files are put into the tables as they would be after registering them. Raw limit of the look: reading the same rows,
in the same order, a thousand at a time, and nothing else.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from doors import app
from doors.config import Config
from lading.model.file import FileSpec, ReplicaSpec
from lading.model.request import Selection
from lading.model.rule import NewRule, Want

from ..cli import say
from ..report import Figure, limit, rate

if TYPE_CHECKING:
    from lading import Client

    from ..host import Host

_PER_DIRECTORY = 1000
_BATCH = 1000
_ADDED = 20_000
_MANY = 100  # rules about other directories


async def measure(host: Host, client: Client, files: int) -> list[Figure]:
    connection = await asyncpg.connect(host.dsn, server_settings={"jit": "off"})
    config = msgspec.structs.replace(Config(), database_url=host.dsn, data=host.data)
    services = app.wire(config)
    await services.database.open()
    try:
        await client.make_directories(["/bench/new"], parents=True)
        say(f"  {files:,} files ...")
        await _fill(connection, client, files)
        before = await _added(client, "none")
        say("  a look at all of them ...")
        rule = await client.rules.add(NewRule(Selection(under="/bench"), [Want(1, "disk0")]))
        pieces, begun = 0, time.perf_counter()
        while await services.keeper.step():
            pieces += 1
        seconds = time.perf_counter() - begun
        shown = await client.rules.show(rule.id)
        assert shown.counts.ok >= files, shown
        raw = await _read(connection)
        say(f"  {seconds:.1f} s in {pieces} pieces; adding files with {_MANY} more rules ...")
        for n in range(_MANY):
            await client.make_directories([f"/bench/other{n}"])
            await client.rules.add(NewRule(Selection(under=f"/bench/other{n}"), [Want(1, "disk1")]))
        while await services.keeper.step():
            pass
        after = await _added(client, "many")
        begun = time.perf_counter()
        kept = 0
        while await connection.fetchval("select exists(select from rule_file)"):
            await services.keeper.step()
            kept += 1
        each = (time.perf_counter() - begun) / _ADDED * 1e6
        return [
            limit(f"a rule's look at {files:,} files", "s", seconds * 1e6 / files, 60),
            rate("  files looked at", "files/s", files / seconds, raw, None),
            rate(f"register files, {_MANY + 1} rules beside none", "files/s", after, before, None),
            limit(f"  to look at an added file, {_MANY + 1} rules of which one is about it", "us", each, None),
        ]
    finally:
        await connection.close()
        await services.close()


async def _fill(connection: asyncpg.Connection[asyncpg.Record], client: Client, files: int) -> None:
    """`files` files with a copy on disk0, below /bench."""
    for number in range(files // _PER_DIRECTORY):
        if number % 1000 == 0:
            names = [f"/bench/d{n:06d}" for n in range(number, min(number + 1000, files // _PER_DIRECTORY))]
            await client.make_directories(names)
    first = await connection.fetchval("select id from element where name = 'disk0'")
    await connection.execute(
        "insert into file(dir_id, name, size, guid, ctime, mtime, owner_id, group_id, mode, se)"
        " select d.id, 'f' || n, 1000, gen_random_uuid(), 1, 1, 1, 1, 420, array[$1::int]"
        " from dir d, generate_series(1, $2::bigint) n where d.path like '/bench/d%'",
        first,
        _PER_DIRECTORY,
    )
    await connection.execute(
        "insert into dir_usage select d.id, s, $2::bigint, $2::bigint * 1000 from dir d, unnest(array[0, $1::int]) s"
        " where d.path like '/bench/d%' on conflict (dir_id, se_id) do update set nfiles = excluded.nfiles",
        first,
        _PER_DIRECTORY,
    )
    await connection.execute("vacuum analyze")


async def _added(client: Client, word: str) -> float:
    """Files registered a second, below the rule's directory."""
    begun = time.perf_counter()
    for start in range(0, _ADDED, _BATCH):
        specs = [
            FileSpec(
                f"/bench/new/{word}{n}",
                size=1000,
                checksums={"adler32": "00000001"},
                guid=str(uuid.uuid4()),
                replicas=[ReplicaSpec("disk0")],
            )
            for n in range(start, start + _BATCH)
        ]
        await client.register(specs)
    return _ADDED / (time.perf_counter() - begun)


async def _read(connection: asyncpg.Connection[asyncpg.Record]) -> float:
    begun, count, after = time.perf_counter(), 0, (0, "")
    while rows := await connection.fetch(
        "select f.dir_id, f.name, f.id, f.size, f.se, f.rstate, f.owner_id, f.mode from file f"
        " where (f.dir_id, f.name) > ($1, $2) order by f.dir_id, f.name limit 1000",
        *after,
    ):
        count += len(rows)
        after = rows[-1]["dir_id"], rows[-1]["name"]
    return count / (time.perf_counter() - begun)
