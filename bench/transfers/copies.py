"""Bytes: a worker copies between two POSIX elements, from the order to the last verified copy; beside cp and rclone."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from lading import Client
from lading.model.request import NewRequest, RequestKind, Selection
from tests.servers import program

from ..bytes import _noise as noise
from ..cli import say
from ..host import Host
from ..report import Figure, limit, rate
from ..timing import Pair, memory, tree

_LARGE = 1 << 30
_SMALL = 100_000  # bytes
_AT_ONCE = 16  # as a worker has it
_CHECK = "python3 -c 'import sys, zlib; s = 1\nwhile b := sys.stdin.buffer.read(1 << 20): s = zlib.adler32(b, s)'"


async def measure(host: Host, count: int, repeats: int = 2) -> list[Figure]:
    folder = host.data / "copies"
    folder.mkdir()
    large, small = Pair(), Pair()
    async with Client(host.url, host.admin) as client:
        source = folder / "source"
        noise(source)
        await client.put(source, "/bench/large", se="disk0", checksums=["adler32"])
        many = folder / "many"
        many.mkdir()
        for n in range(count):
            (many / f"{n:05}").write_bytes(os.urandom(_SMALL))
        say("  putting small files ...")
        pairs = [(str(many / f"{n:05}"), f"/bench/many/{n:05}") for n in range(count)]
        async for outcome in client.put_many(pairs, se="disk0", parallel=8):
            assert outcome.error is None, outcome.error
        for turn in range(1, repeats + 1):
            say(f"  copying, turn {turn} ...")
            large.ours.append(_LARGE / 1e6 / await _copied(client, Selection(lfns=["/bench/large"]), f"disk{turn}"))
            raw = folder / "raw"
            large.raw.append(_LARGE / 1e6 / await _run(f"cp {source} {raw} && sync {raw} && {_CHECK} < {raw}"))
            raw.unlink()
            small.ours.append(count / await _copied(client, Selection(under="/bench/many"), f"disk{turn}"))
            rclone = (
                f"{program('rclone')} copy --transfers {_AT_ONCE} --checkers {_AT_ONCE} {many} {folder}/theirs{turn}"
            )
            small.raw.append(count / await _run(rclone))
    worker = max(memory(pid) for pid in tree(host.process.pid) if b"doors.child\0work" in _command(pid))
    return [
        rate("copy 1 GiB between two disks, cp, sync, checksum", "MB/s", *large.best(), 0.7),
        rate(f"copy {count:,} files of 100 kB, rclone", "files/s", *small.best(), 1.0),
        limit("worker's memory", "MB", worker / 1e6, 200),
    ]


async def _copied(client: Client, selection: Selection, to: str) -> float:
    begun = time.perf_counter()
    made = await client.requests.submit(NewRequest(RequestKind.REPLICATE, selection, to))
    while (info := await client.requests.show(made.id)).finished is None:
        await asyncio.sleep(0.05)
    assert not info.failed, info
    return time.perf_counter() - begun


async def _run(command: str) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise SystemExit(command)
    return time.perf_counter() - begun


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
