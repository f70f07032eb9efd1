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
from contextlib import suppress
from pathlib import Path

from lading import Client
from lading.model.checksum import Digest
from lading.model.errors import NotFound

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
    meter = Cpu()
    lfn = "/bench/prod/bytes"

    async def putting() -> float:
        nonlocal meter
        await _forget(client, lfn)
        meter = Cpu(server=world.host.servers)
        begun = time.perf_counter()
        await client.put(source, lfn, se=element(0), direct=direct)
        return time.perf_counter() - begun

    async def getting() -> float:
        nonlocal meter
        target.unlink(missing_ok=True)
        meter = Cpu(server=world.host.servers)
        begun = time.perf_counter()
        await client.get(lfn, target, direct=direct)
        return time.perf_counter() - begun

    async def copying() -> float:
        return _raw(source, folder / "copy")

    for _ in range(REPEATS):
        ours = await _again(putting)
        cpus[0] = meter.per(SIZE >> 20)
        back = await _again(getting)
        cpus[1] = meter.per(SIZE >> 20)
        raw = await _again(copying)
        for pair, seconds in ((put, ours), (get, back)):
            pair.ours.append(SIZE / 1e6 / seconds)
            pair.raw.append(SIZE / 1e6 / raw)
    await _forget(client, lfn)
    how = "straight to the element" if direct else "through the server"
    return [
        rate(f"put 1 GiB {how}", "MB/s", *put.best(), 0.7, cpus[0]),
        rate(f"get 1 GiB {how}", "MB/s", *get.best(), 0.7, cpus[1]),
    ]


async def _again(work: Callable[[], Awaitable[float]]) -> float:
    """Its seconds when it runs right after itself.

    A virtual machine gives memory that is free back to its host, and gets it again at 0.3 to 1 GB/s, page by page, at the
    cost of whoever touches it first. What runs right after itself gets what its forerunner has just let go of.
    """
    await work()
    return await work()


async def _forget(client: Client, lfn: str) -> None:
    with suppress(NotFound):
        (await client.remove([lfn], keep=0))[0].get()


def _raw(source: Path, copy: Path) -> float:
    """Seconds of `cp`, a sync of the copy, and one adler32 pass over it."""
    copy.unlink(missing_ok=True)
    begun = time.perf_counter()
    subprocess.run(["cp", source, copy], check=True)
    with open(copy, "rb") as file:
        os.fsync(file.fileno())
        digest = Digest(("adler32",))
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return time.perf_counter() - begun


def _noise(path: Path) -> None:
    block = os.urandom(_CHUNK)
    with open(path, "wb") as file:
        for number in range(SIZE // _CHUNK):
            file.write(number.to_bytes(8, "big") + block[8:])
