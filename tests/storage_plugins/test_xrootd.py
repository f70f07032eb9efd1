"""What an XRootD server, its disk and the network do to an element."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.model.element import Way
from storage_plugins import registry, xrootd_links, xrootd_listing
from storage_plugins.base import Chunk, Element
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.powers import KeepsStaging, Renames, ReportsUsage, ServerCopies, supports
from storage_plugins.testing_tools import get, names, put, stopping
from storage_plugins.timed import Timed
from tests.pki import Pki
from tests.storage_plugins.proxy import Proxy, proxy
from tests.storage_plugins.xrootd_server import ANONYMOUS, new_folder, xrootd
from transfer.ways import carry, ways

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator

    from tests.servers import Running

Served = tuple["Running", Path]  # and where its data are


@contextlib.contextmanager
def serving(grid: Pki, **more: Any) -> Iterator[Served]:
    folder = new_folder()
    with xrootd(grid, ANONYMOUS, folder=folder, **more) as server:
        yield server, folder / "data"


@pytest.fixture(scope="module")
def served(grid: Pki) -> Iterator[Served]:
    with serving(grid) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(port: int, path: str, **options: Any) -> AsyncIterator[Element]:
    element = registry.open("xrootd", {"url": f"root://localhost:{port}//{path}", **options}, name="xrootd")
    report = await element.probe(prepare=True)
    assert report.ok, report
    yield element
    await element.aclose()


@pytest.fixture
async def element(served: Served, here: str) -> AsyncIterator[Element]:
    async with opened(served[0].port, here) as element:
        yield element


@pytest.fixture
def here(request: pytest.FixtureRequest) -> str:
    return f"at-{abs(hash(request.node.name))}"


@pytest.fixture
def disk(served: Served, here: str, element: Element) -> Path:
    """The element's root folder."""
    return served[1] / here


@pytest.fixture
async def relay(served: Served) -> AsyncIterator[Proxy]:
    async with proxy(served[0].port) as relay:
        yield relay


@pytest.fixture
async def far(relay: Proxy, here: str) -> AsyncIterator[Element]:
    """The element behind a network."""
    async with opened(relay.port, here, timeout=10) as element:
        yield element


# ── away, silent, lost ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_server_stopped_and_back(grid: Pki) -> None:
    with serving(grid) as (server, _):
        async with opened(server.port, "x") as element:
            await put(element, "kept", b"kept")
            server.stop()
            for call in (
                element.stat("kept"),
                get(element, "none"),
                put(element, "new", b"x"),
                element.remove("kept"),
                names(element, ""),
            ):
                with pytest.raises(Transient):
                    await asyncio.wait_for(call, 30)
            with pytest.raises(Unavailable):
                await element.stat("kept")
            assert not (await element.probe()).ok
            server.start()
            assert await get(element, "kept") == b"kept"
            assert await names(element, "") == ["kept"]
            await put(element, "new", b"new")
        with pytest.raises(Unavailable, match="closed"):
            await element.stat("kept")


async def test_a_host_that_does_not_exist() -> None:
    element = registry.open("xrootd", {"url": "root://no-such-host.invalid//x"}, name="xrootd")
    with pytest.raises(Unavailable):
        await element.stat("x")
    await element.aclose()


async def test_a_listener_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"root://127.0.0.1:{listener.getsockname()[1]}//x"
        element = registry.open("xrootd", {"url": url, "timeout": 1}, name="silent")
        await _all_fail(element.stat("x"), get(element, "x"), put(element, "x", b"x"), names(element, ""))
        assert not (await element.probe(prepare=True)).ok
        await element.aclose()


async def _all_fail(*calls: Coroutine[Any, Any, object], told: str = "XRootD") -> None:
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    assert all(isinstance(result, Transient) and told in result.message for result in results), results


async def test_a_connection_lost_in_a_read(far: Element, relay: Proxy) -> None:
    data = os.urandom(32 * BATCH)
    await put(far, "big", data)
    chunks = far.read("big")
    await anext(chunks)
    relay.drop()
    with pytest.raises(Transient):
        async for _ in chunks:
            pass
    assert await get(far, "big") == data


