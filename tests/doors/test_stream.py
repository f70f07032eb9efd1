"""Streams: whole, refused, cut, abandoned; and never held in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from doors.http.routes import Call, Route
from doors.http.stream import stream, wanted
from lading.model.errors import Conflict, NotFound
from lading.model.file import Entry
from tests.doors.conftest import Opened

made = 0
closed = asyncio.Event()


async def _entries(count: int, fail: Exception | None = None) -> AsyncGenerator[Any, None]:
    for i in range(count):
        yield [Entry(f"/a/{i}/{j}") for j in range(3)]
    if fail is not None:
        raise fail


async def _endless() -> AsyncGenerator[Any, None]:
    global made
    try:
        while True:
            made += 1
            yield b"x" * 65536 + b"\n"
    finally:
        closed.set()


async def _whole(call: Call) -> web.StreamResponse:
    assert wanted(call)
    return await stream(call, _entries(4))


async def _bytes(call: Call) -> web.StreamResponse:
    async def lines() -> AsyncGenerator[Any, None]:
        yield b'{"a":1}\n{"a":2}\n'

    return await stream(call, lines())


async def _none(call: Call) -> web.StreamResponse:
    return await stream(call, _entries(0))


async def _refused(call: Call) -> web.StreamResponse:
    return await stream(call, _entries(0, NotFound("no such directory")))


async def _cut(call: Call) -> web.StreamResponse:
    return await stream(call, _entries(2, Conflict("it changed", lfn="/a")))


async def _bug(call: Call) -> web.StreamResponse:
    return await stream(call, _entries(2, RuntimeError("secret")))


async def _forever(call: Call) -> web.StreamResponse:
    return await stream(call, _endless())


async def _broken_file(call: Call) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(call.request)
    await response.write(b"half")
    raise RuntimeError("the disk is gone")


ROUTES = [
    Route("GET", f"/{h.__name__.strip('_')}", h, "user", "x", gives="application/x-ndjson")
    for h in (_whole, _bytes, _none, _refused, _cut, _bug, _forever, _broken_file)
]
HEADERS = {"Accept": "application/x-ndjson"}


async def _read(http: aiohttp.ClientSession, url: str) -> tuple[bytes, bool]:
    """What came, and whether HTTP says that it was all."""
    got = b""
    async with http.get(url, headers=HEADERS) as response:
        assert response.headers["X-Request-Id"]
        try:
            async for chunk in response.content.iter_any():
                got += chunk
        except aiohttp.ClientPayloadError:
            return got, False
    return got, True


async def test_a_whole_stream(opened: Opened) -> None:
    server = await opened(ROUTES)
    got, whole = await _read(server.http, server.url + "/whole")
    assert whole
    assert [json.loads(x)["lfn"] for x in got.splitlines()] == [f"/a/{i}/{j}" for i in range(4) for j in range(3)]
    assert await _read(server.http, server.url + "/bytes") == (b'{"a":1}\n{"a":2}\n', True)
    assert await _read(server.http, server.url + "/none") == (b"", True)
    async with server.http.head(server.url + "/whole", headers=HEADERS) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")


async def test_an_error_before_the_first_line_is_a_plain_problem(opened: Opened) -> None:
    server = await opened(ROUTES)
    status, problem = await server.call("GET", "/refused")
    assert (status, problem["detail"]) == (404, "no such directory")


@pytest.mark.parametrize(("path", "code"), [("/cut", "conflict"), ("/bug", "internal")])
async def test_a_cut_stream_can_not_pass_for_a_whole_one(opened: Opened, path: str, code: str) -> None:
    server = await opened(ROUTES)
    got, whole = await _read(server.http, server.url + path)
    lines = [json.loads(x) for x in got.splitlines()]
    assert not whole
    assert len(lines) == 7
    assert lines[-1]["error"]["code"] == code
    assert b"secret" not in got
    assert (await server.call("GET", "/whole", headers=HEADERS))[0] == 200


async def test_a_file_that_breaks_off_is_cut_too(opened: Opened) -> None:
    server = await opened(ROUTES)
    assert await _read(server.http, server.url + "/broken_file") == (b"half", False)


async def test_a_slow_reader_holds_the_stream_up_and_a_leaving_one_ends_it(opened: Opened) -> None:
    global made
    made = 0
    closed.clear()
    server = await opened(ROUTES)
    async with aiohttp.ClientSession() as http:
        response = await http.get(
            server.url + "/forever", headers={**HEADERS, "Authorization": f"Bearer {server.token}"}
        )
        await response.content.readany()
        seen = -1
        while seen != made:  # until the buffers on the way are full
            seen = made
            await asyncio.sleep(0.2)
        assert made < 1000
        response.close()
    await asyncio.wait_for(closed.wait(), 10)
