"""What only Girder does to an element: logins, names, items of other people's making, uploads that break."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import girder_tree, girder_uploads, registry
from storage_plugins.base import Chunk
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.girder_element import GirderElement
from storage_plugins.testing_tools import get, names, put, sums
from tests.storage_plugins.girder_server import Girder, girder
from tests.storage_plugins.proxy import Proxy, proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from pathlib import Path

MIB = 1 << 20
Options = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Girder]:
    with girder(tmp_path_factory.mktemp("girder"), "hashsum_download") as server:
        yield server


@pytest.fixture
def root() -> str:
    return f"/collection/science/{secrets.token_hex(6)}"


@asynccontextmanager
async def opened(options: Options, **more: Any) -> AsyncIterator[GirderElement]:
    element = registry.open("girder", {**options, **more}, name="girder")
    assert isinstance(element, GirderElement)
    try:
        yield element
    finally:
        await element.aclose()


@pytest.fixture
async def element(server: Girder, root: str) -> AsyncIterator[GirderElement]:
    async with opened(server.options(root)) as element:
        assert (await element.probe(prepare=True)).ok
        yield element


@pytest.fixture
async def relay(server: Girder) -> AsyncIterator[Proxy]:
    async with proxy(server.server.port) as relay:
        yield relay


@pytest.fixture
async def far(server: Girder, root: str, relay: Proxy) -> AsyncIterator[GirderElement]:
    """The element behind a network."""
    url = f"http://127.0.0.1:{relay.port}/api/v1"
    async with opened(server.options(root), url=url, chunk_size=5 * MIB) as element:
        assert (await element.probe(prepare=True)).ok
        yield element


def end_session(server: Girder, element: GirderElement) -> None:
    """As if the element's token had expired."""
    server.call("DELETE", "token/session", None, token=element._api.token or "")


# ── who is who ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_key_is_denied(
    server: Girder, element: GirderElement, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await put(element, "a/b", b"b")
    wrong = {"api_key": "wr0ng", "token": None}, {"api_key": None, "username": "alice", "password": "wr0ng"}
    for login in (*wrong, {"api_key": None, "token": "wr0ng"}, {"api_key": None}):
        async with opened({**server.options(root), **login}) as stranger:
            report = await stranger.probe(prepare=True)
            assert not report.ok
            assert "wr0ng" not in str(report.error)
            for call in (stranger.stat("a/b"), get(stranger, "a/b"), put(stranger, "n", b"x"), stranger.remove("a/b")):
                with pytest.raises((Denied, Unavailable)) as raised:
                    await call
                assert type(raised.value) is Denied or login == {"api_key": None}
                assert "wr0ng" not in str(raised.value)
            with pytest.raises((Denied, Unavailable)):
                await names(stranger, "")
    assert await get(element, "a/b") == b"b"
    assert server.keys["alice"] not in caplog.text + server.log()
    assert str(element._api.token) not in caplog.text + server.log()