@pytest.mark.parametrize("old", [None, b"old"])
async def test_a_connection_lost_in_a_write(far: Element, relay: Proxy, old: bytes | None) -> None:
    if old:
        await put(far, "big", old)

    async def chunks() -> AsyncGenerator[Chunk, None]:
        for turn in range(32):
            if turn == 8:
                relay.drop()
            yield bytes(BATCH)

    with pytest.raises(Transient):
        await far.write("big", chunks(), overwrite=True)
    assert await names(far, "") == (["big"] if old else [])
    if old:
        assert await get(far, "big") == old
    assert supports(far, KeepsStaging)
    await far.clean_staging(0)
    assert [entry async for entry in far.scan_staging()] == []
    await put(far, "big", b"new", overwrite=True)


async def test_a_server_that_falls_silent(far: Element, relay: Proxy, here: str) -> None:
    """By the element's own timeout, and by the wrapper's, which does not wait for what it gave up."""
    await put(far, "folder/big", os.urandom(32 * BATCH))
    async with opened(relay.port, here, timeout=1) as hasty:
        for impatient, told in ((hasty, "XRootD"), (Timed(far, 0.3), "no answer within")):
            chunks = impatient.read("folder/big")
            await anext(chunks)
            relay.stall()
            with pytest.raises(Transient, match=told):
                async for _ in chunks:
                    pass
            await _all_fail(
                impatient.stat("folder/big"),
                impatient.remove("folder/big"),
                put(impatient, "new", bytes(32 * BATCH)),
                get(impatient, "folder/big"),
                names(impatient, ""),
                told=told,
            )
            relay.resume()
    assert await names(far, "new") == []
    await put(far, "new", b"new")


