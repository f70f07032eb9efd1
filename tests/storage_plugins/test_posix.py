"""What only a disk can do to an element: links, lost mounts, no room, odd files, leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import posix_tree
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Transient, Unavailable
from storage_plugins.posix import PosixElement
from storage_plugins.testing_tools import get, names, put
from tests.storage_plugins.conftest import opened

if TYPE_CHECKING:
    from pathlib import Path


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_link_leads_out(element: PosixElement, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "folder").symlink_to(outside)
    (root / "object").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "none")
    (root / "inside").mkdir()
    (root / "loop").symlink_to(root / "loop")
    (root / "good").write_bytes(b"good")
    for pfn in ("folder/secret", "object", "dangling", "loop", "loop/x"):
        for call in (element.stat(pfn), get(element, pfn), element.remove(pfn), element.checksum(pfn, ["md5"])):
            with pytest.raises(InvalidPath):
                await call
        for other in (element.local_path(pfn), element.open_local(pfn), element.rename(pfn, "stolen")):
            with pytest.raises(InvalidPath):
                await other
    for pfn in ("folder/new", "loop/new"):
        with pytest.raises(InvalidPath):
            await put(element, pfn, b"x", overwrite=True)
        with pytest.raises(InvalidPath):
            await element.rename("good", pfn)
    for pfn in ("object", "dangling"):
        with pytest.raises(ObjectExists):
            await put(element, pfn, b"x")
        with pytest.raises(ObjectExists):
            await element.rename("good", pfn)
    await put(element, "object", b"mine", overwrite=True)  # the link itself is replaced, not what it points to
    assert await get(element, "object") == b"mine"
    assert await names(element, "") == ["good", "object"]
    with pytest.raises(InvalidPath):
        await names(element, "folder/")
    assert {p.name: p.read_bytes() for p in outside.iterdir()} == {"secret": b"secret"}


async def test_a_folder_swapped_for_a_link_meanwhile(element: PosixElement, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"secret")
    (root / "link").symlink_to(outside)
    (root / "folder").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                os.rename(root / "folder", root / "aside")
                os.rename(root / "link", root / "folder")
                os.rename(root / "folder", root / "link")
                os.rename(root / "aside", root / "folder")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        refused = 0
        for turn in range(300):
            for call in (
                put(element, f"folder/{turn}", b"x"),
                get(element, "folder/victim"),
                element.remove("folder/victim"),
            ):
                try:
                    assert await call is None, "something of outside was read"
                except StorageError:
                    refused += 1
        assert refused
    finally:
        over.set()
        swapper.join()
    assert {p.name: p.read_bytes() for p in outside.iterdir()} == {"victim": b"secret"}


async def test_an_object_swapped_for_a_link_meanwhile(
    element: PosixElement, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    await put(element, "object", b"x")
    look = posix_tree._object

    def swapping(info: os.stat_result, pfn: str) -> os.stat_result:
        (root / "object").unlink()
        (root / "object").symlink_to(tmp_path / "secret")
        return look(info, pfn)

    monkeypatch.setattr(posix_tree, "_object", swapping)  # between the look and the opening
    with pytest.raises(InvalidPath):
        await get(element, "object")


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    element = opened(tmp_path / "link")
    assert (await element.probe(prepare=True)).ok
    await put(element, "a/b", b"x")
    assert (tmp_path / "disk/a/b").read_bytes() == b"x"
    await element.aclose()


# ── the disk away, full, read-only ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lost", ["unmounted", "gone", "a file"])
async def test_a_lost_disk_is_no_lost_file(element: PosixElement, root: Path, lost: str) -> None:
    await put(element, "there/object", b"x")
    root.rename(root.with_name("away"))
    if lost == "unmounted":
        root.mkdir()
    elif lost == "a file":
        root.write_bytes(b"")
    for call in (
        element.stat("there/object"),
        element.stat("there/none"),
        get(element, "there/object"),
        element.remove("there/object"),
        put(element, "new", b"x"),
        element.rename("there/object", "x"),
        element.copy_from(element, "there/object", "x"),
        names(element, ""),
        names(element, "none/"),
        element.local_path("there/object"),
        element.clean_staging(0),
    ):
        with pytest.raises(Unavailable):
            await call
    report = await element.probe()
    assert not report.ok
    assert "mounted" in (report.error or "")
    assert lost != "unmounted" or list(root.iterdir()) == [], "nothing was made in the bare mount point"
    if lost != "gone":
        (root.rmdir if lost == "unmounted" else root.unlink)()
    root.with_name("away").rename(root)
    assert await get(element, "there/object") == b"x"


async def test_without_a_marker_the_root_must_be_there_still(tmp_path: Path) -> None:
    element = opened(tmp_path / "root", marker=False)
    with pytest.raises(Unavailable):
        await element.stat("x")
    (tmp_path / "root").mkdir()
    with pytest.raises(ObjectNotFound):
        await element.stat("x")
    await put(element, "x", b"x")
    assert sorted(os.listdir(tmp_path / "root")) == [".lading-staging", "x"]
    await element.aclose()


def mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 4 MiB, or a skip where we may not mount one."""
    place = tmp_path / "small"
    place.mkdir()
    if mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)):
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_full_read_only_and_other_disks(small_disk: Path, element: PosixElement) -> None:
    small = opened(small_disk)
    assert (await small.probe(prepare=True)).ok
    await put(small, "kept", b"kept")
    for size in (4 * BATCH, None):  # told beforehand, and found out by writing
        with pytest.raises(StorageError) as raised:
            await small.write("big", chunked(bytes(4 * BATCH)), size=size)
        assert raised.value.code == "no_space"
        assert [entry async for entry in small.scan_staging()] == []
    assert await names(small, "") == ["kept"]

    await element.copy_from(small, "kept", "from another disk")
    assert await get(element, "from another disk") == b"kept"
    await put(element, "large", bytes(4 * BATCH))
    with pytest.raises(StorageError) as raised:
        await small.copy_from(element, "large", "large")
    assert raised.value.code == "no_space"
    assert [entry async for entry in small.scan_staging()] == []

    mount("-o", "remount,ro", str(small_disk))
    for call in (put(small, "new", b"x"), small.remove("kept"), small.rename("kept", "x")):
        with pytest.raises(StorageError) as raised:
            await call
        assert raised.value.code == "denied"
    assert await get(small, "kept") == b"kept"
    report = await small.probe()
    assert (report.ok, report.read, report.write) == (False, True, False)
    assert (await small.probe(write=False)).ok
    await small.aclose()


