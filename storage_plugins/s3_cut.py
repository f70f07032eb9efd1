"""Streams cut into the parts of a multipart upload, and the sums that S3 makes of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

from .chunks import batches, hashing_pool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence

    from .base import Chunk

MOST_PARTS = 10_000
_LARGEST_PART = 5 << 30  # bytes, as Amazon has it
_ROUND = 1 << 20
_GROWTH = 1000  # parts, after which those of an object of unknown size are doubled
_PIECE = 1 << 18  # bytes that are sent at once
_HASHED_HERE = 1 << 15  # bytes not worth a trip to another thread


async def in_parts(
    chunks: AsyncIterable[Chunk], part_size: int, size: int | None
) -> AsyncGenerator[tuple[list[Chunk], bool], None]:
    """`chunks` as parts, and whether each is the last. There is always one. They are as large as it takes for `size` in
    10,000 parts; of an unknown size they grow, to the same end."""
    if size is not None:
        part_size = max(part_size, -(-size // (MOST_PARTS * _ROUND)) * _ROUND)
    part: list[Chunk] = []
    room, number = part_size, 1
    async for batch in batches(chunks, _PIECE):
        rest: Chunk = batch[0] if len(batch) == 1 else b"".join(batch)
        while len(rest) > room:
            view = memoryview(rest)
            part.append(view[:room])
            rest = view[room:]
            yield part, False
            if size is None and number % _GROWTH == 0:
                part_size = min(part_size * 2, _LARGEST_PART)
            part, room, number = [], part_size, number + 1
        part.append(rest)
        room -= len(rest)
    yield part, True


def etag_of_parts(digests: Sequence[bytes | None]) -> str | None:
    """The ETag of an object of parts with these MD5 sums, None when one is not known."""
    known = [digest for digest in digests if digest is not None]
    if len(known) < len(digests):
        return None
    return f"{hashlib.md5(b''.join(known), usedforsecurity=False).hexdigest()}-{len(known)}"


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


async def md5(chunks: Sequence[Chunk]) -> bytes:
    def digest() -> bytes:
        running = hashlib.md5(usedforsecurity=False)
        for chunk in chunks:
            running.update(chunk)
        return running.digest()

    if sum(map(len, chunks)) <= _HASHED_HERE:
        return digest()
    return await asyncio.get_running_loop().run_in_executor(hashing_pool(), digest)
