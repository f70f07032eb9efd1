"""Getting files: whatever the sources do, the right bytes arrive or an error tells why not."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

import lading.client.get
from lading import CatalogError, Client, Conflict, InvalidRequest, NotFound, Unavailable
from lading.client.local import LocalError
from lading.client.read import Mismatch
from lading.model.file import FileSpec, ReplicaSpec
from lading.model.replica import Copy, ReplicaState
from tests.client.proxy import Proxy
from tests.client.support import Bench, adler32, noise

DATA = noise(9_000_001)  # more than a few steps and flushes, and no round number


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lading.client.get, "FIRST", 0.01)
    monkeypatch.setattr("lading.client.read.FIRST", 0.01)
    monkeypatch.setattr("lading.client.retry.FIRST", 0.01)


@pytest_asyncio.fixture
async def far(bench: Bench, proxy: Proxy) -> AsyncIterator[Client]:
    """A client that goes through the proxy; /vo/f is on both disks, disk1 is the cheaper one."""
    await bench.client.write("/vo/f", DATA, se="disk1")
    assert (await bench.client.copy([Copy("/vo/f", "disk2")]))[0].error is None
    async with Client(proxy.url, bench.server.token, tries=3, timeout=5) as client:
        yield client


def damage(bench: Bench, se: str) -> None:
    """Change a byte of /vo/f on an element; size stays."""
    with bench.object(se, DATA).open("r+b") as stream:
        stream.seek(5_000_000)
        byte = stream.read(1)
        stream.seek(5_000_000)
        stream.write(bytes([byte[0] ^ 1]))


async def states(bench: Bench) -> dict[str, ReplicaState]:
    return {s.se: s.state for s in (await bench.client.sources("/vo/f")).sources}


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if "lading-part" in p.name)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1 << 20, 9_000_001])
async def test_round_trip(bench: Bench, direct: bool, size: int) -> None:
    data = DATA[:size]
    await bench.client.write("/vo/x", data)
    got = await bench.client.get("/vo/x", bench.here / "out", direct=direct)
    assert (bench.here / "out").read_bytes() == data
    assert (got.size, got.se, got.checksums, got.changed) == (size, "disk1", {"adler32": adler32(data)}, True)
    assert leftovers(bench.here) == []


async def test_into_a_folder_and_awkward_names(bench: Bench) -> None:
    for name in ("a b", "ünï#?%&;=+", "x" * 255, "-r", "n'\"ame"):
        await bench.client.write(f"/vo/{name}", b"123")
        got = await bench.client.get(f"/vo/{name}", bench.here)
        assert Path(got.path) == bench.here / name
        assert (bench.here / name).read_bytes() == b"123"
    assert leftovers(bench.here) == []


@pytest.mark.parametrize("direct", [True, False])
async def test_what_is_here_already(bench: Bench, direct: bool) -> None:
    await bench.client.write("/vo/x", b"content")
    same, other = bench.local("same", b"content"), bench.local("other", b"CONTENT")
    assert not (await bench.client.get("/vo/x", same, direct=direct)).changed
    with pytest.raises(Conflict, match="--overwrite"):
        await bench.client.get("/vo/x", other, direct=direct)
    assert Path(other).read_bytes() == b"CONTENT"
    assert (await bench.client.get("/vo/x", other, direct=direct, overwrite=True)).changed
    assert Path(other).read_bytes() == b"content"


async def test_local_faults_are_told_as_such(bench: Bench) -> None:
    await bench.client.write("/vo/x", b"content")
    with pytest.raises(LocalError, match="No such file"):
        await bench.client.get("/vo/x", bench.here / "no" / "folder")
    os.mkfifo(bench.here / "fifo")
    with pytest.raises(LocalError, match="plain file"):
        await bench.client.get("/vo/x", bench.here / "fifo")
    (bench.here / "out.lading-part").symlink_to(bench.here / "victim")
    with pytest.raises(LocalError):
        await bench.client.get("/vo/x", bench.here / "out")
    assert not (bench.here / "victim").exists()


async def test_no_space_here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: neither a fault of the source, nor hidden."""
    await bench.client.write("/vo/f", DATA)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lading.client.part.write_all", full)
    monkeypatch.setattr("lading.client.local._copy_span", full)
    for direct in (True, False):
        with pytest.raises(LocalError, match="No space left"):
            await bench.client.get("/vo/f", bench.here / "out", direct=direct)
        assert list(bench.here.iterdir()) == []
    assert await states(bench) == {"disk1": ReplicaState.AVAILABLE}


