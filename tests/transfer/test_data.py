"""Bytes through the server: whole files and ranges, repeats and refusals, and what is left after a failure."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from lading import wire
from storage_plugins import posix_staging
from tests.transfer.conftest import Store, adler32

BODY = os.urandom(3_000_001)


@pytest.fixture(autouse=True, params=[wire.WORTH, 1], ids=["from aiohttp", "from the socket"])
def _way_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies come by either way, whatever their size."""
    monkeypatch.setattr(wire, "WORTH", request.param)


async def test_a_file_comes_back_whole_with_its_checksum(store: Store) -> None:
    status, entry = await store.put("/vo/a", BODY)
    assert (status, entry["size"], entry["checksums"]) == (201, len(BODY), {"adler32": adler32(BODY)})
    status, body, headers = await store.get("/vo/a")
    assert (status, body) == (200, BODY)
    assert headers["ETag"] == f'"adler32:{adler32(BODY)}"'
    assert headers["Content-Length"] == str(len(BODY))
    assert "Content-Range" not in headers


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("10-", 10, None), ("-5", -5, None), ("2999999-9999999", 2999999, None), ("0-3000000", 0, None)],
)
async def test_a_range_is_206_and_exact(store: Store, asked: str, start: int, stop: int | None) -> None:
    await store.put("/vo/a", BODY)
    status, body, headers = await store.get("/vo/a", Range=f"bytes={asked}")
    assert (status, body) == (206, BODY[start:stop])
    first = start % len(BODY) if start >= 0 else len(BODY) + start
    assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(BODY)}"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("bytes=3000001-", 416),
        ("bytes=-0", 416),
        ("bytes=5-2", 200),
        ("lines=1-2", 200),
        ("bytes=0-1,5-6", 200),
        ("bytes=-", 200),
    ],
)
async def test_odd_ranges(store: Store, header: str, status: int) -> None:
    await store.put("/vo/a", BODY)
    found, body, _ = await store.get("/vo/a", Range=header)
    assert found == status
    assert status == 416 or body == BODY


async def test_conditional_requests(store: Store) -> None:
    await store.put("/vo/a", BODY)
    tag = f'"adler32:{adler32(BODY)}"'
    assert (await store.get("/vo/a", If_None_Match=tag))[:2] == (304, b"")
    assert (await store.get("/vo/a", If_Range=tag, Range="bytes=0-4"))[:2] == (206, BODY[:5])
    assert (await store.get("/vo/a", If_Range='"other"', Range="bytes=0-4"))[:2] == (200, BODY)


async def test_head_tells_the_size_and_sends_nothing(store: Store) -> None:
    await store.put("/vo/a", BODY)
    async with store.server.http.head(store.server.url + "/v1/data/vo/a") as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(BODY)))
        assert await response.read() == b""


async def test_names_that_urls_do_not_like(store: Store) -> None:
    name = '/vo/50% & more #1 ?x=é+"q".nii'
    quoted = "/vo/50%25%20%26%20more%20%231%20%3Fx%3D%C3%A9%2B%22q%22.nii"
    async with store.server.http.put(
        aiohttp.client.URL(store.server.url + "/v1/data" + quoted, encoded=True), data=b"x"
    ) as response:
        assert response.status == 201
        assert (await response.json())["lfn"] == name
    async with store.server.http.get(
        aiohttp.client.URL(store.server.url + "/v1/data" + quoted, encoded=True)
    ) as response:
        assert await response.read() == b"x"


async def test_an_empty_file(store: Store) -> None:
    assert (await store.put("/vo/empty", b""))[0] == 201
    assert (await store.get("/vo/empty"))[:2] == (200, b"")
    assert (await store.get("/vo/empty", Range="bytes=0-"))[0] == 416


async def test_the_same_file_again_is_a_success_and_another_is_refused(store: Store) -> None:
    assert (await store.put("/vo/a", BODY))[0] == 201
    assert (await store.put("/vo/a", BODY))[0] == 200
    status, problem = await store.put("/vo/a", BODY[:-1] + b"?" if BODY[-1:] != b"?" else BODY[:-1] + b"!")
    assert (status, problem["code"]) == (409, "conflict")
    assert (await store.get("/vo/a"))[1] == BODY
    assert len(store.objects("one")) == 1


async def test_the_same_file_on_a_second_element_is_a_second_replica(store: Store) -> None:
    await store.put("/vo/a", BODY)
    status, entry = await store.put("/vo/a", BODY, se="two")
    assert (status, entry["replicas"]) == (201, 2)
    assert len(await store.sources("/vo/a")) == 2


async def test_bytes_other_than_promised_leave_nothing(store: Store) -> None:
    status, problem = await store.put("/vo/a", BODY, X_Lading_Checksums="adler32:00000001")
    assert (status, problem["code"]) == (400, "invalid_request")
    assert adler32(BODY) in problem["detail"]
    assert store.objects("one") == []
    assert (await store.get("/vo/a"))[0] == 404
    assert await store.uploads() == 0


