"""Writes to a disk that end early, leftovers, and files that clients write by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import posix_tree
from storage_plugins.chunks import BATCH
from storage_plugins.errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Unavailable
from storage_plugins.posix import PosixElement
from storage_plugins.testing_tools import get, names, put, stopping
from tests.storage_plugins.conftest import opened

if TYPE_CHECKING:
    from pathlib import Path


# ── writes that end early ────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_renameat2_nothing_is_overwritten_either(
    element: PosixElement, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_tree, "_libc", object())
    await put(element, "a", b"one")
    ready, go_on = asyncio.Event(), asyncio.Event()
    slow = asyncio.create_task(element.write("b", stopping(ready, go_on)))
    await ready.wait()
    await put(element, "b", b"two")
    go_on.set()
    with pytest.raises(ObjectExists):
        await slow
    with pytest.raises(ObjectExists):
        await element.rename("a", "b")
    await element.rename("a", "c")
    assert (await get(element, "b"), await get(element, "c")) == (b"two", b"one")
    assert await names(element, "") == ["b", "c"]
    assert os.listdir(root / ".lading-staging") == []


async def test_a_folder_pruned_under_a_writer_is_made_again(
    element: PosixElement, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, pruned = posix_tree.move, 0

    def pruning(*arguments: Any, **options: Any) -> None:
        nonlocal pruned
        if pruned < 3:
            pruned += 1
            os.rmdir(root / "a/b")
            os.rmdir(root / "a")
        move(*arguments, **options)

    monkeypatch.setattr(posix_tree, "move", pruning)
    await put(element, "a/b/c", b"x")
    assert pruned == 3
    assert await get(element, "a/b/c") == b"x"


async def test_leftovers_are_told_and_cleaned_by_age(element: PosixElement, root: Path) -> None:
    for name, age in (("old", 7200), ("young", 60)):
        path = root / ".lading-staging" / name
        path.write_bytes(b"12345")
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    told = {entry.pfn: entry.size async for entry in element.scan_staging()}
    assert told == {".lading-staging/old": 5, ".lading-staging/young": 5}
    assert await element.clean_staging(3600 * 10**6) == 1
    assert os.listdir(root / ".lading-staging") == ["young"]
    assert await names(element, "") == []


async def test_a_cleaner_too_eager_costs_the_write_and_no_more(element: PosixElement) -> None:
    ready, go_on = asyncio.Event(), asyncio.Event()
    slow = asyncio.create_task(element.write("b", stopping(ready, go_on)))
    await ready.wait()
    assert await element.clean_staging(0) == 1
    go_on.set()
    with pytest.raises(StorageError):
        await slow
    assert await names(element, "") == []
    await put(element, "b", b"x")


async def test_no_descriptor_and_no_leftover_stays(tmp_path: Path, root: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    element = opened(root)
    await element.probe(prepare=True)
    await put(element, "a/b", bytes(3 * BATCH))
    for turn in range(20):
        half = asyncio.Event()
        writing = asyncio.create_task(element.write(f"x/{turn}", stopping(half, asyncio.Event())))
        reading = asyncio.create_task(get(element, "a/b"))
        await half.wait()
        if turn % 2:
            await asyncio.sleep(0.002)
        writing.cancel()
        reading.cancel()
        await asyncio.gather(writing, reading, return_exceptions=True)
        with contextlib.suppress(StorageError):
            await put(element, "a/b/c", b"x")
        async for _ in element.scan(""):
            break
        await element.checksum("a/b", ["adler32"])
    await element.aclose()
    await element.aclose()
    for _ in range(100):  # the scans left early are closed by the event loop's own hook
        await asyncio.sleep(0.01)
        if len(os.listdir("/proc/self/fd")) <= len(before):
            break
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert os.listdir(root / ".lading-staging") == []
    with pytest.raises(Unavailable, match="closed"):
        await element.stat("a/b")


# ── uploads by clients on the same disk ──────────────────────────────────────────────────────────────────────────────


async def test_a_client_writes_by_itself(element: PosixElement, root: Path) -> None:
    url = await element.local_upload("ab-1")
    assert url == f"file://{root}/.lading-staging/direct-ab-1"
    path = root / ".lading-staging/direct-ab-1"
    with pytest.raises(ObjectNotFound):
        await element.finish_local_upload("ab-1", "a/b", size=None)
    path.write_bytes(b"bytes")
    md5 = "4b3a6218bb3e3a7303e8a171a60fcf92"
    for size, checksums in ((6, {}), (5, {"md5": "0" * 32})):
        with pytest.raises(StorageError) as raised:
            await element.finish_local_upload("ab-1", "a/b", size=size, checksums=checksums)
        assert raised.value.code == "checksum_mismatch"
    assert await names(element, "") == []
    info = await element.finish_local_upload("ab-1", "a/b", size=5, checksums={"md5": md5.upper()}, kinds=["adler32"])
    assert info.checksums == {"md5": md5, "adler32": "066c0228"}
    assert await get(element, "a/b") == b"bytes"
    assert not path.exists()
    path.write_bytes(b"again")
    with pytest.raises(ObjectExists):
        await element.finish_local_upload("ab-1", "a/b", size=5)
    await element.abort_local_upload("ab-1")
    await element.abort_local_upload("ab-1")
    assert not path.exists()
    for upload in ("../../x", "", "x" * 65):
        with pytest.raises(InvalidPath):
            await element.local_upload(upload)


async def test_an_upload_must_be_a_file_of_its_own(element: PosixElement, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    await element.local_upload("a")
    path = root / ".lading-staging/direct-a"
    for make in (path.symlink_to, path.hardlink_to):
        make(tmp_path / "secret")
        with pytest.raises(InvalidPath):
            await element.finish_local_upload("a", "stolen", size=None)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidPath):
        await asyncio.wait_for(element.finish_local_upload("a", "stolen", size=None), 10)
    assert await names(element, "") == []


async def test_uploads_of_clients_can_be_forbidden(root: Path) -> None:
    element = opened(root, direct=False)
    await element.probe(prepare=True)
    assert await element.local_upload("a") is None
    assert element.url_base is None
    await element.aclose()