async def test_the_interpreter_ends_while_a_server_is_silent(served: Served, here: str) -> None:
    """In the middle of a read, of a third-party copy, in a fork, all of them after a use."""
    script = """
import asyncio, os, sys
from storage_plugins import registry
from storage_plugins.chunks import BATCH
from storage_plugins.errors import Unavailable
from storage_plugins.testing_tools import put
from tests.storage_plugins.proxy import proxy

async def main(port, path):
    async with proxy(port) as relay:
        element = registry.open("xrootd", {"url": f"root://localhost:{relay.port}//{path}"})
        assert (await element.probe(prepare=True)).ok
        await put(element, "x", bytes(32 * BATCH), overwrite=True)
        chunks = element.read("x")
        await anext(chunks)
        relay.stall()
        copying = asyncio.ensure_future(element.copy_from(element, "x", "y"))
        await asyncio.sleep(0.2)
        child = os.fork()
        if not child:
            try:
                await element.stat("x")
            except Unavailable as error:
                assert "fork" in str(error)
                os._exit(7)  # asyncio cannot end a loop in a fork
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print("ends", flush=True)
        relay._server.close()
        sys.exit(5)

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""
    command = (sys.executable, "-c", script, str(served[0].port), here)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 50)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert (out, process.returncode) == (b"ends\n", 5)


# ── third-party copies ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow  # the client looks every 2.5 s whether a copy is done
async def test_a_copy_between_two_servers(grid: Pki, element: Element, here: str) -> None:
    data = os.urandom(3 * BATCH + 1)
    await put(element, "from/here", data)
    with serving(grid) as (other, _):
        async with opened(other.port, here) as target:
            assert supports(target, ServerCopies)
            async for _ in element.scan():  # use other connections than the first as well
                assert await ways(element, target) == await ways(target, element) == [Way.SERVER, Way.STREAM]
                sums = {"adler32": f"{zlib.adler32(data):08x}"}
                info, way = await carry(
                    element, "from/here", target, "to/there", size=len(data), checksums=sums, overwrite=False
                )
                assert (info.size, info.checksums, way) == (len(data), sums, Way.SERVER)
            assert await get(target, "to/there") == data
            with pytest.raises(ObjectExists):
                await target.copy_from(element, "from/here", "to/there")
            with pytest.raises(ObjectNotFound):
                await target.copy_from(element, "from/nowhere", "to/nowhere")
            copying = asyncio.create_task(target.copy_from(element, "from/here", "cancelled"))
            await asyncio.sleep(0.5)
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
            assert await names(target, "") == ["to/there"]


async def test_a_token_is_shown_to_no_other_server(grid: Pki) -> None:
    options = {"url": "roots://localhost//x", "ca": str(grid.certificates)}
    one, other = registry.open("xrootd", {**options, "token": "abc"}), registry.open("xrootd", options)
    assert await ways(one, other) == await ways(other, one) == [Way.STREAM]
    for source, target in ((one, other), (other, one)):
        assert supports(target, ServerCopies)
        with pytest.raises(Unsupported, match="token"):
            await target.copy_from(source, "x", "x")
        await source.aclose()


@pytest.mark.slow
async def test_a_server_without_third_party_copies(grid: Pki, element: Element, here: str) -> None:
    folder = new_folder()
    await put(element, "x", b"x")
    config = "\n".join(line for line in ANONYMOUS.splitlines() if not line.startswith("ofs.tpc"))
    with xrootd(grid, config, folder=folder) as other:
        async with opened(other.port, here) as target:
            assert supports(target, ServerCopies)
            with pytest.raises(Unsupported):
                await target.copy_from(element, "x", "y")
            assert await names(target, "") == []


# ── disks and names ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_space(grid: Pki) -> None:
    with serving(grid, limit=f"-f {8 * BATCH // 512}") as (server, _):
        async with opened(server.port, "x") as element:
            await put(element, "fits", bytes(2 * BATCH))
            for size in (12 * BATCH, None):
                with pytest.raises(NoSpace):
                    await element.write("big", chunked(bytes(12 * BATCH)), size=size)
            assert await names(element, "") == ["fits"]
            assert supports(element, KeepsStaging)
            assert [entry async for entry in element.scan_staging()] == []


@pytest.mark.parametrize("marker", [True, False])
async def test_a_lost_disk_is_no_lost_file(served: Served, here: str, marker: bool) -> None:
    async with opened(served[0].port, here, marker=marker) as element:
        await put(element, "there/object", b"x")
        root = served[1] / here
        away = root.with_name(f"{here}-away")
        root.rename(away)
        if marker:
            root.mkdir()
            root.chmod(0o777)  # the server could make something there
        assert supports(element, Renames)
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
        away.rename(root)
        assert await get(element, "there/object") == b"x"


@pytest.mark.parametrize("sends", ["", "xrootd.async nosf\n"])
async def test_an_object_that_shrinks_is_not_read_to_a_false_end(grid: Pki, sends: str) -> None:
    """A server that sends with sendfile has promised the bytes, and hangs up. Another sends fewer."""
    folder = new_folder()
    with xrootd(grid, ANONYMOUS + sends, folder=folder) as server:
        async with opened(server.port, "at") as element:
            await put(element, "x", bytes(64 * BATCH))
            source = element.read("x")
            await anext(source)
            os.truncate(folder / "data/at/x", BATCH)
            with pytest.raises(Transient, match="shorter" if sends else "reset|Socket error"):
                async for _ in source:
                    pass
            assert len(await get(element, "x")) == BATCH


async def test_only_regular_files_are_objects(element: Element, disk: Path) -> None:
    os.mkfifo(disk / "fifo")
    (disk / "fifo").chmod(0o666)
    (disk / "nowhere").symlink_to("none")
    for call in (element.stat("fifo"), element.remove("fifo")):  # not to be read: the server waits for a writer
        with pytest.raises(InvalidPath):
            await asyncio.wait_for(call, 10)
    with pytest.raises(ObjectExists):
        await put(element, "fifo", b"x")
    assert await names(element, "") == []
    await put(element, "folder/object", b"x")
    with pytest.raises(ObjectExists):
        await put(element, "folder", b"x")
    with pytest.raises(InvalidPath):
        await put(element, "folder", b"x", overwrite=True)
    for overwrite in (False, True):
        with pytest.raises(InvalidPath):
            await put(element, "folder/object/below/further", b"x", overwrite=overwrite)
    assert await names(element, "") == ["folder/object"]


async def test_the_element_s_own_files_are_no_objects(element: Element) -> None:
    for pfn in (".lading-element", ".lading-staging/x", ".lading-staging"):
        for call in (put(element, pfn, b"x", overwrite=True), get(element, pfn), element.remove(pfn)):
            with pytest.raises(InvalidPath):
                await call
    await put(element, "a/.lading-element", b"x")  # further down the name is free
    assert await names(element, "") == ["a/.lading-element"]


@pytest.mark.parametrize(
    ("name", "others"), [(b"caf\xe9", 3000), (b"two\nlines", 0), (b"two\nlines", 3000), (b"x" * 255, 0)]
)
async def test_names_that_cannot_be_told_do_not_go_missing(
    served: Served, here: str, name: bytes, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the client crash, as it does where a listing comes in parts."""
    monkeypatch.setattr(xrootd_links, "_GRACE", 1)
    async with opened(served[0].port, here, timeout=1) as element:
        disk = served[1] / here
        (disk / "odd").mkdir()
        for other in range(others):
            (disk / f"odd/{other}").touch()
        os.close(os.open(os.fsencode(disk) + b"/odd/" + name, os.O_CREAT | os.O_WRONLY))
        await put(element, "fine/object", b"x")
        assert await names(element, "fine/") == ["fine/object"]
        with pytest.raises((Transient, InvalidPath), match="odd"):
            await asyncio.wait_for(names(element, ""), 30)


