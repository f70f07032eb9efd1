"""Putting files: all or nothing, verified, safe to repeat."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest
from aiohttp import web

import lading.client.retry
from lading import CatalogError, Client, Conflict, InvalidRequest
from lading.client.local import LocalError
from lading.client.meter import Meter
from lading.client.put import Writing, put_stream
from lading.client.read import Mismatch
from lading.model.file import FileSpec, ReplicaSpec
from tests.client.proxy import Proxy
from tests.client.support import Bench, adler32, noise

DATA = noise(9_000_001)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lading.client.retry, "FIRST", 0.01)


async def nothing_there(bench: Bench, lfn: str = "/vo/x") -> bool:
    """No entry, and no file of any size on an element but its marker, once the server saw that the client is gone."""
    for _ in range(200):
        assert not (await bench.client.exists([lfn]))[0].value, "it must not show, not even for a moment"
        files = (p for disk in bench.disks.values() for p in disk.rglob("*") if p.is_file())
        if all(p.name == ".lading-element" for p in files):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1 << 20, (4 << 20) + 1, 9_000_001])
async def test_round_trip(bench: Bench, direct: bool, size: int) -> None:
    data = DATA[:size]
    local = bench.local("x", data)
    await bench.declare(run="int", who="string")
    stored = await bench.client.put(
        local, "/vo/x", se="disk2", checksums=["adler32"], mode=0o640, metadata={"run": 7, "who": "ü"}, direct=direct
    )
    assert (stored.size, stored.changed, stored.se, stored.checksums) == (
        size,
        True,
        "disk2",
        {"adler32": adler32(data)},
    )
    assert bench.object("disk2", data)
    entry = await bench.client.entry("/vo/x")
    assert (entry.size, entry.guid, entry.checksums, entry.replicas) == (size, stored.guid, stored.checksums, 1)
    assert (entry.mode, entry.metadata) == (0o640, {"run": 7, "who": "ü"})
    again = await bench.client.put(local, "/vo/x", se="disk2", direct=direct)
    assert (again.changed, again.guid) == (False, stored.guid)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_second_element_gets_a_replica(bench: Bench, direct: bool) -> None:
    local = bench.local("x", DATA)
    first = await bench.client.put(local, "/vo/x", se="disk1", direct=direct)
    second = await bench.client.put(local, "/vo/x", se="disk2", direct=direct)
    assert (first.guid, second.changed) == (second.guid, True)
    assert {s.se for s in (await bench.client.sources("/vo/x")).sources} == {"disk1", "disk2"}


@pytest.mark.parametrize("direct", [True, False])
async def test_other_content_is_a_conflict_and_changes_nothing(bench: Bench, proxy: Proxy, direct: bool) -> None:
    await bench.client.write("/vo/x", DATA)
    async with Client(proxy.url, bench.server.token) as client:
        for other in (DATA[:-1], DATA[:-1] + b"!"):
            with pytest.raises(Conflict, match="content never changes"):
                await client.put(bench.local("other", other), "/vo/x", direct=direct)
    assert not [m for m, _, _ in proxy.seen if m == "PUT"]  # found out before a byte was sent
    assert await bench.client.read("/vo/x") == DATA


async def test_into_a_directory(bench: Bench) -> None:
    await bench.client.make_directories(["/vo/d"])
    local = bench.local("name", b"1")
    assert (await bench.client.put(local, "/vo/d")).lfn == "/vo/d/name"
    assert (await bench.client.put(local, "/vo/new/")).lfn == "/vo/new/name"
    assert (await bench.client.entry("/vo/new/name")).size == 1
    with pytest.raises(Conflict):
        await bench.client.put(bench.local("d", b"1"), "/vo")  # /vo/d is a directory


@pytest.mark.parametrize("direct", [True, False])
async def test_expected_checksums_and_guid(bench: Bench, direct: bool) -> None:
    local = bench.local("x", DATA)
    with pytest.raises(Mismatch, match="not 00000001 as expected"):
        await bench.client.put(local, "/vo/x", checksums={"adler32": "1"}, direct=direct)
    assert await nothing_there(bench)
    with pytest.raises(InvalidRequest):
        await bench.client.put(local, "/vo/x", checksums={"md5": "xyz"}, direct=direct)
    with pytest.raises(InvalidRequest):
        await bench.client.put(local, "/vo/x", checksums=["md6"], direct=direct)
    with pytest.raises(InvalidRequest):
        await bench.client.put(local, "/vo/x", guid="nonsense", direct=direct)
    guid = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
    stored = await bench.client.put(
        local, "/vo/x", checksums={"ADLER32": adler32(DATA).upper()}, guid=guid.upper(), direct=direct
    )
    assert (stored.guid, (await bench.client.entry("/vo/x")).guid) == (guid, guid)


async def test_local_faults(bench: Bench) -> None:
    with pytest.raises(LocalError, match="No such file"):
        await bench.client.put(bench.here / "none", "/vo/x")
    os.mkfifo(bench.here / "fifo")
    with pytest.raises(LocalError, match="plain file"):
        await bench.client.put(bench.here / "fifo", "/vo/x")
    with pytest.raises(LocalError):
        await bench.client.put(bench.here, "/vo/x")
    assert await nothing_there(bench)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("how", ["grow", "shrink", "change"])
async def test_a_file_that_changes_while_it_is_read(bench: Bench, direct: bool, how: str) -> None:
    local = Path(bench.local("x", DATA))

    def progress(_: Meter) -> None:
        if how == "shrink":
            os.truncate(local, 100)
        else:
            with local.open("r+b") as stream:
                stream.seek(0, os.SEEK_END if how == "grow" else 0)
                stream.write(b"!")

    with pytest.raises(LocalError, match=r"changed while|shorter"):
        await bench.client.put(local, "/vo/x", direct=direct, progress=progress)
    assert await nothing_there(bench)


async def test_a_broken_connection_is_tried_again(bench: Bench, proxy: Proxy) -> None:
    """The answer is lost after the server stored it: the retry finds the same file, a success."""
    lost = iter([("lose",)])
    proxy.fault = lambda request, _: next(lost, None) if request.method == "PUT" else None
    async with Client(proxy.url, bench.server.token) as client:
        stored = await client.put(bench.local("x", DATA), "/vo/x", direct=False)
    assert stored.guid == (await bench.client.entry("/vo/x")).guid
    assert [m for m, _, _ in proxy.seen].count("PUT") == 2
    assert await bench.client.read("/vo/x") == DATA


async def test_throttled_puts_wait(bench: Bench, proxy: Proxy) -> None:
    busy = iter([web.Response(status=429), web.Response(status=503)])
    proxy.fault = lambda request, _: next(busy, None) if request.method == "PUT" else None
    async with Client(proxy.url, bench.server.token) as client:
        assert (await client.put(bench.local("x", DATA[:1000]), "/vo/x")).changed


@pytest.mark.parametrize("direct", [True, False])
async def test_a_put_that_is_cancelled_leaves_nothing(bench: Bench, direct: bool) -> None:
    reached = asyncio.Event()
    local = bench.local("x", DATA * 4)
    task = asyncio.create_task(bench.client.put(local, "/vo/x", direct=direct, progress=lambda _: reached.set()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):  # the server notices by itself
        if await nothing_there(bench):
            break
        await asyncio.sleep(0.05)
    assert await nothing_there(bench)
    assert (await bench.client.put(local, "/vo/x", direct=direct)).changed


async def test_a_stream_of_unknown_length(bench: Bench) -> None:
    stored = await put_stream(bench.client, io.BytesIO(DATA), "/vo/x", Writing(se="disk1"), Meter())
    assert (stored.size, stored.checksums) == (len(DATA), {"adler32": adler32(DATA)})
    assert bench.object("disk1", DATA)


async def test_a_stream_that_breaks_stores_nothing(bench: Bench) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 4_000_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        await put_stream(bench.client, Broken(DATA), "/vo/x", Writing(), Meter())
    for _ in range(100):
        if await nothing_there(bench):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("something is left")


async def test_an_element_path_that_is_not_writable_here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.client.direct.path_of", lambda _: None)
    assert (await bench.client.put(bench.local("x", DATA), "/vo/x", se="disk1")).changed
    assert bench.client.remote == {"disk1"}
    assert bench.object("disk1", DATA)


async def test_an_element_path_that_means_something_else_here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL's path can be written to on this machine, but the server finds nothing there: through the server then."""
    (bench.here / "other").mkdir()
    monkeypatch.setattr("lading.client.direct.path_of", lambda url: str(bench.here / "other" / "x"))
    assert (await bench.client.put(bench.local("x", DATA), "/vo/x", se="disk1")).changed
    assert bench.object("disk1", DATA)
    assert list((bench.here / "other").iterdir()) == []


