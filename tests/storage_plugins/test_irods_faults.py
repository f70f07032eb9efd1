"""iRODS elements and a server that misbehaves, as iRODS was seen to: on the fake, whatever zone is named."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import irods.exception as ex
import pytest
from irods.session import iRODSSession

from storage_plugins import irods_session, registry
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    ChecksumMismatch,
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.irods_element import IrodsElement
from storage_plugins.irods_errors import Busy
from storage_plugins.testing_tools import get, names, put, sums
from storage_plugins.verify import verify
from tests.storage_plugins.irods_fake import Agent, FakeServer, Fault, hang_up, refuse, slow
from tests.storage_plugins.irods_fake_zone import GOOD, NO_GOOD_REPLICA, STALE, Refused
from tests.storage_plugins.irods_named import fake, options

BIG = 9 << 20  # more than two pieces


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake() as server:
        yield server


@contextlib.asynccontextmanager
async def opened(server: FakeServer, **more: Any) -> AsyncIterator[IrodsElement]:
    element = registry.open("irods", options(server, **more), name="fake")
    assert isinstance(element, IrodsElement)
    try:
        yield element
    finally:
        await element.aclose()


@pytest.fixture
async def element(server: FakeServer) -> AsyncIterator[IrodsElement]:
    async with opened(server) as element:
        assert (await element.probe(prepare=True)).ok
        yield element


async def staged(element: IrodsElement) -> list[str]:
    return [entry.pfn async for entry in element.scan_staging()]


def at(element: IrodsElement, pfn: str) -> str:
    return f"{element._tree.root}/{pfn}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ex.HIERARCHY_ERROR.code, Busy),
        (ex.LOCKED_DATA_OBJECT_ACCESS.code, Busy),
        (NO_GOOD_REPLICA, Busy),  # KeyError, to the client
        (-129000, Transient),  # this one too, and what it means nobody knows
        (ex.CAT_NO_ACCESS_PERMISSION.code, Denied),
        (ex.SYS_RESC_IS_DOWN.code, Unavailable),
        (ex.USER_CHKSUM_MISMATCH.code, ChecksumMismatch),  # what older servers answer to a verification
        (ex.UNIX_FILE_OPEN_ERR.code - 13, Denied),
        (ex.UNIX_FILE_OPEN_ERR.code - 5, Transient),
    ],
)
async def test_errors(server: FakeServer, element: IrodsElement, code: int, kind: type[Exception]) -> None:
    await put(element, "it", b"x")
    server.fault("DATA_OBJ_OPEN_AN", refuse(code))
    with pytest.raises(kind) as raised:
        await get(element, "it")
    assert type(raised.value) is kind
    assert await get(element, "it") == b"x"


async def test_wrong_credentials(server: FakeServer) -> None:
    for wrong in ({"password": "s3cret!"}, {"user": "nobody", "password": "s3cret!"}):
        async with opened(server, **wrong) as element:
            with pytest.raises(Denied, match="CAT_INVALID") as raised:
                await element.stat("it")
            assert "s3cret!" not in str(raised.value)
            report = await element.probe(prepare=True)
            assert not report.ok
            assert "s3cret!" not in repr(report)


async def test_a_password_the_server_repeats_is_not_told(server: FakeServer) -> None:
    async with opened(server, password="s3cret!") as element:

        def refused(*arguments: Any, **more: Any) -> None:
            raise RuntimeError("who is s3cret!?")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(irods_session, "iRODSSession", refused)
            with pytest.raises(Denied, match=r"who is \*\*\*\?"):
                await element.stat("it")


@pytest.mark.parametrize(
    "bad", [{"authentication": "pam_password"}, {"ca": "/x"}, {"root": "/zone"}, {"root": "/zone/../x"}]
)
def test_options(server: FakeServer, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions):
        registry.validate("irods", options(server, **bad))


async def test_a_server_that_stops_and_comes_back(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"x")
    server.stop()
    for call in (element.stat("it"), get(element, "it"), put(element, "new", b"x"), names(element, "")):
        with pytest.raises(Unavailable):
            await call
    assert not (await element.probe()).ok
    server.start()
    assert await get(element, "it") == b"x"
    server.stop()
    server.start()
    await put(element, "new", b"y")  # none of the connections from before lives
    assert await names(element, "") == ["it", "new"]


async def test_a_connection_that_died_in_silence_is_tried_again_once(server: FakeServer) -> None:
    async with opened(server, connections=1) as element:
        assert (await element.probe(prepare=True)).ok
        await put(element, "it", b"x")
        await get(element, "it")
        for api in ("GENQUERY2_AN", "DATA_OBJ_OPEN_AN"):
            server.fault(api, hang_up)
            assert await get(element, "it") == b"x"
            server.fault(api, hang_up, hang_up)
            with pytest.raises(Transient):
                await get(element, "it")
            assert await get(element, "it") == b"x"
        server.fault("DATA_OBJ_RENAME_AN", hang_up)  # it may have been done: not twice
        with pytest.raises(Transient):
            await put(element, "new", b"x")
        assert await names(element, "") == ["it"]
        assert await staged(element) == []


async def test_an_answer_that_is_lost(server: FakeServer, element: IrodsElement) -> None:
    """The catalogue tells what was done."""
    await put(element, "it", b"old")
    server.afterwards["DATA_OBJ_RENAME_AN"] = deque([hang_up])
    await put(element, "new", b"complete")
    assert await get(element, "new") == b"complete"
    server.afterwards["DATA_OBJ_RENAME_AN"].extend([lambda agent: None, hang_up])
    await put(element, "it", b"newer", overwrite=True)
    assert await get(element, "it") == b"newer"
    assert await staged(element) == []
    server.afterwards["DATA_OBJ_RENAME_AN"].append(hang_up)  # of the first of the two moves
    with pytest.raises(Transient):
        await put(element, "it", b"newest", overwrite=True)
    assert await get(element, "it") == b"newer"
    await element.clean_staging(0)
    assert await get(element, "it") == b"newer"
    assert await staged(element) == []


async def test_two_at_once_whom_the_database_keeps_apart(server: FakeServer, element: IrodsElement) -> None:
    def first(agent: Agent) -> None:
        server.zone.put(at(element, "it"), (GOOD, b"theirs"))
        raise Refused(ex.CAT_SQL_ERR)

    server.fault("DATA_OBJ_RENAME_AN", first)
    with pytest.raises(ObjectExists):
        await put(element, "it", b"ours")
    assert await get(element, "it") == b"theirs"
    assert await staged(element) == []


async def test_when_the_second_move_fails_the_first_is_undone(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"old")
    server.fault("DATA_OBJ_RENAME_AN", lambda agent: None, refuse(ex.CAT_NO_ACCESS_PERMISSION.code))
    with pytest.raises(Denied):
        await put(element, "it", b"new", overwrite=True)
    assert bytes(server.zone.entries[at(element, "it")].replicas[0].data) == b"old"
    assert await staged(element) == []


async def test_a_reader_in_the_gap(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"old")
    in_gap, go_on = threading.Event(), threading.Event()

    def wait(agent: Agent) -> None:
        in_gap.set()
        go_on.wait(10)

    server.fault("DATA_OBJ_RENAME_AN", lambda agent: None, wait)
    writing = asyncio.create_task(put(element, "it", b"newer", overwrite=True))
    await asyncio.to_thread(in_gap.wait, 10)
    assert at(element, "it") not in server.zone.entries, "it is a gap"
    async with opened(server, root=element._tree.root) as other:
        assert (await other.stat("it")).size == 3
        assert await get(other, "it") == b"old"
        assert await names(other, "") == ["it"]
        with pytest.raises(ObjectExists):
            await put(other, "it", b"another")
        go_on.set()
        await writing
        assert await get(other, "it") == b"newer"


async def test_stale_replicas(server: FakeServer, element: IrodsElement) -> None:
    server.zone.put(at(element, "it"), (STALE, b"OLD"), (GOOD, b"NEW CONTENT"), (GOOD, b"NEW CONTENT"))
    server.zone.put(at(element, "none good"), (STALE, b"half"))
    server.zone.entries[at(element, "it")].replicas[0].checksum = "sha2:" + "A" * 43 + "="
    assert (await element.stat("it")).size == 11
    assert (await element.stat("it")).checksums == {}
    assert await get(element, "it") == b"NEW CONTENT"
    assert await names(element, "") == ["it"]
    for call in (element.stat("none good"), get(element, "none good")):
        with pytest.raises(Busy, match="no good replica"):
            await call
    with pytest.raises(ObjectExists):
        await put(element, "none good", b"x")
    await put(element, "none good", b"x", overwrite=True)
    assert await get(element, "none good") == b"x"


async def test_somebody_else_writes_to_it(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"content")
    with (
        iRODSSession(host="127.0.0.1", port=server.port, user="lading", zone="fake", password="p@ss; word") as other,
        other.data_objects.open(at(element, "it"), "w") as file,
    ):
        for call in (element.stat("it"), get(element, "it"), put(element, "it", b"x", overwrite=True)):
            with pytest.raises(Busy):
                await call
        file.write(b"theirs")
    assert await get(element, "it") == b"theirs"
    assert await element.clean_staging(0) == 0 == len(await staged(element))


async def test_the_upload_of_the_living_is_not_cleaned(server: FakeServer, element: IrodsElement, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("storage_plugins.irods_tree._PATIENCE", (0.01,))
    half, go_on = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(BIG)
        yield bytes(BIG)
        half.set()
        await go_on.wait()

    writing = asyncio.create_task(element.write("it", chunks()))
    await half.wait()
    assert await element.clean_staging(0) == 0
    go_on.set()
    assert (await writing).size == 2 * BIG
    assert await staged(element) == []


async def test_no_permission_looks_like_not_there(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "a/it", b"x")
    server.zone.hidden.add(at(element, "a"))
    for call in (element.stat("a/it"), get(element, "a/it"), element.remove("a/it"), element.get_metadata("a/it")):
        with pytest.raises(ObjectNotFound):
            await call
    with pytest.raises(Denied):
        await put(element, "a/it", b"x", overwrite=True)
    with pytest.raises(Denied, match="may not make"):
        await put(element, "a/b/c", b"x")
    server.zone.hidden.add(element._tree.root)
    for call in (element.stat("a/it"), names(element, "")):
        with pytest.raises(Unavailable):
            await call


async def test_failed_opens_leave_no_agents(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"x")
    server.fault("DATA_OBJ_OPEN_AN", *[refuse(ex.HIERARCHY_ERROR.code)] * 20)
    for _ in range(20):
        with pytest.raises(Busy):
            await get(element, "it")
    for _ in range(100):
        if len(server.agents) <= 3:
            break
        await asyncio.sleep(0.02)
    assert len(server.agents) <= 3, "one a thread that was used: a question, a reader, a writer"
    await element.aclose()
    for _ in range(100):
        if not server.agents:
            break
        await asyncio.sleep(0.02)
    assert not server.agents


async def test_one_session_a_thread_made_anew_after_an_error(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    made: list[tuple[int, Any]] = []

    class Watched(iRODSSession):  # type: ignore[misc]  # the client has no types
        def __init__(self, **arguments: Any) -> None:
            self.thread = threading.get_ident()
            made.append((self.thread, self))
            super().__init__(**arguments)

        def __getattribute__(self, name: str) -> Any:
            if name in ("data_objects", "metadata", "collections", "genquery2", "query"):
                assert self.thread == threading.get_ident(), name
            return super().__getattribute__(name)

    monkeypatch.setattr(irods_session, "iRODSSession", Watched)
    async with opened(server, connections=1) as element:
        assert (await element.probe(prepare=True)).ok

        async def one(number: int) -> None:
            await put(element, f"{number}", bytes(BATCH))
            assert await get(element, f"{number}") == bytes(BATCH)

        await asyncio.gather(*(one(number) for number in range(12)))
        threads = [thread for thread, _ in made]
        assert len(threads) == len(set(threads)) <= 4, "one that reads, one that writes, two for questions"
        assert threading.main_thread().ident not in threads
        server.fault("DATA_OBJ_OPEN_AN", refuse(ex.HIERARCHY_ERROR.code))
        before = len(made)
        with pytest.raises(Busy):
            await get(element, "1")
        assert await get(element, "1") == bytes(BATCH)
        assert len(made) == before + 1


async def test_other_bytes_stored_than_sent(server: FakeServer, element: IrodsElement) -> None:
    def spoil(agent: Agent) -> None:
        for opened in agent._opened.values():
            opened.replica.data[7] ^= 1

    server.fault("DATA_OBJ_CLOSE_AN", spoil)
    with pytest.raises(ChecksumMismatch, match="sha256"):
        await put(element, "it", bytes(BIG))

    def lose(agent: Agent) -> None:
        for opened in agent._opened.values():
            del opened.replica.data[-1:]

    server.fault("DATA_OBJ_CLOSE_AN", lose)
    with pytest.raises(Transient, match="have arrived"):
        await put(element, "it", bytes(BIG))
    assert await names(element, "") == [] == await staged(element)


async def test_a_damaged_object(server: FakeServer, element: IrodsElement) -> None:
    data = bytes(range(256)) * 100
    await put(element, "it", data)
    replica = server.zone.entries[at(element, "it")].replicas[0]
    kept = replica.checksum
    replica.data[0] ^= 1
    with pytest.raises(ChecksumMismatch, match="other bytes"):
        await element.checksum("it", ["sha256"])
    with pytest.raises(ChecksumMismatch):
        await verify(element, "it", sums(data, "sha256"))
    assert replica.checksum == kept, "damage did not become the truth"
    del replica.data[1000:]
    for start in (0, 500, 2000):
        with pytest.raises(Transient, match="size"):
            await get(element, "it", start)


async def test_an_object_without_a_checksum(server: FakeServer, element: IrodsElement) -> None:
    server.zone.put(at(element, "it"), (GOOD, b"of others"))
    assert (await element.stat("it")).checksums == {}
    assert await element.checksum("it", ["sha256"]) == sums(b"of others", "sha256")
    assert (await element.stat("it")).checksums == sums(b"of others", "sha256")
    assert (await verify(element, "it", sums(b"of others", "md5"))).checksums == sums(b"of others", "md5")


async def test_checksums_that_the_server_will_not_compare(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"x")
    problem = '[{"error_code": -862000, "message": "replica 1 has none", "severity": "error"}]'

    def complain(agent: Agent) -> None:
        raise Refused(ex.CHECK_VERIFICATION_RESULTS, problem)

    server.fault("DATA_OBJ_CHKSUM_AN", complain, complain)
    with pytest.raises(Unsupported, match="replica 1 has none"):
        await element.checksum("it", ["sha256"])
    assert (await verify(element, "it", sums(b"x", "sha256"))).size == 1, "it was read instead"


@pytest.mark.parametrize(("scheme", "kind"), [("md5", "md5"), ("adler32", "adler32"), ("sha1", "sha1"), ("sha512", "sha512")])  # fmt: skip
async def test_zones_that_hash_otherwise(scheme: str, kind: str) -> None:
    with fake(scheme=scheme) as server:
        async with opened(server) as element:
            assert (await element.probe(prepare=True)).ok
            assert element.told_checksums == {kind}
            assert (await element.write("it", chunked(b"some"))).checksums == sums(b"some", kind)
            assert await element.checksum("it", [kind]) == sums(b"some", kind)


async def test_full(server: FakeServer, element: IrodsElement) -> None:
    server.zone.full = True
    with pytest.raises(NoSpace):
        await put(element, "it", bytes(BIG))
    assert await names(element, "") == [] == await staged(element)


async def test_names_that_are_too_long_for_the_vault(server: FakeServer, element: IrodsElement) -> None:
    server.fault("DATA_OBJ_RENAME_AN", refuse(ex.UNIX_FILE_RENAME_ERR.code - 36))
    with pytest.raises(InvalidPath):
        await put(element, "it", b"x")


async def test_somebody_made_a_collection_there(server: FakeServer, element: IrodsElement) -> None:
    server.zone.collections.add(at(element, "it"))
    with pytest.raises(ObjectExists):
        await put(element, "it", b"x")
    with pytest.raises(InvalidPath, match="collection"):
        await put(element, "it", b"x", overwrite=True)
    assert await staged(element) == []


async def test_a_collection_goes_under_the_writer(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "a/one", b"x")
    server.zone.remove(at(element, "a"))
    await put(element, "a/two", b"x")
    server.zone.remove(element._tree.staging)
    await put(element, "a/three", b"x")
    await element.copy_from(element, "a/two", "b/two")
    assert await names(element, "") == ["a/three", "a/two", "b/two"]
    assert await staged(element) == []


async def test_names_of_others_with_control_characters(server: FakeServer, element: IrodsElement) -> None:
    server.zone.put(at(element, "a\x01b"), (GOOD, b"x"))
    await put(element, "it", b"y")
    assert await names(element, "") == ["a\x01b", "it"]
    server.version = "4.3.1"  # no GenQuery2: the client cannot read the answer, and the scan must not look complete
    async with opened(server, root=element._tree.root) as old:
        with pytest.raises(Transient):
            await names(old, "")
        assert await get(old, "it") == b"y"


async def test_where_to_write_and_as_whom(server: FakeServer) -> None:
    async with opened(server, resource="tape", client_user="alice#elsewhere") as element:
        assert (await element.probe(prepare=True)).ok
        await put(element, "it", b"x")
        await element.copy_from(element, "it", "copy")
        assert server.zone.entries[at(element, "it")].replicas[0].resource == "tape"
        assert set(server.clients) == {"alice"}
        assert await get(element, "it") == b"x"


async def test_copies(server: FakeServer, element: IrodsElement) -> None:
    await put(element, "it", b"some")
    async with opened(server) as other:
        assert (await other.probe(prepare=True)).ok
        assert await other.copies_from(element)
        assert (await other.copy_from(element, "it", "it")).checksums == sums(b"some", "sha256")
        server.fault("DATA_OBJ_COPY_AN", *[refuse(ex.CAT_NO_ROWS_FOUND.code)] * 2)  # as a source that we may not see
        with pytest.raises(Unsupported):
            await other.copy_from(element, "it", "again")
        assert await names(other, "") == ["it"]
        assert await staged(other) == []
    async with opened(server, root="/elsewhere/home/lading/x") as elsewhere:
        assert not await elsewhere.copies_from(element)


@pytest.mark.parametrize("call", ["stat", "read", "write"])
async def test_a_server_that_does_not_answer(server: FakeServer, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_plugins.irods_tree._PATIENCE", (0.1, 0.1))
    async with opened(server, timeout=0.3) as element:
        assert (await element.probe(prepare=True)).ok
        await put(element, "it", b"x")
        calls: dict[str, tuple[str, Callable[[], Any]]] = {
            "stat": ("GENQUERY2_AN", lambda: element.stat("it")),
            "read": ("DATA_OBJ_READ_AN", lambda: get(element, "it")),
            "write": ("DATA_OBJ_WRITE_AN", lambda: put(element, "new", b"x")),
        }
        api, run = calls[call]
        hanging: list[Fault] = [slow(1.0)] * 2
        server.fault(api, *hanging)
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        turning = asyncio.create_task(turn())
        with pytest.raises(Transient, match="Could not receive"):
            await run()
        turning.cancel()
        assert turns > 5, "the event loop went on"
        server.faults.clear()
        await asyncio.sleep(1)
        assert await get(element, "it") == b"x"


async def test_what_the_server_does_alone_may_take_long(server: FakeServer) -> None:
    async with opened(server, timeout=0.3) as element:
        assert (await element.probe(prepare=True)).ok
        for api in ("DATA_OBJ_CLOSE_AN", "DATA_OBJ_COPY_AN", "DATA_OBJ_CHKSUM_AN"):
            server.fault(api, slow(0.6))
        await put(element, "it", b"x")
        await element.copy_from(element, "it", "copy")
        assert await element.checksum("copy", ["sha256"]) == sums(b"x", "sha256")
        assert await get(element, "copy") == b"x"


async def test_closing_while_the_server_hangs(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_plugins.irods_workers._PATIENCE", 0.1)
    async with opened(server, timeout=600) as element:
        assert (await element.probe(prepare=True)).ok
        released = threading.Event()
        server.fault("GENQUERY2_AN", lambda agent: (released.wait(20), None)[1])
        waiting = asyncio.create_task(element.stat("it"))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(element.aclose(), 15)
        with pytest.raises((Transient, Unavailable)):
            await waiting
        released.set()


async def test_small_pieces_are_not_held_back(element: IrodsElement) -> None:
    await put(element, "it", b"x")
    for workers in (element._questions, element._writers):
        for worker in workers._all:
            (connection,) = worker.session._session.pool.idle
            assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_nothing_is_logged_that_is_secret(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with opened(server) as element:
        assert (await element.probe(prepare=True)).ok
        server.fault("DATA_OBJ_OPEN_AN", hang_up, hang_up)
        with pytest.raises(Transient):
            await put(element, "it", b"x")
    assert "p@ss; word" not in caplog.text
