"""What the tests of the conformance suite share."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from lading.model.checksum import Digest

from .base import Chunk, Element
from .chunks import BATCH, chunked

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator


async def put(element: Element, pfn: str, data: bytes, *, overwrite: bool = False) -> None:
    await element.write(pfn, chunked(data), size=len(data), overwrite=overwrite)


async def get(element: Element, pfn: str, start: int = 0, stop: int | None = None) -> bytes:
    async with aclosing(element.read(pfn, start, stop)) as chunks:
        return b"".join([bytes(chunk) async for chunk in chunks])


async def names(element: Element, prefix: str) -> list[str]:
    async with aclosing(element.scan(prefix)) as entries:
        return sorted([entry.pfn async for entry in entries])


def sums(data: bytes, *kinds: str) -> dict[str, str]:
    digest = Digest(kinds)
    digest.update(data)
    return digest.result()


class Broken(Exception):
    pass


async def broken(data: bytes) -> AsyncGenerator[Chunk, None]:
    yield data
    raise Broken


async def stopping(half: asyncio.Event, go_on: asyncio.Event) -> AsyncGenerator[Chunk, None]:
    """4 * BATCH zero bytes, with a stop on the way."""
    for _ in range(3):
        yield bytes(BATCH)
    half.set()
    await go_on.wait()
    yield bytes(BATCH)
