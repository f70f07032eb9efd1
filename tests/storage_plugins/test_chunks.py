"""Streams on their way: checked while they pass, put together into large pieces."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from lading.model import checksum
from storage_plugins.chunks import BATCH, CheckedChunks, batches, chunked
from storage_plugins.errors import ChecksumMismatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from storage_plugins.base import Chunk


async def test_what_goes_through_is_told() -> None:
    data = bytes(range(256)) * 20_000
    checked = CheckedChunks(chunked(data, 60_000), ["sha256", "md5"], size=len(data))
    assert b"".join([bytes(chunk) async for chunk in checked]) == data
    assert checked.size == len(data)
    assert checked.checksums == {"sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data).hexdigest()}


async def test_large_streams_are_hashed_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()
    update = checksum.Digest.update

    def noting(self: checksum.Digest, data: Chunk) -> None:
        threads.add(threading.current_thread().name)
        update(self, data)

    monkeypatch.setattr(checksum.Digest, "update", noting)
    async for _ in CheckedChunks(chunked(bytes(4 * BATCH)), ["md5"]):
        pass
    assert threads
    assert all(name.startswith("lading-hash") for name in threads)


async def test_too_many_bytes_are_noticed_at_once() -> None:
    async def endless() -> AsyncGenerator[Chunk, None]:
        while True:
            yield b"x" * 100

    checked = CheckedChunks(endless(), size=1000, pfn="p")
    passing = aiter(checked)
    assert [bytes(await anext(passing)) for _ in range(10)] == [b"x" * 100] * 10
    with pytest.raises(ChecksumMismatch, match="size is 1100 or more, not 1000") as raised:
        await anext(passing)
    assert (raised.value.pfn, raised.value.expected, raised.value.actual) == (
        "p",
        {"size": "1000"},
        {"size": "1100 or more"},
    )


async def test_small_pieces_become_large_ones() -> None:
    pieces = [batch async for batch in batches(chunked(bytes(1000), 7), 100)]
    assert [sum(len(chunk) for chunk in batch) for batch in pieces] == [105] * 9 + [55]
    assert [batch async for batch in batches(chunked(b""), 100)] == []
