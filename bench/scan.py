"""An element held against the catalogue, by a dump of it, against `sort` and `comm` on the same two lists.

For the time of the figure every file has one more copy, on an element of its own. Ten objects of the dump are dark and ten
replicas are lost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from catalog.db import Connection
from lading import Client
from lading.model.element import ElementSpec
from lading.model.scan import DumpScan, ScanSummary

from .report import Figure, limit
from .timing import Cpu, memory
from .world import World, scratch

_NAME = "SE-scan"
_WRONG = 10
_PFN = "right(guid::text, 2) || '/' || substr(guid::text, 33, 2) || '/' || guid::text"
_DUMP = f"""select {_PFN}, size, lpad(to_hex(adler32), 8, '0') from file where kind = 0 offset {_WRONG}"""
_LIST = f"select {_PFN}, size, lpad(to_hex(adler32), 8, '0') from file where $1 = any(se)"
_COMPARE = "sort catalogue > a && sort dump > b && test $(comm -3 a b | wc -l) = $1"


async def measure(world: World) -> list[Figure]:
    folder = scratch(world.host.data) / "scan"
    folder.mkdir()
    connection = await world.database()
    async with Client(world.host.url, world.host.admin) as client:
        await client.elements.add(ElementSpec(_NAME, "posix", {"path": str(folder / "element")}))
        number = await connection.fetchval("select id from element where name = $1", _NAME)
        try:
            await _fill(connection, number)
            count = await _dump(connection, folder / "dump")
            server = world.host.servers[0]
            Path(f"/proc/{server}/clear_refs").write_text("5")  # the peak begins anew
            meter = Cpu(server=world.host.servers, postgres=world.host.postgres)
            resident, begun = memory(server, "VmRSS"), time.perf_counter()
            summary = await _scan(client, folder / "dump")
            seconds, grown = time.perf_counter() - begun, memory(server) - resident
            cpu = meter.per(count)
            assert (summary.lost, summary.dark, summary.mismatch) == (_WRONG, _WRONG, 0), summary
            assert summary.same == count - _WRONG, summary
            raw = await _raw(connection, number, folder)
        finally:
            await _empty(connection, number)
            await client.elements.remove(_NAME)
            await connection.close()
            shutil.rmtree(folder)
    name = f"scan a dump of {count:,} entries"
    return [
        Figure(name, "entries/s", count / seconds, count / raw, count / seconds, 100_000, cpu=cpu),
        limit("server memory grows meanwhile by", "MB", grown / 1e6, 150),
    ]


async def _fill(connection: Connection, number: int) -> None:
    """A copy of every file on the element, past every service; and statistics, as a catalogue in use has them."""
    await connection.execute("update file set se = se || $1::int where kind = 0", number)
    await connection.execute(
        "insert into dir_usage(dir_id, se_id, nfiles, bytes) select dir_id, $1, nfiles, bytes from dir_usage where se_id = 0",
        number,
    )
    await connection.execute("vacuum (analyze)")
    await connection.execute("checkpoint")


async def _empty(connection: Connection, number: int) -> None:
    await connection.execute("update file set se = array_remove(se, $1::int) where $1 = any(se)", number)
    await connection.execute("delete from dir_usage where se_id = $1", number)
    await connection.execute("vacuum (analyze)")


async def _dump(connection: Connection, path: Path) -> int:
    """Write the dump, in the order of the files' rows, which is none of PFNs; the number of its entries."""
    told = await connection.copy_from_query(_DUMP, output=path)
    with open(path, "a") as dump:
        dump.writelines(f"dark/{n}\t1\t00000001\n" for n in range(_WRONG))
    return int(told.split()[-1]) + _WRONG


async def _scan(client: Client, path: Path) -> ScanSummary:
    async def pieces() -> AsyncIterator[bytes]:
        with open(path, "rb") as dump:
            while piece := await asyncio.to_thread(dump.read, 1 << 20):
                yield piece

    order = DumpScan(grace=0, recorded=time.time_ns() // 1000)
    lines = [line async for line in client.elements.scan_dump(_NAME, pieces(), order)]
    assert isinstance(lines[-1], ScanSummary)
    return lines[-1]


async def _raw(connection: Connection, number: int, folder: Path) -> float:
    begun = time.perf_counter()
    await connection.copy_from_query(_LIST, number, output=folder / "catalogue")
    command = ["sh", "-c", _COMPARE.replace("$1", str(2 * _WRONG))]
    await asyncio.to_thread(subprocess.run, command, cwd=folder, check=True, env={**os.environ, "LC_ALL": "C"})
    return time.perf_counter() - begun