async def test_a_key_that_may_only_read(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/b", b"b")
    async with opened(server.options(root, "reader")) as reader:
        assert (await reader.probe(write=False)).ok
        assert not (await reader.probe()).ok
        assert await get(reader, "a/b") == b"b"
        for call in (put(reader, "a/c", b"x"), reader.remove("a/b"), reader.rename("a/b", "a/c")):
            with pytest.raises(Denied):
                await call


async def test_a_login_and_a_token(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/b", b"b")
    for login in ({"username": "alice", "password": "alicealice"}, {"token": server.token()}):
        async with opened({**server.options(root), "api_key": None, **login}) as other:
            assert await get(other, "a/b") == b"b"
            assert (await other.probe()).ok


async def test_a_session_that_ends_is_renewed(server: Girder, element: GirderElement) -> None:
    await put(element, "a/b", b"b")
    end_session(server, element)
    assert (await element.stat("a/b")).size == 1
    end_session(server, element)
    assert await get(element, "a/b") == b"b"
    end_session(server, element)
    await put(element, "a/c", b"c")
    end_session(server, element)
    await element.remove("a/c")
    end_session(server, element)
    with pytest.raises(ObjectNotFound):
        await element.stat("a/c")
    end_session(server, element)
    assert await names(element, "a") == ["a/b"]


async def test_a_session_that_ends_during_a_scan(
    server: Girder, element: GirderElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(girder_tree, "_PAGE", 2)
    for name in "abcdef":
        await put(element, f"{name}/x", b"x")

    async def scan() -> None:
        async for _ in element.scan():
            end_session(server, element)

    with pytest.raises(Transient, match="session"):
        await scan()
    assert len(await names(element, "")) == 6


async def test_what_is_hidden_from_nobody_is_not_lost(server: Girder) -> None:
    """A public folder with a private one in it: whoever's token has expired sees the one without the other."""
    root = f"/collection/open/{secrets.token_hex(6)}"
    async with opened(server.options(root)) as element:
        assert (await element.probe(prepare=True)).ok
        await put(element, "public/x", b"x")
        await put(element, "private/x", b"x")
        folder = server.find(f"{root}/private")["_id"]
        server.call(
            "PUT",
            f"folder/{folder}/access",
            access=json.dumps({"users": [{"id": server.find("/user/alice")["_id"], "level": 2}], "groups": []}),
            public="false",
        )
        end_session(server, element)
        assert (await element.stat("private/x")).size == 1
        token = element._api.token
        async with opened({**server.options(root), "api_key": None, "token": token}) as fixed:
            assert await names(fixed, "p") == ["private/x", "public/x"]
            end_session(server, element)
            assert await get(fixed, "public/x") == b"x"
            for call in (fixed.stat("private/x"), names(fixed, "p")):
                with pytest.raises(Denied):
                    await call


def test_options_that_are_refused() -> None:
    good = {"url": "https://girder.example/api/v1", "root": "/collection/c/f"}
    for wrong in (
        {"root": "somewhere"},
        {"root": "/collection"},
        {"root": "/folder/x"},
        {"api_key": "s3cret", "token": "s3cret"},
        {"api_key": "s3cret", "username": "u", "password": "s3cret"},
        {"token": "s3cret\nHost: x"},
        {"chunk_size": MIB},
        {"url": "https://u:s3cret@girder.example/"},
    ):
        with pytest.raises(InvalidOptions) as raised:
            registry.open("girder", {**good, **wrong})
        assert "s3cret" not in raised.value.message


# ── networks and servers ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_stops_and_comes_back(relay: Proxy, far: GirderElement) -> None:
    await put(far, "kept/x", b"kept")
    await relay.stop()
    for call in (
        far.stat("kept/x"),
        get(far, "kept/x"),
        put(far, "kept/y", b"y"),
        far.remove("kept/x"),
        names(far, ""),
    ):
        with pytest.raises(Transient):
            await call
    assert not (await far.probe()).ok
    with pytest.raises(Unavailable):
        await far.stat("kept/x")
    await relay.start(relay.port)
    assert await get(far, "kept/x") == b"kept"
    assert (await far.probe()).ok
    assert await names(far, "kept") == ["kept/x"]


@pytest.mark.parametrize("known", [True, False])
async def test_an_upload_that_breaks_goes_on(server: Girder, relay: Proxy, far: GirderElement, known: bool) -> None:
    data = secrets.token_bytes(18 * MIB)

    async def chunks() -> AsyncGenerator[Chunk, None]:
        async for chunk in chunked(data, 2 * MIB):
            yield chunk

    relay.cut(12 * MIB)  # within the third piece of 5 to 6 MiB
    await far.write("big/one", chunks(), size=len(data) if known else None, checksums=sums(data, "md5"))
    assert relay.cuts == 1
    relay.cut(17 * MIB)  # within the last one
    await far.write("big/two", chunks(), size=len(data) if known else None)
    assert relay.cuts == 2
    for name in ("one", "two"):
        assert await get(far, f"big/{name}") == data
        assert await far.get_metadata(f"big/{name}") == {}
    assert (server.uploads(), server.pieces()) == ([], [])


async def test_an_upload_that_breaks_for_good(
    server: Girder, relay: Proxy, far: GirderElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(girder_uploads, "_PAUSES", (0, 0.1, 0.1))

    async def chunks() -> AsyncGenerator[Chunk, None]:
        for number in range(8):
            if number == 5:
                await relay.stop()
            yield bytes(2 * MIB)

    with pytest.raises(Transient):
        await far.write("big/one", chunks(), size=16 * MIB)
    await relay.start(relay.port)
    assert len([entry async for entry in far.scan_staging()]) == 1
    assert await far.clean_staging(0) == 1
    assert (server.uploads(), server.pieces(), await names(far, "")) == ([], [], [])


async def test_a_killed_writer_leaves_what_can_be_cleaned(server: Girder, element: GirderElement, root: str) -> None:
    code = f"""
import asyncio, json, sys
from storage_plugins import registry
async def chunks():
    for _ in range(9):
        yield bytes({MIB})
    print("half", flush=True)
    await asyncio.sleep(3600)
async def main():
    element = registry.open("girder", json.loads(sys.argv[1]) | {{"chunk_size": {5 * MIB}}})
    await element.write("killed/x", chunks(), size={20 * MIB})
asyncio.run(main())
"""
    command = (sys.executable, "-c", code, json.dumps(server.options(root)))
    victim = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert victim.stdout
    assert await victim.stdout.readline() == b"half\n"
    victim.kill()
    await victim.wait()
    assert await names(element, "") == []
    [left] = [entry async for entry in element.scan_staging()]
    assert left.pfn.startswith(".lading-staging/")
    assert len(server.uploads()) == 1
    assert await element.clean_staging(3600 * 10**6) == 0
    assert await element.clean_staging(0) == 1
    assert (server.uploads(), server.pieces()) == ([], [])
    await put(element, "killed/x", b"new")


async def test_a_cancelled_upload_leaves_nothing(server: Girder, root: str) -> None:
    async with opened(server.options(root), chunk_size=5 * MIB) as element:
        assert (await element.probe(prepare=True)).ok
        half = asyncio.Event()

        async def chunks() -> AsyncGenerator[Chunk, None]:
            for _ in range(12):
                yield bytes(MIB)
            half.set()
            await asyncio.sleep(3600)

        writing = asyncio.create_task(element.write("x/y", chunks(), size=20 * MIB))
        await half.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert (server.uploads(), server.pieces()) == ([], [])
    async with opened(server.options(root)) as element:
        assert [entry async for entry in element.scan_staging()] == []


async def test_a_full_disk(tmp_path: Path) -> None:
    with girder(tmp_path, reserved=1 << 40) as server:
        async with opened(server.options("/collection/science/root")) as element:
            report = await element.probe(prepare=True)
            assert (report.ok, report.read, report.write) == (False, True, False)
            for size in (5, 3 * MIB):
                with pytest.raises(NoSpace, match="insufficient"):
                    await put(element, "a/b", bytes(size))
            assert [entry async for entry in element.scan_staging()] == []


async def test_a_server_without_checksums(tmp_path: Path) -> None:
    with girder(tmp_path) as server:
        async with opened(server.options("/collection/science/root")) as element:
            assert (await element.probe(prepare=True)).ok
            await put(element, "a/b", b"b" * BATCH)
            assert (await element.stat("a/b")).checksums == {}
            assert element.told_checksums == frozenset()
            assert await get(element, "a/b") == b"b" * BATCH


async def test_the_server_tells_checksums(element: GirderElement) -> None:
    await put(element, "a/b", b"b")
    assert (await element.stat("a/b")).checksums == sums(b"b", "sha512")
    assert element.told_checksums == {"sha512"}


# ── names and the items of others ────────────────────────────────────────────────────────────────────────────────────


async def test_a_collection_as_the_root(server: Girder) -> None:
    async with opened(server.options("/collection/open")) as element:
        folder = secrets.token_hex(6)
        await put(element, f"{folder}/x", b"x")
        assert await names(element, folder) == [f"{folder}/x"]
        with pytest.raises(InvalidPath, match="folders alone"):
            await put(element, "alone", b"x")
        with pytest.raises(ObjectNotFound):
            await element.stat("alone")


async def test_a_users_folder_as_the_root(server: Girder) -> None:
    async with opened(server.options("/user/alice/Private/data")) as element:
        assert (await element.probe(prepare=True)).ok
        await put(element, "x", b"x")
        assert await get(element, "x") == b"x"


async def test_a_root_that_is_not_there(server: Girder) -> None:
    for root in ("/collection/science/none", "/collection/none/x", "/user/nobody/x", "0" * 24):
        async with opened(server.options(root)) as element:
            for call in (element.stat("x"), get(element, "x"), element.remove("x"), names(element, "")):
                with pytest.raises(Unavailable):
                    await call
            with pytest.raises(Unavailable):
                await put(element, "a/b", b"x")
    async with opened(server.options("/collection/none/x")) as element:
        assert "no collection 'none'" in str((await element.probe(prepare=True)).error)


async def test_a_root_by_its_id(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/b", b"b")
    folder = server.find(root)["_id"]
    async with opened(server.options(folder)) as same:
        assert (await same.probe(prepare=True)).ok
        assert await get(same, "a/b") == b"b"
        server.call("PUT", f"folder/{folder}", name=f"renamed {folder}")
        assert await get(same, "a/b") == b"b"
        with pytest.raises(Unavailable):
            await element.stat("a/b")


async def test_a_folder_that_somebody_renames(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "folder/a", b"a")
    server.call("PUT", f"folder/{server.find(root + '/folder')['_id']}", name="elsewhere")
    await put(element, "folder/b", b"b")
    assert await names(element, "") == ["elsewhere/a", "folder/b"]


async def test_a_staging_folder_that_somebody_removes(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a", b"a")
    server.call("DELETE", f"folder/{server.find(root + '/.lading-staging')['_id']}")
    await put(element, "b", b"b")
    assert await names(element, "") == ["a", "b"]


async def test_folders_and_objects_do_not_mix(element: GirderElement) -> None:
    await put(element, "a/b", b"b")
    with pytest.raises(ObjectExists):
        await put(element, "a", b"x", overwrite=True)
    with pytest.raises(InvalidPath, match="no folder"):
        await put(element, "a/b/c", b"x")
    with pytest.raises(InvalidPath, match="no folder"):
        await put(element, "a/b/c/d", b"x")
    with pytest.raises(InvalidPath, match="element itself"):
        await put(element, ".lading-staging/x", b"x")
    await put(element, "same/same/same", b"deep")
    for folder in ("same", "same/same"):
        with pytest.raises(ObjectNotFound):
            await element.stat(folder)
    assert await get(element, "same/same/same") == b"deep"


async def test_items_of_others(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/object", b"object")
    folder = server.find(f"{root}/a")["_id"]

    def item(name: str, *files: str) -> None:
        made = server.call("POST", "item", folderId=folder, name=name)["_id"]
        for file in files:
            server.call("POST", "file", body=file.encode(), parentType="item", parentId=made, name=file, size=len(file))

    item("renamed", "before")
    item("series", "1.dcm", "2.dcm")
    item("half", "1.dcm", "half")
    item("empty")
    item("slash/ed", "slash/ed")
    assert await get(element, "a/renamed") == b"before"
    assert await get(element, "a/half") == b"half"
    for none in ("series", "empty"):
        with pytest.raises(ObjectNotFound):
            await element.stat(f"a/{none}")
        with pytest.raises(ObjectExists):
            await put(element, f"a/{none}", b"x")
    assert await names(element, "a/") == ["a/half", "a/object", "a/renamed", "a/series"]
    with pytest.raises(Unsupported, match="other files"):
        await element.rename("a/half", "a/whole")
    await element.remove("a/half")
    assert [f["name"] for f in server.call("GET", f"item/{server.find(root + '/a/half')['_id']}/files")] == ["1.dcm"]
    await put(element, "a/renamed", b"after", overwrite=True)
    assert await get(element, "a/renamed") == b"after"
    link = "http://127.0.0.1:1/x"
    server.call("POST", "file", parentType="folder", parentId=folder, name="link", linkUrl=link)
    with pytest.raises(StorageError, match="link"):
        await get(element, "a/link")


async def test_metadata_that_girder_does_not_take(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/b", b"b")
    for key in ("", "a.b", "$a"):
        with pytest.raises(Unsupported):
            await element.set_metadata("a/b", {key: "x"})
    item = server.find(f"{root}/a/b")["_id"]
    server.call("PUT", f"item/{item}/metadata", body=b'{"n": 1, "l": [true, null], "s": "text"}')
    assert await element.get_metadata("a/b") == {"n": "1", "l": "[true,null]", "s": "text"}
    await put(element, "a/b", b"c", overwrite=True)
    assert (await element.get_metadata("a/b"))["s"] == "text"
    await element.rename("a/b", "c/d")
    assert (await element.get_metadata("c/d"))["s"] == "text"


async def test_copies_between_elements(server: Girder, element: GirderElement, root: str) -> None:
    data = secrets.token_bytes(3 * MIB)
    await put(element, "a/b", data)
    async with opened(server.options("/user/alice/Private/copies")) as other:
        assert (await other.probe(prepare=True)).ok
        assert (await other.copy_from(element, "a/b", "c/d")).size == len(data)
        assert await get(other, "c/d") == data
    async with opened(server.options("/user/admin/Private/x", "admin")) as hidden:
        assert (await hidden.probe(prepare=True)).ok
        await put(hidden, "secret", b"s")
        with pytest.raises(Unsupported):
            await element.copy_from(hidden, "secret", "a/c")
    assert await names(element, "a") == ["a/b"]


# ── others at the same time ──────────────────────────────────────────────────────────────────────────────────────────


async def test_two_servers_write_one_name(server: Girder, element: GirderElement, root: str) -> None:
    async with opened(server.options(root)) as other:
        for turn in range(15):
            pfn = f"new folder {turn}/x"
            both = (one.write(pfn, chunked(b"%d" % n), size=1) for n, one in enumerate((element, other)))
            results = await asyncio.gather(*both, return_exceptions=True)
            lost = [number for number, result in enumerate(results) if isinstance(result, ObjectExists)]
            assert len(lost) == 1, results
            assert await get(element, pfn) == b"%d" % (1 - lost[0])
        assert len(await names(element, "")) == 15  # no "x (1)" and no second folder
        assert [entry async for entry in element.scan_staging()] == []


async def test_a_reader_sees_the_old_or_the_new(server: Girder, element: GirderElement, root: str) -> None:
    await put(element, "a/b", b"0" * 100)
    seen: set[bytes] = set()

    async def read() -> None:
        async with opened(server.options(root)) as other:
            while not writing.done():
                data = await get(other, "a/b")
                assert data == data[:1] * 100
                seen.add(data[:1])

    async def write() -> None:
        for turn in range(20):
            await put(element, "a/b", b"%d" % (turn % 10) * 100, overwrite=True)

    writing = asyncio.create_task(write())
    await asyncio.gather(read(), read(), writing)
    assert len(seen) > 1
    assert len(server.call("GET", f"item/{server.find(root + '/a/b')['_id']}/files")) == 1
    assert [(entry.pfn, entry.size) async for entry in element.scan("a")] == [("a/b", 100)]


async def test_a_scan_while_objects_are_removed(element: GirderElement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(girder_tree, "_PAGE", 4)
    everything = [f"f/{n:02d}" for n in range(20)]
    await asyncio.gather(*(put(element, pfn, b"x") for pfn in everything))
    found = []
    gone = set()
    async for entry in element.scan("f/"):
        found.append(entry.pfn)
        if entry.pfn == "f/07":
            gone = set(everything[:7])
            await asyncio.gather(*(element.remove(pfn) for pfn in gone))
            await put(element, "f/00", b"new")
    assert sorted(found) == everything
    assert await names(element, "f/") == ["f/00", *everything[7:]]
    assert await names(element, "") == ["f/00", *everything[7:]]
