"""What is measured of a plug-in, in a process of its own: `python -m bench.storage.mover`, its orders as JSON on stdin.

Each line out is JSON: {"seconds": of the work alone, opening included, "memory": bytes resident at most}.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.timing import memory
from lading.wire import _Buffers
from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.chunks import CheckedChunks, chunked
from storage_plugins.errors import ObjectNotFound


class Orders(msgspec.Struct):
    """`work`: prepare (what `lading se add` does) · put (the local file `path` to `pfn`) · get (`pfn`, its bytes hashed and dropped) · many (all files in the
    folder `path`, `at_once` at a time, below `pfn`)."""

    type: str
    options: dict[str, Any]
    work: str
    pfn: str
    path: str = ""
    at_once: int = 1


async def chunks(path: Path) -> AsyncIterator[memoryview]:
    """Its bytes, in memory that is used again: fresh pages would be measured, not the plug-in."""
    buffers = _Buffers()
    with path.open("rb") as file:
        while True:
            piece = buffers.free()
            if not (count := await asyncio.to_thread(file.readinto, piece)):
                return
            yield piece[:count]


def read(path: str) -> bytes:
    """A small file, in the fewest calls: they are not what is measured."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


async def put(element: Element, orders: Orders) -> None:
    path = Path(orders.path)
    checked = CheckedChunks(chunks(path), ["adler32"], size=path.stat().st_size)
    await element.write(orders.pfn, aiter(checked), size=path.stat().st_size, overwrite=True)
    assert checked.checksums["adler32"]


async def get(element: Element, orders: Orders) -> None:
    info = await element.stat(orders.pfn)
    checked = CheckedChunks(element.read(orders.pfn), ["adler32"], size=info.size)
    async for _ in checked:
        pass
    assert checked.checksums["adler32"]


async def many(element: Element, orders: Orders) -> None:
    names = iter(sorted(os.listdir(orders.path)))

    async def one() -> None:
        for name in names:
            data = read(f"{orders.path}/{name}")
            checked = CheckedChunks(chunked(data), ["adler32"], size=len(data))
            await element.write(f"{orders.pfn}/{name}", aiter(checked), size=len(data))

    await asyncio.gather(*(one() for _ in range(orders.at_once)))


async def prepare(element: Element, orders: Orders) -> None:
    report = await element.probe(prepare=True, write=orders.type != "http")
    assert report.ok, report.error


async def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    work = {"prepare": prepare, "put": put, "get": get, "many": many}[orders.work]
    element = registry.open(orders.type, orders.options, name="bench")
    if orders.work == "put":
        with suppress(ObjectNotFound):
            await element.remove(orders.pfn)
        await element.aclose()
        element = registry.open(orders.type, orders.options, name="bench")
    begun = time.perf_counter()
    try:
        await work(element, orders)
        seconds = time.perf_counter() - begun
    finally:
        await element.aclose()
    print(msgspec.json.encode({"seconds": seconds, "memory": memory(os.getpid())}).decode())


if __name__ == "__main__":
    uvloop.run(main())
