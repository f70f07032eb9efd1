"""What only a GridFTP server can do to an element: lost sessions, silence, odd files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins.base import Chunk
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    Denied,
    InvalidPath,
    ObjectExists,
    ObjectNotFound,
    Transient,
    Unavailable,
)
from storage_plugins.powers import Checksums, KeepsStaging, Renames, supports
from storage_plugins.testing_tools import get, names, put, stopping, sums
from tests.storage_plugins.gridftp_server import gridftp, opened
from tests.storage_plugins.proxy import proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tests.servers import Running

Options = dict[str, Any]
BIG = os.urandom(20 * BATCH + 3)


@pytest.fixture
def open_to_all() -> Iterator[tuple[Running, Path]]:
    with gridftp() as (server, path):
        yield server, Path(path)


def at(server: tuple[Running, Path], port: int = 0) -> Options:
    return {"url": f"ftp://127.0.0.1:{port or server[0].port}{server[1]}"}


# ── away, silent, lost ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_server_stopped_and_back(open_to_all: tuple[Running, Path]) -> None:
    server = open_to_all[0]
    async with opened(at(open_to_all)) as element:
        await put(element, "kept", BIG)
        chunks = element.read("kept")
        await anext(chunks)
        server.stop()
        with pytest.raises(Transient):
            async for _ in chunks:
                pass
        for call in (element.stat("kept"), element.stat("none"), put(element, "new", b"x"), names(element, "")):
            with pytest.raises(Unavailable):
                await call
        assert not (await element.probe()).ok
        server.start()
        assert await get(element, "kept") == BIG
        assert await names(element, "") == ["kept"]
    with pytest.raises(Unavailable, match="closed"):
        await element.stat("kept")


@pytest.mark.parametrize("old", [None, b"old"])
async def test_the_server_is_killed_in_a_write(open_to_all: tuple[Running, Path], old: bytes | None) -> None:
    server = open_to_all[0]
    async with opened(at(open_to_all)) as element:
        if old:
            await put(element, "big", old)

        async def chunks() -> AsyncGenerator[Chunk, None]:
            yield bytes(BATCH)
            async with asyncio.timeout(20):
                while not list((open_to_all[1] / ".lading-staging").iterdir()):  # noqa: ASYNC110  (of another process)
                    await asyncio.sleep(0.01)
            server.stop()
            for _ in range(32):
                yield bytes(BATCH)

        with pytest.raises(Transient):
            await element.write("big", chunks(), overwrite=True)
        server.start()
        assert await names(element, "") == (["big"] if old else [])
        if old:
            assert await get(element, "big") == old
        assert await element.clean_staging(0) == 1
        await put(element, "big", b"new", overwrite=True)


async def test_a_silent_server(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all), timeout=0.5, passive=True) as element:
        await put(element, "folder/big", BIG)
        chunks = element.read("folder/big")
        await anext(chunks)
        os.killpg(open_to_all[0].pid, signal.SIGSTOP)
        try:
            with pytest.raises(Transient):
                async for _ in chunks:
                    pass
            for call in (
                element.stat("folder/big"),
                element.remove("folder/big"),
                put(element, "new", BIG),
                get(element, "folder/big"),
                names(element, ""),
                element.checksum("folder/big", ["md5"]),
                element.rename("folder/big", "x"),
            ):
                with pytest.raises(Transient):
                    await asyncio.wait_for(call, 20)
        finally:
            os.killpg(open_to_all[0].pid, signal.SIGCONT)
        assert await names(element, "") == ["folder/big"]
        assert await get(element, "folder/big") == BIG


async def test_a_session_that_was_lost_is_made_again(open_to_all: tuple[Running, Path]) -> None:
    async with proxy(open_to_all[0].port) as relay, opened(at(open_to_all, relay.port)) as element:
        await put(element, "x", b"x")
        relay.drop()
        await asyncio.sleep(0.05)
        assert await get(element, "x") == b"x"


async def test_breaking_off_again_and_again(open_to_all: tuple[Running, Path]) -> None:
    """It costs no new log-ins: the server notices, says so, and goes on."""
    log = open_to_all[1].parent / "log"
    async with opened(at(open_to_all)) as element:
        await put(element, "x", BIG)
        logins = log.read_text().count("New connection")
        for _ in range(5):
            async with contextlib.aclosing(element.read("x")) as chunks:
                await anext(chunks)
            await element._sessions.settled()
            assert await get(element, "x", 1, 9) == BIG[1:9]
            half = asyncio.Event()
            writing = asyncio.create_task(element.write("y", stopping(half, asyncio.Event())))
            await half.wait()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await asyncio.gather(*element._tasks)
        assert [entry async for entry in element.scan_staging()] == []
        assert await names(element, "") == ["x"]
        assert log.read_text().count("New connection") - logins <= 1  # the cleaning up may have had one of its own


async def test_nobody_waits_for_long_at_the_end(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all), connections=2) as element:
        await put(element, "x", b"x")
        await asyncio.gather(*(get(element, "x") for _ in range(12)))
        assert len(element._sessions._idle) == 2


# ── files and folders ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("marker", [True, False])
async def test_a_lost_disk_is_no_lost_file(open_to_all: tuple[Running, Path], marker: bool) -> None:
    root = open_to_all[1] / "mount/se"
    async with opened({"url": f"{at(open_to_all)['url']}/mount/se", "marker": marker}) as element:
        await put(element, "there/object", b"x")
        root.rename(root.with_name("away"))
        if marker:
            root.mkdir(0o777)
            root.chmod(0o777)
        for call in (
            element.stat("there/object"),
            get(element, "there/object"),
            element.remove("there/object"),
            element.rename("there/object", "x"),
            put(element, "new/object", b"x"),
            names(element, ""),
            names(element, "none/"),
        ):
            with pytest.raises(Unavailable, match="mounted"):
                await call
        assert not (await element.probe()).ok
        if marker:
            assert list(root.iterdir()) == [], "nothing was made in the bare mount point"
            root.rmdir()
        root.with_name("away").rename(root)
        assert await get(element, "there/object") == b"x"


async def test_only_regular_files_are_objects(open_to_all: tuple[Running, Path], tmp_path: Path) -> None:
    root = open_to_all[1]
    async with opened(at(open_to_all)) as element:
        os.mkfifo(root / "fifo")
        (root / "folder").mkdir()
        (root / "folder/up").symlink_to("..")
        (root / "secret").write_bytes(b"secret")
        (root / "link").symlink_to("secret")
        (root / "secret").chmod(0o644)
        for pfn in ("fifo", "link"):
            for call in (element.stat(pfn), get(element, pfn), element.remove(pfn)):
                with pytest.raises(InvalidPath):
                    await asyncio.wait_for(call, 10)
            with pytest.raises(ObjectExists):
                await put(element, pfn, b"x")
        assert await names(element, "") == ["secret"], "and no going round in circles"
        await put(element, "link", b"mine", overwrite=True)  # the link itself is replaced, not what it points to
        assert (root / "secret").read_bytes() == b"secret"
        with pytest.raises(ObjectExists):
            await put(element, "folder", b"x")
        with pytest.raises(InvalidPath):
            await put(element, "folder", b"x", overwrite=True)
        for overwrite in (False, True):
            with pytest.raises(InvalidPath):
                await put(element, "link/below/further", b"x", overwrite=overwrite)
        for call in (put(element, ".lading-element", b"x", overwrite=True), element.remove(".lading-staging/x")):
            with pytest.raises(InvalidPath):
                await call


async def test_what_may_not_be_read(open_to_all: tuple[Running, Path]) -> None:
    if os.geteuid():
        pytest.skip("the server runs as ourselves, and owns every file")
    root = open_to_all[1]
    async with opened(at(open_to_all)) as element:
        (root / "closed").write_bytes(b"x")
        (root / "closed").chmod(0)
        assert (await element.stat("closed")).size == 1
        with pytest.raises(Denied):
            await get(element, "closed")
        (root / "shut").mkdir(0o700)
        for call in (names(element, ""), put(element, "shut/x", b"x"), element.stat("shut/x")):
            with pytest.raises(Denied):
                await call


async def test_names_with_line_breaks_are_told_and_left_alone(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        for name in ("two\nlines", "end\r"):
            (open_to_all[1] / name).write_bytes(b"x")
        assert await names(element, "") == ["end\r", "two\nlines"]
        for name in ("two\nlines", "end\r"):
            with pytest.raises(InvalidPath):
                await element.remove(name)
        assert sorted(name for name in os.listdir(open_to_all[1]) if name[0] != ".") == ["end\r", "two\nlines"]


async def test_deep_folders(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        many = "/".join(["d"] * 300) + "/x"
        await put(element, many, b"x")
        assert await names(element, "") == [many]
        with pytest.raises(InvalidPath):
            await put(element, "/".join(["d" * 203] * 20), b"x")  # with the root in front it is too long


async def test_sums_by_the_server(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        await put(element, "x", BIG)
        kinds = ("adler32", "md5", "sha1", "sha256", "sha512")
        assert supports(element, Checksums)
        assert await element.checksum("x", [*kinds, "crc32c", "MD5"]) == sums(BIG, *kinds)
        with pytest.raises(ObjectNotFound):
            await element.checksum("none", ["crc32c"])


async def test_of_two_renames_of_one_object_one_wins(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        assert supports(element, Renames)
        assert supports(element, KeepsStaging)
        for turn in range(10):
            await put(element, f"{turn}/one", b"x")
            results = await asyncio.gather(
                *(element.rename(f"{turn}/one", f"{turn}/{name}") for name in ("two", "three")), return_exceptions=True
            )
            assert [type(result) for result in results].count(ObjectNotFound) == 1, results
            assert len(await names(element, f"{turn}/")) == 1


async def test_an_object_that_shrinks_is_not_read_to_a_false_end(open_to_all: tuple[Running, Path]) -> None:
    for passive in (False, True):
        async with opened(at(open_to_all), passive=passive, timeout=2) as element:
            await put(element, "x", bytes(64 * BATCH), overwrite=True)
            source = element.read("x")
            await anext(source)
            os.truncate(open_to_all[1] / "x", BATCH)
            with pytest.raises(Transient):
                async for _ in source:
                    pass


async def test_many_writers_at_once(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:

        async def one(number: int) -> None:
            await element.write(f"many/{number}", chunked(BIG), size=len(BIG), checksums=sums(BIG, "adler32"))
            assert await get(element, f"many/{number}") == BIG

        await asyncio.gather(*(one(number) for number in range(8)))
