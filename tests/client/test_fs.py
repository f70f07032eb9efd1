"""`lfn://` as fsspec's users know it. fsspec blocks its caller, so it runs in a thread here: the server lives in this loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import fsspec
import pytest

from lading.client.fs import LadingFileSystem
from lading.model.people import TokenSpec, UserSpec
from tests.client.support import Bench, noise

T = TypeVar("T")
CSV = b"name,count\nalice,3\nbob,4\n"


@pytest.fixture(autouse=True)
def logged_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_URL", bench.server.url)
    monkeypatch.setenv("LADING_TOKEN", bench.server.token)
    fsspec.config.conf.clear()
    LadingFileSystem.clear_instance_cache()


async def sync(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


def fs() -> LadingFileSystem:
    return fsspec.filesystem("lfn", skip_instance_cache=True)


@pytest.mark.parametrize("url", ["lfn:///vo/x.csv", "lfn://vo/x.csv"])
async def test_pandas_reads_it_by_name(bench: Bench, url: str) -> None:
    import pandas

    await bench.client.write("/vo/x.csv", CSV)
    frame = await sync(lambda: pandas.read_csv(url))
    assert frame["count"].sum() == 7


async def test_pandas_writes_it(bench: Bench) -> None:
    import pandas

    frame = pandas.DataFrame({"name": ["alice", "bob"], "count": [3, 4]})
    await sync(lambda: frame.to_csv("lfn:///vo/out.csv", index=False))
    assert await bench.client.read("/vo/out.csv") == CSV
    entry = await bench.client.entry("/vo/out.csv")
    assert entry.checksums


@pytest.mark.parametrize(
    ("url", "lfn"),
    [
        ("lfn:///vo/x", "/vo/x"),
        ("lfn://vo/x", "/vo/x"),
        ("/vo/x/", "/vo/x"),
        ("lfn:/vo/x", "/vo/x"),
        ("lfn://", "/"),
        ("vo", "/vo"),
    ],
)
def test_forms_of_names(url: str, lfn: str) -> None:
    assert LadingFileSystem._strip_protocol(url) == lfn
    assert LadingFileSystem._strip_protocol([url]) == [lfn]


async def test_reading_in_pieces(bench: Bench) -> None:
    data = noise(9_000_001)
    await bench.client.write("/vo/big", data)

    def work() -> None:
        with fsspec.open("lfn:///vo/big", "rb") as file:
            assert file.size == len(data)
            assert file.read(10) == data[:10]
            file.seek(-7, 2)
            assert file.read() == data[-7:]
            file.seek(4_000_000)
            assert file.read(1_000_000) == data[4_000_000:5_000_000]
            file.seek(0)
            assert file.read() == data
        f = fs()
        assert f.cat_file("/vo/big", 5, 9) == data[5:9]
        assert f.cat_file("/vo/big", -4, None) == data[-4:]
        assert f.cat_file("/vo/big", 1, -1) == data[1:-1]
        assert f.cat_file("/vo/big", 7, 7) == b""
        assert f.cat_ranges(["/vo/big"] * 2, [0, 10], [5, 12]) == [data[:5], data[10:12]]
        assert f.head("/vo/big", 3) == data[:3]
        assert f.tail("/vo/big", 3) == data[-3:]

    await sync(work)


async def test_whole_files_are_verified(bench: Bench) -> None:
    data = noise(1000)
    await bench.client.write("/vo/x", data, se="disk1")
    bench.object("disk1", data).write_bytes(noise(1000, 2))
    with pytest.raises(OSError, match="adler32"):
        await sync(lambda: fs().cat_file("/vo/x"))


async def test_looking_around(bench: Bench) -> None:
    c = bench.client
    for name in ("a.csv", "b.csv", "d/c.csv", "d/e/f.txt"):
        await c.write(f"/vo/{name}", name.encode())
    await c.link([("/vo/l", "/vo/d/c.csv"), ("/vo/dangling", "/nowhere")])

    def work() -> None:
        f = fs()
        assert f.ls("lfn:///vo", detail=False) == ["/vo/a.csv", "/vo/b.csv", "/vo/d", "/vo/dangling", "/vo/l"]
        kinds = {e["name"]: (e["type"], e["size"]) for e in f.ls("/vo")}
        assert kinds["/vo/l"] == ("file", 7)
        assert kinds["/vo/d"] == ("directory", 0)
        assert kinds["/vo/dangling"][0] == "link"
        assert f.ls("/vo/a.csv", detail=False) == ["/vo/a.csv"]
        assert f.info("/vo/l")["name"] == "/vo/l"
        assert f.exists("/vo/a.csv")
        assert not f.exists("/vo/z")
        assert f.isdir("/vo/d")
        assert f.isfile("/vo/a.csv")
        assert f.glob("lfn:///vo/*.csv") == ["/vo/a.csv", "/vo/b.csv"]
        assert f.glob("/vo/**/*.csv") == ["/vo/a.csv", "/vo/b.csv", "/vo/d/c.csv"]
        assert "/vo/d/e/f.txt" in f.find("/")
        assert f.du("/vo/d") == len("d/c.csv") + len("d/e/f.txt")
        assert f.created("/vo/a.csv").year >= 2024
        assert f.checksum("/vo/a.csv") == f.checksum("/vo/a.csv")
        with pytest.raises(FileNotFoundError):
            f.info("/vo/z")
        with pytest.raises(FileNotFoundError):
            f.ls("/vo/z")
        with pytest.raises(FileNotFoundError):
            f.open("/vo/z")

    await sync(work)


async def test_changing_things(bench: Bench) -> None:
    local = bench.local("local", b"12345")

    def work() -> None:
        f = fs()
        f.mkdir("/vo/d")
        with pytest.raises(FileExistsError):
            f.mkdir("/vo/d")
        f.makedirs("/vo/d", exist_ok=True)
        f.put(local, "/vo/d/a")
        f.pipe({"/vo/d/b": b"bb"})
        with f.open("/vo/d/c", "wb") as file:
            for _ in range(3):
                file.write(b"x" * 3_000_000)
        assert f.cat(["/vo/d/a", "/vo/d/b"]) == {"/vo/d/a": b"12345", "/vo/d/b": b"bb"}
        assert f.size("/vo/d/c") == 9_000_000
        with pytest.raises(FileExistsError), f.open("/vo/d/c", "wb") as file:
            file.write(b"y")
        with pytest.raises(FileExistsError):
            f.pipe_file("/vo/d/b", b"cc")
        f.get("/vo/d", str(bench.here / "copy"), recursive=True)
        assert (bench.here / "copy" / "b").read_bytes() == b"bb"
        f.mv("/vo/d/a", "/vo/d/z")
        f.rm("/vo/d/z")
        assert sorted(f.ls("/vo/d", detail=False)) == ["/vo/d/b", "/vo/d/c"]
        f.rm("/vo/d", recursive=True)
        assert not f.exists("/vo/d")
        with pytest.raises(ValueError, match="content never changes"):
            f.open("/vo/d/b", "ab")

    await sync(work)


async def test_a_write_that_fails_stores_nothing(bench: Bench) -> None:
    def work() -> None:
        def halfway(file: object) -> None:
            with file as stream:
                stream.write(b"x" * 9_000_000)
                raise ZeroDivisionError

        for opened in (fs().open("/vo/x", "wb"), fsspec.open("lfn:///vo/x", "wb")):
            with pytest.raises(ZeroDivisionError):
                halfway(opened)
        try:
            _ = 1 / 0
        except ZeroDivisionError:  # an exception that was there before is no reason
            with fsspec.open("lfn:///vo/y", "wb") as file:
                file.write(b"x")

    await sync(work)
    assert [o.value for o in await bench.client.exists(["/vo/x", "/vo/y"])] == [False, True]


async def test_caching_and_asynchronous_use(bench: Bench) -> None:
    await bench.client.write("/vo/x", b"12345")

    def work() -> bytes:
        with fsspec.open("simplecache::lfn:///vo/x", simplecache={"cache_storage": str(bench.here)}) as file:
            return file.read()

    assert await sync(work) == b"12345"
    f = fsspec.filesystem("lfn", asynchronous=True, skip_instance_cache=True)
    assert await f._cat_file("/vo/x") == b"12345"
    await f.aclose()


async def test_rights_are_permission_errors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.client.make_directories(["/vo/private"], mode=0o700)
    await bench.client.users.add(UserSpec("bob"))
    token = await bench.client.tokens.add(TokenSpec("bob"))
    monkeypatch.setenv("LADING_TOKEN", token.token)
    with pytest.raises(PermissionError):
        await sync(lambda: fs().ls("/vo/private"))
    monkeypatch.delenv("LADING_TOKEN")
    with pytest.raises(PermissionError, match="lading login"):
        await sync(fs)


def test_the_entry_point() -> None:
    from importlib.metadata import entry_points

    (found,) = [e for e in entry_points(group="fsspec.specs") if e.name == "lfn"]
    assert found.load() is LadingFileSystem