async def test_a_server_cannot_make_us_change_a_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = bench.local("victim", b"precious")
    monkeypatch.setattr("lading.client.direct.path_of", lambda url: victim)
    assert (await bench.client.put(bench.local("x", DATA), "/vo/x", se="disk1")).changed
    assert Path(victim).read_bytes() == b"precious"


async def test_a_registered_file_without_replicas_can_be_filled(bench: Bench) -> None:
    await bench.client.register([FileSpec("/vo/x", len(DATA), checksums={"adler32": adler32(DATA)})])
    assert (await bench.client.put(bench.local("x", DATA), "/vo/x")).changed
    assert await bench.client.read("/vo/x") == DATA


async def test_a_lost_replica_is_put_again(bench: Bench) -> None:
    await bench.client.register(
        [
            FileSpec(
                "/vo/x",
                len(DATA),
                checksums={"adler32": adler32(DATA)},
                replicas=[ReplicaSpec("disk1", "gone", "lost")],
            )
        ]
    )
    await bench.client.put(bench.local("x", DATA), "/vo/x", se="disk1")
    assert await bench.client.read("/vo/x") == DATA


async def test_damage_on_the_way_is_found_and_undone(
    bench: Bench, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A middle box changes a byte: the server stored other bytes than were read here."""
    original = bench.local("x", DATA)

    async def tampering(request: web.Request) -> web.StreamResponse:
        if request.method != "PUT":
            return await forward(request)
        body = bytearray(await request.read())
        body[1234] ^= 1
        async with bench.server.http.put(
            f"{bench.server.url}/v1/data/vo/x",
            data=bytes(body),
            headers={"Authorization": request.headers["Authorization"]},
        ) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    forward = proxy.handle
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", tampering)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}", bench.server.token) as client:
        with pytest.raises(Mismatch, match="damaged"):
            await client.put(original, "/vo/x", direct=False)
    await runner.cleanup()
    assert not (await bench.client.exists(["/vo/x"]))[0].value


async def test_many_at_once(bench: Bench) -> None:
    pairs = [(bench.local(str(i), DATA[: i * 300_000]), "/vo/m/") for i in range(10)] + [
        (str(bench.here / "none"), "/vo/m/")
    ]
    seen = []
    outcomes = {
        os.path.basename(o.item): o
        async for o in bench.client.put_many(pairs, se="disk1", parallel=3, progress=lambda m: seen.append(m.total))
    }
    assert outcomes["none"].error.code == "local_error"
    assert set(seen) <= {None}  # the size of the absent file is not known: no total is made up
    for i in range(10):
        assert outcomes[str(i)].value.lfn == f"/vo/m/{i}"
        assert await bench.client.read(f"/vo/m/{i}") == DATA[: i * 300_000]


async def test_without_the_right_to_write(bench: Bench, server: object) -> None:
    from lading import Forbidden
    from lading.model.people import TokenSpec, UserSpec

    await bench.client.make_directories(["/vo/d"], mode=0o755)
    await bench.client.users.add(UserSpec("bob"))
    token = await bench.client.tokens.add(TokenSpec("bob"))
    async with Client(bench.server.url, token.token) as bob:
        for direct in (True, False):
            with pytest.raises(Forbidden):
                await bob.put(bench.local("x", DATA), "/vo/d/x", direct=direct)
    assert await nothing_there(bench, "/vo/d/x")


async def test_no_element_takes_it(bench: Bench) -> None:
    with pytest.raises(CatalogError, match="nosuch"):
        await bench.client.put(bench.local("x", DATA), "/vo/x", se="nosuch")
    assert await nothing_there(bench)


async def test_the_element_that_the_server_picked_is_told(bench: Bench) -> None:
    for direct, name in ((True, "a"), (False, "b")):
        stored = await bench.client.put(bench.local("x", DATA), f"/vo/{name}", direct=direct)
        assert stored.se in bench.disks
        assert bench.object(stored.se, DATA)
