"""A file of 1 GiB put on a POSIX element and got back, against `cp`, a sync and one checksum pass over the same bytes.

Both ways count: straight to the element's folder, which this host sees, and through the server. lading syncs what it stores
and what it fetches, so the raw limit does too. The server's memory is its highest while the bytes went through it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from lading import Client
from lading.model.checksum import Digest

from .report import Figure, limit, rate
from .timing import REPEATS, Cpu, Pair, memory
from .world import World, element, scratch

SIZE = 1 << 30
_CHUNK = 4 << 20


async def measure(world: World) -> list[Figure]:
    folder = scratch(world.host.data)
    source = folder / "source"
    _noise(source)
    figures = []
    server = world.host.servers[0]
    try:
        async with Client(world.host.url, world.token) as client:
            for direct in (True, False):
                if not direct:
                    Path(f"/proc/{server}/clear_refs").write_text("5")  # the peak begins anew
                figures += await _way(world, client, folder, source, direct)
        figures.append(limit("server memory while 1 GiB goes through it", "MB", memory(server) / 1e6, 150))
    finally:
        shutil.rmtree(folder)
    return figures


async def _way(world: World, client: Client, folder: Path, source: Path, direct: bool) -> list[Figure]:
    put, get = Pair(), Pair()
    cpus = ["", ""]
    target = folder / "back"
    for repeat in range(REPEATS + 1):
        lfn = f"/bench/prod/bytes-{time.time_ns()}"
        meter = Cpu(server=world.host.servers)

        async def putting(lfn: str = lfn) -> None:
            await client.put(source, lfn, se=element(0), direct=direct)

        async def getting(lfn: str = lfn) -> None:
            await client.get(lfn, target, direct=direct)

        ours = await _timed(putting)
        cpus[0] = meter.per(SIZE >> 20)
        meter = Cpu(server=world.host.servers)
        back = await _timed(getting)
        cpus[1] = meter.per(SIZE >> 20)
        target.unlink()
        (await client.remove([lfn], keep=0))[0].get()
        raw = _raw(source, folder / "copy")
        if repeat:  # the first warms the page cache
            for pair, seconds in ((put, ours), (get, back)):
                pair.ours.append(SIZE / 1e6 / seconds)
                pair.raw.append(SIZE / 1e6 / raw)
    how = "straight to the element" if direct else "through the server"
    return [
        rate(f"put 1 GiB {how}", "MB/s", *put.best(), 0.7, cpus[0]),
        rate(f"get 1 GiB {how}", "MB/s", *get.best(), 0.7, cpus[1]),
    ]


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


def _raw(source: Path, copy: Path) -> float:
    """Seconds of `cp`, a sync of the copy, and one adler32 pass over it."""
    begun = time.perf_counter()
    subprocess.run(["cp", source, copy], check=True)
    with open(copy, "rb") as file:
        os.fsync(file.fileno())
        digest = Digest(("adler32",))
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
    seconds = time.perf_counter() - begun
    copy.unlink()
    return seconds


def _noise(path: Path) -> None:
    block = os.urandom(_CHUNK)
    with open(path, "wb") as file:
        for number in range(SIZE // _CHUNK):
            file.write(number.to_bytes(8, "big") + block[8:])