async def test_a_client_that_leaves_leaves_nothing(store: Store) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield BODY[:1_500_000]
        await asyncio.sleep(0.2)
        raise ConnectionResetError("the client dies")

    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await store.put("/vo/a", half())
    for _ in range(100):
        if not store.objects("one") and not await store.uploads():
            break
        await asyncio.sleep(0.05)
    assert store.objects("one") == []
    assert await store.uploads() == 0
    assert (await store.get("/vo/a"))[0] == 404


async def test_a_short_body_is_no_file(store: Store) -> None:
    """Content-Length promises more than comes."""
    host = store.server.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    head = f"PUT /v1/data/vo/a?se=one HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {store.server.token}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"x" * 999)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    del reader
    await asyncio.sleep(0.3)
    assert (await store.get("/vo/a"))[0] == 404
    assert store.objects("one") == []


async def test_writers_racing_for_one_name_leave_one_winner(store: Store) -> None:
    bodies = [os.urandom(200_000) for _ in range(6)]
    answers = await asyncio.gather(*(store.put("/vo/race", b, se=("one", "two")[n % 2]) for n, b in enumerate(bodies)))
    won = [n for n, (status, _) in enumerate(answers) if status == 201]
    assert len(won) == 1
    assert sorted({status for status, _ in answers}) == [201, 409]
    assert (await store.get("/vo/race"))[1] == bodies[won[0]]
    assert len(store.objects("one")) + len(store.objects("two")) == 1


async def test_the_same_bytes_racing_all_succeed(store: Store) -> None:
    answers = await asyncio.gather(*(store.put("/vo/race", BODY) for _ in range(4)))
    assert {status for status, _ in answers} <= {200, 201}
    assert (await store.get("/vo/race"))[1] == BODY
    assert len(store.objects("one")) == 1
    assert await store.uploads() == 0


async def test_a_replica_whose_object_is_gone_is_marked_and_the_next_is_read(store: Store) -> None:
    await store.put("/vo/a", BODY)
    await store.copy("/vo/a")
    store.objects("one")[0].unlink()
    status, body, headers = await store.get("/vo/a", "?site=ONE")
    assert (status, body, headers["X-Lading-Element"]) == (200, BODY, "two")
    assert await store.sources("/vo/a") == [("two", "available"), ("one", "suspect")]
    # A put to the element with the bad copy mends it.
    assert (await store.put("/vo/a", BODY))[0] == 201
    assert sorted(await store.sources("/vo/a")) == [("one", "available"), ("two", "available")]


async def test_no_replica_left_to_read_says_why(store: Store) -> None:
    await store.put("/vo/a", BODY)
    store.objects("one")[0].unlink()
    _, body, _ = await store.get("/vo/a")
    assert b"does not have the object" in body
    await store.server.call("PATCH", "/v1/elements/one", {"state": "off"})
    status, body, headers = await store.get("/vo/a")
    assert (status, b"is off" in body) == (503, True)
    assert "Retry-After" in headers


async def test_a_closed_element_takes_no_bytes(store: Store) -> None:
    await store.server.call("PATCH", "/v1/elements/one", {"state": "read-only"})
    status, problem = await store.put("/vo/a", BODY)
    assert (status, problem["code"]) == (503, "unavailable")
    assert "read-only" in problem["detail"]


async def test_a_full_element_refuses_before_bytes_move(store: Store) -> None:
    await store.server.call("PATCH", "/v1/elements/one", {"max_bytes": 4_000_000})
    assert (await store.put("/vo/a", BODY))[0] == 201
    status, problem = await store.put("/vo/b", BODY)
    assert (status, problem["code"]) == (507, "quota_exceeded")


async def test_a_missing_disk_is_not_a_missing_file(store: Store) -> None:
    await store.put("/vo/a", BODY)
    (store.folder / "one").rename(store.folder / "unplugged")
    status, _body, _ = await store.get("/vo/a")
    assert status == 503
    (store.folder / "unplugged").rename(store.folder / "one")
    assert (await store.get("/vo/a"))[1] == BODY
    assert await store.sources("/vo/a") == [("one", "available")]