async def test_overwriting_spares_what_is_no_file_and_keeps_links(bench: Bench) -> None:
    await bench.client.write("/vo/x", b"content")
    os.mkfifo(bench.here / "fifo")
    with pytest.raises(LocalError, match="plain file"):
        await bench.client.get("/vo/x", bench.here / "fifo", overwrite=True)
    assert stat.S_ISFIFO((bench.here / "fifo").stat().st_mode)
    bench.local("real", b"old")
    (bench.here / "link").symlink_to("real")
    await bench.client.get("/vo/x", bench.here / "link", overwrite=True)
    assert (bench.here / "link").is_symlink()
    assert (bench.here / "real").read_bytes() == b"content"


async def test_not_there_and_not_readable(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.client.get("/vo/none", bench.here)
    await bench.client.register([FileSpec("/vo/empty", 3)])
    with pytest.raises(Unavailable, match="replica"):
        await bench.client.get("/vo/empty", bench.here)
    with pytest.raises(InvalidRequest):
        await bench.client.get("/vo", bench.here)
    assert list(bench.here.iterdir()) == []


async def test_the_next_source_takes_over_where_the_first_broke(bench: Bench, far: Client, proxy: Proxy) -> None:
    def fault(request: web.Request, _: int) -> object:
        return ("cut", 4_000_000) if request.query.get("se") == "disk1" else None

    proxy.fault = fault
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == DATA
    assert (got.se, proxy.data()) == ("disk2", ["disk1", "disk2"])
    ranges = [h.get("Range") for m, p, h in proxy.seen if "/v1/data/" in p]
    assert ranges[0] is None
    assert 3_000_000 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 4_000_000
    assert await states(bench) == {"disk1": ReplicaState.AVAILABLE, "disk2": ReplicaState.AVAILABLE}


@pytest.mark.parametrize("status", [403, 404, 429, 500, 502, 503])
async def test_a_source_that_refuses(bench: Bench, far: Client, proxy: Proxy, status: int) -> None:
    proxy.fault = lambda request, _: web.Response(status=status) if request.query.get("se") == "disk1" else None
    assert (await far.get("/vo/f", bench.here / "out", direct=False)).se == "disk2"
    assert (bench.here / "out").read_bytes() == DATA


async def test_one_source_that_keeps_breaking_is_enough(bench: Bench, far: Client, proxy: Proxy) -> None:
    proxy.fault = lambda request, _: ("cut", 1_000_000) if "/v1/data/" in request.path else None
    got = await far.get("/vo/f", bench.here / "out", ses=["disk2"], direct=False)
    assert (bench.here / "out").read_bytes() == DATA
    assert got.se == "disk2"
    assert len(proxy.data()) >= 9  # more than its tries: each brought some bytes


async def test_all_sources_gone_tells_of_each(bench: Bench, far: Client, proxy: Proxy) -> None:
    proxy.fault = lambda request, _: web.Response(status=503) if "/v1/data/" in request.path else None
    with pytest.raises(Unavailable, match=r"disk1: .*disk2: ") as caught:
        await far.get("/vo/f", bench.here / "out", direct=False)
    assert set(caught.value.details["sources"]) == {"disk1", "disk2"}
    assert list(bench.here.iterdir()) == []


async def test_wrong_bytes_make_a_replica_suspect(bench: Bench, far: Client) -> None:
    damage(bench, "disk1")
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert got.se == "disk2"
    assert (bench.here / "out").read_bytes() == DATA
    assert (await states(bench))["disk1"] is ReplicaState.SUSPECT
    assert (await states(bench))["disk2"] is ReplicaState.AVAILABLE


async def test_wrong_bytes_everywhere(bench: Bench, far: Client) -> None:
    damage(bench, "disk1")
    damage(bench, "disk2")
    for direct in (True, False):
        with pytest.raises(Mismatch, match="adler32"):
            await far.get("/vo/f", bench.here / "out", direct=direct)
        assert list(bench.here.iterdir()) == []
    assert set((await states(bench)).values()) == {ReplicaState.SUSPECT}


async def test_a_local_file_of_the_same_name_proves_nothing(bench: Bench, far: Client, proxy: Proxy) -> None:
    """Elsewhere an element's path may hold something else: no replica is blamed for it, and the server's bytes are used."""
    held = bench.object("disk1", DATA)
    damage(bench, "disk1")
    real = held.with_name("real")

    def mend(request: web.Request, _: int) -> None:
        if "/v1/data/" in request.path and not real.exists():
            real.write_bytes(DATA)
            os.replace(real, held)

    proxy.fault = mend
    got = await far.get("/vo/f", bench.here / "out")
    assert got.se == "disk1"
    assert (bench.here / "out").read_bytes() == DATA
    assert (await states(bench))["disk1"] is ReplicaState.AVAILABLE


async def test_a_missing_local_file_falls_back(bench: Bench, far: Client) -> None:
    bench.object("disk1", DATA).unlink()
    got = await far.get("/vo/f", bench.here / "out")
    assert got.se == "disk2"
    assert (bench.here / "out").read_bytes() == DATA


async def interrupted(bench: Bench, far: Client, proxy: Proxy) -> int:
    """A get that broke for good; how many bytes it left."""
    proxy.fault = lambda request, n: ("cut", 5_000_000) if len(proxy.data()) == 1 else web.Response(status=500)
    resolve = proxy.fault
    proxy.fault = lambda request, n: resolve(request, n) if "/v1/data/" in request.path else None
    with pytest.raises(CatalogError):
        await far.get("/vo/f", bench.here / "out", direct=False)
    assert leftovers(bench.here) == ["out.lading-part", "out.lading-part.json"]
    proxy.fault = lambda *_: None
    proxy.seen.clear()
    return (bench.here / "out.lading-part").stat().st_size


async def test_a_later_get_resumes(bench: Bench, far: Client, proxy: Proxy) -> None:
    held = await interrupted(bench, far, proxy)
    assert 4_000_000 < held <= 5_000_000
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == DATA
    assert got.resumed == held
    assert [h["Range"] for _, p, h in proxy.seen if "/v1/data/" in p] == [f"bytes={held}-"]
    assert leftovers(bench.here) == []


async def test_resuming_direct(bench: Bench, far: Client, proxy: Proxy) -> None:
    held = await interrupted(bench, far, proxy)
    got = await far.get("/vo/f", bench.here / "out")
    assert (bench.here / "out").read_bytes() == DATA
    assert (got.resumed, proxy.data()) == (held, [])


async def test_a_server_that_ignores_ranges(bench: Bench, far: Client, proxy: Proxy) -> None:
    await interrupted(bench, far, proxy)
    proxy.fault = lambda request, _: ("deaf",)
    await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == DATA


@pytest.mark.parametrize(
    "header",
    ["bytes 0-8999999/9000001", "bytes 1-2/3", "bytes */9000001", "nonsense", "", "bytes 4999999-9000000/9000001"],
)
async def test_another_range_than_asked_for_is_not_used(bench: Bench, far: Client, proxy: Proxy, header: str) -> None:
    await interrupted(bench, far, proxy)

    def fault(request: web.Request, _: int) -> web.Response | None:
        if request.query.get("se") == "disk1":
            return web.Response(status=206, headers={"Content-Range": header} if header else {}, body=b"x" * 4_000_001)
        return None

    proxy.fault = fault
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert got.se == "disk2"
    assert (bench.here / "out").read_bytes() == DATA


async def test_a_partial_file_of_another_file_is_not_used(bench: Bench, far: Client, proxy: Proxy) -> None:
    await interrupted(bench, far, proxy)
    other = noise(len(DATA), 2)
    await bench.client.remove(["/vo/f"])
    await bench.client.write("/vo/f", other)
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == other
    assert got.resumed == 0


async def test_a_partial_file_with_wrong_bytes_blames_no_replica(bench: Bench, far: Client, proxy: Proxy) -> None:
    held = await interrupted(bench, far, proxy)
    with (bench.here / "out.lading-part").open("r+b") as stream:
        stream.write(b"rotten")
    got = await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == DATA
    assert got.resumed == held
    assert set((await states(bench)).values()) == {ReplicaState.AVAILABLE}


async def test_without_resume_it_begins_anew(bench: Bench, far: Client, proxy: Proxy) -> None:
    await interrupted(bench, far, proxy)
    assert (await far.get("/vo/f", bench.here / "out", direct=False, resume=False)).resumed == 0
    assert (bench.here / "out").read_bytes() == DATA


async def test_two_gets_of_one_target(bench: Bench, far: Client) -> None:
    results = await asyncio.gather(
        *(far.get("/vo/f", bench.here / "out", direct=False) for _ in range(3)), return_exceptions=True
    )
    assert (bench.here / "out").read_bytes() == DATA
    assert sum(not isinstance(r, BaseException) for r in results) >= 1
    assert all(isinstance(r, Conflict) for r in results if isinstance(r, BaseException))
    assert leftovers(bench.here) == []


async def test_cancelling_leaves_a_part_that_can_be_used(bench: Bench, far: Client, proxy: Proxy) -> None:
    reached = asyncio.Event()

    def progress(meter: object) -> None:
        reached.set()

    task = asyncio.create_task(far.get("/vo/f", bench.here / "out", direct=False, progress=progress))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (bench.here / "out").exists()
    await far.get("/vo/f", bench.here / "out", direct=False)
    assert (bench.here / "out").read_bytes() == DATA


async def test_bytes_beyond_the_end_are_refused(bench: Bench, far: Client, proxy: Proxy) -> None:
    def fault(request: web.Request, _: int) -> web.Response | None:
        return web.Response(body=DATA + b"more") if request.query.get("se") == "disk1" else None

    proxy.fault = fault
    assert (await far.get("/vo/f", bench.here / "out", direct=False)).se == "disk2"
    assert (bench.here / "out").read_bytes() == DATA


async def test_checksums_to_verify(bench: Bench) -> None:
    await bench.client.write("/vo/x", b"content")
    with pytest.raises(InvalidRequest, match="adler32"):
        await bench.client.get("/vo/x", bench.here, checksum=["sha256"])
    with pytest.raises(InvalidRequest, match="did you mean"):
        await bench.client.get("/vo/x", bench.here, checksum=["adler-33"])
    assert (await bench.client.get("/vo/x", bench.here, checksum=["ADLER32"])).checksums


async def test_a_file_of_unknown_checksums(bench: Bench) -> None:
    (bench.disks["disk1"] / "old").write_bytes(b"legacy")
    await bench.client.register([FileSpec("/vo/old", 6, replicas=[ReplicaSpec("disk1", "old")])])
    for direct in (True, False):
        got = await bench.client.get("/vo/old", bench.here / f"out{direct}", direct=direct)
        assert got.checksums == {}
        assert Path(got.path).read_bytes() == b"legacy"
    with pytest.raises(Conflict, match="no checksum"):
        await bench.client.get("/vo/old", bench.here / "outTrue")


async def test_many_at_once(bench: Bench) -> None:
    c = bench.client
    total = 0
    for i in range(12):
        await c.write(f"/vo/m/{i}", DATA[: i * 100_000])
        total += i * 100_000
    seen = []
    pairs = [(f"/vo/m/{i}", str(bench.here / str(i))) for i in range(13)]
    outcomes = {
        o.item: o
        async for o in c.get_many(pairs, parallel=3, direct=False, progress=lambda m: seen.append((m.done, m.total)))
    }
    assert outcomes["/vo/m/12"].error.code == "not_found"
    for i in range(12):
        assert outcomes[f"/vo/m/{i}"].value.size == i * 100_000
        assert (bench.here / str(i)).read_bytes() == DATA[: i * 100_000]
    assert {t for _, t in seen} == {total}


async def test_a_stream_survives_its_sources_and_is_verified(bench: Bench, far: Client, proxy: Proxy) -> None:
    proxy.fault = lambda request, _: ("cut", 3_000_000) if request.query.get("se") == "disk1" else None
    assert b"".join([chunk async for chunk in far.stream("/vo/f")]) == DATA
    assert proxy.data() == ["disk1", "disk2"]
    proxy.fault = lambda request, _: ("damage", 77) if "/v1/data/" in request.path else None
    with pytest.raises(Mismatch):
        async for _ in far.stream("/vo/f"):
            pass