# ── files as people leave them ───────────────────────────────────────────────────────────────────────────────────────


async def test_only_regular_files_are_objects(element: PosixElement, root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    for call in (element.stat("fifo"), get(element, "fifo"), element.remove("fifo"), element.open_local("fifo")):
        with pytest.raises(InvalidPath):
            await asyncio.wait_for(call, 10)
    with pytest.raises(ObjectNotFound):
        await element.remove("folder")
    for pfn in ("folder", "fifo"):
        with pytest.raises(ObjectExists):
            await put(element, pfn, b"x")
    with pytest.raises(InvalidPath):
        await put(element, "folder", b"x", overwrite=True)
    await put(element, "object", b"x")
    with pytest.raises(InvalidPath):
        await put(element, "object/below", b"x")
    assert await names(element, "") == ["object"]


async def test_the_element_s_own_files_are_no_objects(element: PosixElement, root: Path) -> None:
    for pfn in (".lading-element", ".lading-staging/x", ".lading-staging"):
        for call in (put(element, pfn, b"x", overwrite=True), get(element, pfn), element.remove(pfn)):
            with pytest.raises(InvalidPath):
                await call
    await put(element, "a/.lading-element", b"x")  # further down the name is free
    assert await names(element, "") == ["a/.lading-element"]
    assert (root / ".lading-element").exists()


async def test_names_that_are_not_utf8(element: PosixElement, root: Path) -> None:
    (root / "latin").mkdir()
    os.close(os.open(os.fsencode(root) + b"/latin/caf\xe9", os.O_CREAT | os.O_WRONLY))
    assert await names(element, "") == ["latin/caf\udce9"]
    assert await get(element, "latin/caf\udce9") == b""
    await element.remove("latin/caf\udce9")
    assert await names(element, "") == []


async def test_a_folder_nobody_may_read_is_not_passed_over(
    element: PosixElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(element, "closed/object", b"x")
    scandir = os.scandir
    calls = 0

    def refusing(fd: int) -> Any:  # we may be root, whom no mode stops
        nonlocal calls
        calls += 1
        if calls == 2:
            raise PermissionError(13, "Permission denied")
        return scandir(fd)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(StorageError) as raised:
        await names(element, "")
    assert raised.value.code == "denied"


async def test_too_deep(element: PosixElement) -> None:
    await put(element, "/".join(["d"] * 255) + "/x", b"x")
    assert len(await names(element, "")) == 1
    with pytest.raises(InvalidPath, match="deep"):
        await put(element, "/".join(["d"] * 256) + "/x", b"x")


async def test_an_object_that_shrinks_is_not_read_to_a_false_end(element: PosixElement, root: Path) -> None:
    await put(element, "x", bytes(6 * BATCH))
    source = element.read("x")
    await anext(source)
    os.truncate(root / "x", 3 * BATCH)
    with pytest.raises(Transient):
        async for _ in source:
            pass


async def test_modes_and_pruning(tmp_path: Path, root: Path) -> None:
    plain = opened(root, mode="0640", dir_mode="2750")
    await plain.probe(prepare=True)
    await put(plain, "a/b/c", b"x")
    await put(plain, "a/d", b"x")
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o2750
    await plain.remove("a/b/c")
    assert sorted(os.listdir(root / "a")) == ["d"]
    await plain.rename("a/d", "e")
    assert sorted(os.listdir(root)) == [".lading-element", ".lading-staging", "e"]
    await plain.aclose()
    keeping = opened(root, prune=False)
    await put(keeping, "a/b/c", b"x")
    await keeping.remove("a/b/c")
    assert (root / "a/b").is_dir()
    await keeping.aclose()