async def test_conditions_are_kept(store: Store) -> None:
    await store.put("/vo/a", BODY)
    tag = f'"adler32:{adler32(BODY)}"'
    for headers, status in (
        ({"If_Match": tag}, 200),
        ({"If_Match": f'"other", {tag}'}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_None_Match": tag}, 304),
        ({"If_None_Match": f"W/{tag}"}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"other"'}, 200),
    ):
        found, body, answered = await store.get("/vo/a", **headers)
        assert found == status, headers
        assert answered["ETag"] == tag
        assert (body == BODY) == (status == 200)


async def test_a_refused_range_and_condition_say_why(store: Store) -> None:
    await store.put("/vo/a", BODY)
    _, problem, headers = await store.get("/vo/a", Range="bytes=9999999-")
    assert headers["Content-Range"] == f"bytes */{len(BODY)}"
    assert msgspec.json.decode(problem)["detail"] == f"the file has {len(BODY)} bytes, and none of those asked for"
    _, problem, headers = await store.get("/vo/a", If_Match='"x"')
    assert headers.get("Content-Type") == "application/problem+json"
    assert msgspec.json.decode(problem)["status"] == 412


async def test_a_put_says_which_element_took_it(store: Store) -> None:
    for status in (201, 200):
        async with store.server.http.put(f"{store.server.url}/v1/data/vo/a", data=BODY) as response:
            assert (response.status, response.headers["X-Lading-Element"]) == (status, "one")


async def test_a_put_is_one_row_of_the_audit(store: Store) -> None:
    await store.put("/vo/d/a", b"abc")
    _, page = await store.server.call("GET", "/v1/audit?action=put")
    assert [(row["targets"], row["details"]) for row in page["items"]] == [(["/vo/d/a"], {"size": 3, "element": "one"})]


@pytest.mark.parametrize("damage", ["gone", "shorter"])
async def test_what_no_element_has_is_not_worth_waiting_for(store: Store, damage: str) -> None:
    await store.put("/vo/a", BODY)
    (object_,) = store.objects("one")
    if damage == "gone":
        object_.unlink()
    else:
        object_.write_bytes(BODY[:10])
    for _ in range(2):
        status, problem, headers = await store.get("/vo/a")
        told = msgspec.json.decode(problem)
        assert (status, told.get("retryable", False), "Retry-After" in headers) == (503, False, False)
        assert ("does not have the object" if damage == "gone" else "has 10 bytes") in told["detail"]
    assert await store.sources("/vo/a") == [("one", "suspect")]
    _, answer = await store.server.call("POST", "/v1/replicas/resolve", {"lfns": ["/vo/a"]})
    assert "wrong or missing" in answer["outcomes"][0]["value"]["why"]


async def _begun(store: Store, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    """A GET whose answer's head has been read and whose body waits: (reader, writer, bytes to come)."""
    url = aiohttp.client.URL(store.server.url)
    token = store.server.http.headers["Authorization"]
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1 << 14)
    writer.write(f"GET /v1/data{path} HTTP/1.1\r\nHost: here\r\nAuthorization: {token}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200 ")
    return reader, writer, int(head.partition("Content-Length: ")[2].partition("\r\n")[0])


async def test_slow_readers_hold_up_nobody_and_get_every_byte(store: Store) -> None:
    body = os.urandom(1 << 20) * 24  # more than the sockets between here and there hold
    await store.put("/vo/big", body)
    slow = [await _begun(store, "/vo/big") for _ in range(40)]  # more than there are threads
    assert (await store.get("/vo/big"))[1] == body
    reader, writer, size = slow[0]
    assert await reader.readexactly(size) == body
    for _, writer, _ in slow:
        writer.close()


async def test_one_connection_serves_file_after_file(store: Store) -> None:
    await store.put("/vo/a", BODY)
    reader, writer, size = await _begun(store, "/vo/a")
    assert await reader.readexactly(size) == BODY
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_readers_that_leave_take_their_descriptors_with_them(store: Store) -> None:
    await store.put("/vo/big", os.urandom(1 << 20) * 24)
    await store.get("/vo/big")
    for _ in range(5):
        _, writer, _ = await _begun(store, "/vo/big")
        writer.transport.abort()
    for _ in range(200):
        paths = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        if not any(p.startswith(str(store.folder)) and not p.endswith(".lading-element") for p in paths):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail(f"still open: {paths}")


async def test_an_object_that_shrinks_while_it_is_read_ends_the_answer_early(store: Store) -> None:
    await store.put("/vo/big", os.urandom(1 << 20) * 24)
    reader, writer, size = await _begun(store, "/vo/big")
    [held] = store.objects("one")
    os.truncate(held, 1 << 20)
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(size)
    writer.close()


async def test_a_body_from_the_socket_ends_its_connection(store: Store) -> None:
    taken = wire.WORTH == 1
    for name in ("/vo/a", "/vo/b"):
        url = f"{store.server.url}/v1/data{name}?se=one"
        async with store.server.http.put(url, data=BODY) as response:
            assert response.status == 201
            assert (response.headers.get("Connection") == "close") == taken
        assert (await store.get(name))[1] == BODY


async def test_who_still_sends_is_told_of_a_fault(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after a few megabytes: the answer reaches a client that would send far more."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(posix_staging, "write_all", full)
    status, problem = await store.put("/vo/a", BODY * 30)
    assert (status, problem["code"]) == (507, "quota_exceeded")
    monkeypatch.undo()
    assert store.objects("one") == []
    assert await store.uploads() == 0
    assert (await store.put("/vo/a", BODY))[0] == 201
