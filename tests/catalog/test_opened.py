"""What stands around an element that is in use: retries, its limit, counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from lading.model.element import ElementChange, ElementSpec
from storage_plugins import registry
from storage_plugins.base import Chunk, ObjectInfo
from storage_plugins.errors import Denied, Transient
from storage_plugins.memory import MemoryElement, MemoryOptions

from .test_elements import put
from .world import World


class Weak(MemoryElement):
    """Storage that fails for a moment, and knows how many read at once."""

    faults = 0
    reading = most = 0

    async def stat(self, pfn: str) -> ObjectInfo:
        if pfn == "closed":
            raise Denied("not for you", pfn=pfn)
        if Weak.faults:
            Weak.faults -= 1
            raise Transient("the storage hiccups", pfn=pfn)
        return await super().stat(pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        Weak.reading += 1
        Weak.most = max(Weak.most, Weak.reading)
        async with aclosing(super().read(pfn, start, stop)) as chunks:
            await asyncio.sleep(0.02)
            async for chunk in chunks:
                yield chunk
        Weak.reading -= 1


def weak(config: MemoryOptions, *, name: str) -> Weak:
    return Weak(config, name=name)


@pytest.fixture
async def element(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    plugin = registry.Plugin("weak", "hiccups", MemoryOptions, "tests.catalog.test_opened:weak")
    known = registry.find
    monkeypatch.setattr(registry, "find", lambda type: plugin if type == "weak" else known(type))
    Weak.faults = Weak.reading = 0
    await world.services.elements.add(world.admin, ElementSpec("w", "weak", {"store": str(world.folder)}))
    assert await put(world, "/vo/f", "w", b"0123456789") == "ok"
    return "w"


async def _read(world: World) -> bytes:
    reading = await world.services.data.open(world.admin, "/vo/f")
    return b"".join([bytes(chunk) async for chunk in reading.chunks(0, reading.size)])


async def test_a_hiccup_of_the_storage_is_no_fault_for_the_reader(world: World, element: str) -> None:
    Weak.faults = 2
    assert await _read(world) == b"0123456789"
    counts = world.services.elements.counts()
    stat, read = counts[element, "stat"], counts[element, "read"]
    assert (stat.done, stat.errors) == (3, {"transient": 2})
    assert (read.done, read.bytes, read.errors) == (1, 10, {})


async def test_a_limit_holds_and_can_be_changed(world: World, element: str) -> None:
    for limit in (2, 1):
        await world.services.elements.change(world.admin, element, ElementChange(max_connections=limit))
        Weak.most = 0
        await asyncio.gather(*(_read(world) for _ in range(8)))
        assert Weak.most == limit


async def test_a_limited_element_is_not_read_past_its_limit(world: World) -> None:
    """Files that the server could open itself go by way of the limit too."""
    await world.elements("one", max_connections=1)
    assert await put(world, "/vo/g", "one", b"content") == "ok"
    reading = await world.services.data.open(world.admin, "/vo/g")
    assert reading.local is None
    assert b"".join([bytes(chunk) async for chunk in reading.chunks(0, reading.size)]) == b"content"


async def test_what_is_no_hiccup_is_not_tried_again(world: World, element: str) -> None:
    await world.services.elements.load()
    storage = await world.services.elements.storage(world.services.elements.named(element))
    with pytest.raises(Denied):
        await storage.stat("closed")
    assert world.services.elements.counts()[element, "stat"].done == 1
