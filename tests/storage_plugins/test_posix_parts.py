"""Objects of a disk that are written in parts: who else may be at it, and what a crash leaves."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import zlib
from typing import TYPE_CHECKING

import pytest

from storage_plugins.chunks import chunked
from storage_plugins.errors import ChecksumMismatch, InvalidPath, ObjectNotFound, Transient, Unsupported
from storage_plugins.testing_tools import get

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage_plugins.posix import PosixElement
    from storage_plugins.powers import Part

SIZE = 1000
DATA = b"1" * SIZE + b"22"


async def _begun(element: PosixElement) -> tuple[str, list[Part]]:
    upload = await element.start_parts("x", part_size=SIZE)
    pieces = (DATA[:SIZE], DATA[SIZE:])
    return upload, [await element.write_part("x", upload, n, chunked(p), size=len(p)) for n, p in enumerate(pieces, 1)]


async def test_nothing_is_shown_that_another_still_writes(element: PosixElement) -> None:
    """Who was taken for dead and is not must not write into what everybody sees."""
    upload, parts = await _begun(element)
    ready, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield DATA[: SIZE // 2]
        ready.set()
        await go_on.wait()
        yield DATA[SIZE // 2 : SIZE]

    late = asyncio.create_task(element.write_part("x", upload, 1, slow(), size=SIZE))
    await ready.wait()
    with pytest.raises(Transient):
        await element.finish_parts("x", upload, parts)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    sums = {"adler32": f"{zlib.adler32(DATA):08x}"}
    assert (await element.finish_parts("x", upload, parts, checksums=sums)).size == len(DATA)
    assert await get(element, "x") == DATA


async def test_what_a_crash_lost_is_noticed(element: PosixElement, root: Path) -> None:
    upload, parts = await _begun(element)
    [file] = [p for p in (root / ".lading-staging").iterdir() if p.suffix != ".list"]
    file.write_bytes(bytes(SIZE) + DATA[SIZE:])  # as a power cut leaves it: the length is there
    with pytest.raises(ChecksumMismatch):
        await element.finish_parts("x", upload, parts, checksums={"md5": "0" * 32})
    with pytest.raises(ChecksumMismatch):
        await element.finish_parts("x", upload, parts, checksums={"adler32": f"{zlib.adler32(DATA):08x}"})
    file.with_name(file.name + ".list").write_bytes(b"1 1000\n2 ")
    assert [p.number for p in await element.parts("x", upload)] == [1]
    file.write_bytes(b"")
    with pytest.raises(Transient):
        await element.finish_parts("x", upload, parts)
    await element.abort_parts("x", upload)
    assert os.listdir(root / ".lading-staging") == []


async def test_a_part_given_up_midway_leaves_no_lock(element: PosixElement) -> None:
    upload, parts = await _begun(element)
    for _ in range(20):
        writing = asyncio.create_task(element.write_part("x", upload, 1, chunked(DATA[:SIZE]), size=SIZE))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await element.parts("x", upload)  # behind those in the threads' queue
    while True:
        try:
            assert (await element.finish_parts("x", upload, parts)).size == len(DATA)
            return
        except Transient:  # a thread is at the last one still
            await asyncio.sleep(0)


async def test_file_systems_without_locks(element: PosixElement, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(Unsupported):
        await element.start_parts("x", part_size=SIZE)
    assert os.listdir(root / ".lading-staging") == []


async def test_wrong_upload_ids(element: PosixElement) -> None:
    for upload in ("", "../x.1", f"parts-{'0' * 32}.0", f"parts-{'0' * 32}"):
        with pytest.raises(InvalidPath):
            await element.parts("x", upload)
    unknown = f"parts-{'0' * 32}.10"
    with pytest.raises(ObjectNotFound):
        await element.write_part("x", unknown, 1, chunked(b"1"), size=1)
    for number, size in ((0, 1), (1, 11)):
        with pytest.raises(ValueError, match="10 bytes"):
            await element.write_part("x", unknown, number, chunked(b"1"), size=size)