async def test_large_folders_are_listed_alike(element: Element, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sorted([f"a/{turn}" for turn in range(100)] + ["a/b/c", "a/b.d"])
    await asyncio.gather(*(put(element, pfn, b"x") for pfn in expected))
    (disk / "a/nowhere").symlink_to("none")
    os.mkfifo(disk / "a/fifo")
    for many in (1000, 10):
        monkeypatch.setattr(xrootd_listing, "_MANY", many)
        assert await names(element, "") == expected
        assert await names(element, "a/b") == ["a/b.d", "a/b/c"]
        assert [entry.size async for entry in element.scan("a/1")] == [1] * 11


async def test_folders_that_are_empty_go(element: Element, disk: Path) -> None:
    await put(element, "a/b/c", b"x")
    await put(element, "a/d", b"x")
    await element.remove("a/b/c")
    assert sorted(os.listdir(disk / "a")) == ["d"]
    assert supports(element, Renames)
    await element.rename("a/d", "e")
    assert sorted(os.listdir(disk)) == [".lading-element", ".lading-staging", "e"]


async def test_of_two_renames_of_one_object_one_wins(element: Element) -> None:
    assert supports(element, Renames)
    for turn in range(20):
        await put(element, f"{turn}/one", b"x")
        results = await asyncio.gather(
            *(element.rename(f"{turn}/one", f"{turn}/{name}") for name in ("two", "three")), return_exceptions=True
        )
        assert [type(result) for result in results].count(ObjectNotFound) == 1, results
        assert len(await names(element, f"{turn}/")) == 1


async def test_a_cancelled_read_and_write_leave_nothing_open(element: Element, served: Served, disk: Path) -> None:
    await put(element, "big", bytes(32 * BATCH))
    for _ in range(20):
        reading = asyncio.create_task(get(element, "big"))
        half = asyncio.Event()
        writing = asyncio.create_task(element.write("new", stopping(half, asyncio.Event())))
        await half.wait()
        for task in (reading, writing):
            task.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)
    await element.aclose()  # it waits for what cleans up
    assert os.listdir(disk / ".lading-staging") == []
    assert not [link for link in _open_files() if str(disk) in link]


def _open_files() -> list[str]:
    """Of all processes: the server's too."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(link))
    return found


async def test_files_cost_the_interpreter_nothing(element: Element) -> None:
    """Of what all share no reference is taken: the interpreter would die of it after some thousand files."""
    await put(element, "x", b"x")
    shared: tuple[object, ...] = (True, False, None)
    before = [sys.getrefcount(one) for one in shared]
    for turn in range(200):
        await get(element, "x")
        await put(element, f"{turn % 2}", b"x", overwrite=True)
    assert all(sys.getrefcount(one) > count - 100 for one, count in zip(shared, before, strict=True))


async def test_usage(element: Element) -> None:
    assert supports(element, ReportsUsage)
    usage = await element.usage()
    assert usage.total_bytes
    assert usage.free_bytes
    assert usage.used_bytes
