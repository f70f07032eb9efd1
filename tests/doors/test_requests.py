"""Hostile and broken requests: each gets a problem document that names the place, and none reaches a handler."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
import pytest

from doors.http.routes import Answer, Call, Route
from lading.model.api import Register
from lading.model.errors import CatalogError
from tests.doors.conftest import Opened
from tests.server import Server


class Find(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    limit: int = 5
    verbose: bool = False
    tags: list[str] = []


async def _register(call: Call[Register]) -> Register:
    return call.body


async def _find(call: Call[None, Find]) -> dict[str, Any]:
    return {"query": call.query, "params": dict(call.params)}


async def _made(call: Call) -> Answer:
    return Answer({"made": True}, 201, {"Location": "/somewhere"})


async def _nothing(call: Call) -> None:
    return None


ROUTES = [
    Route("POST", "/register", _register, "user", "x", body=Register, answer=Register, limit=3),
    Route("GET", "/find/{lfn:.+}", _find, "user", "x", query=Find, answer=dict[str, Any]),
    Route("GET", "/plain", _find, "user", "x", answer=dict[str, Any]),
    Route("POST", "/made", _made, "user", "x", answer=dict[str, bool]),
    Route("DELETE", "/thing", _nothing, "user", "x", status=204),
]
FILE = {"lfn": "/a", "size": 1}


def _body(*files: Any) -> bytes:
    return json.dumps({"files": files}).encode()


async def _post(server: Server, body: bytes, media: str = "application/json") -> tuple[int, Any]:
    return await server.call("POST", "/register", data=body, headers={"Content-Type": media})


async def test_a_good_body_arrives_typed_and_the_answer_is_json(opened: Opened) -> None:
    server = await opened(ROUTES)
    assert await _post(server, _body(FILE)) == (200, {"files": [FILE]})
    assert (await _post(server, _body(FILE), "application/json; charset=utf-8"))[0] == 200


BROKEN = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b'{"files": []} x', 400, "not JSON"),
    (b"[" * 100_000, 400, "$"),
    (b'{"files":[{"lfn":"/a","size":1,"metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"]}", 400, "nested"),
    (_body({**FILE, "size": "x"}), 400, "$.files[0].size"),
    (_body(FILE, {**FILE, "size": -1}), 400, "$.files[1].size"),
    (_body(FILE, {**FILE, "nope": 1}), 400, "nope"),
    (_body({"lfn": "/a"}), 400, "$.files[0]"),
    (b'{"files": [], "extra": 1}', 400, "extra"),
    (b'{"files":[{"lfn":"/\xff","size":1}]}', 400, "UTF-8"),
    (b'{"files":[{"lfn":"/\\ud800","size":1}]}', 400, "not JSON"),
    (b'{"files":[{"lfn":"/a\\u0000b","size":1}]}', 400, "NUL"),
    (b'{"files":[{"lfn":"/a\\\\\\u0000b","size":1}]}', 400, "NUL"),
    (b'{"files":[{"lfn":"/a","size":1e400}]}', 400, "$.files[0].size"),
    (b'{"files":[{"lfn":"/a","size":NaN}]}', 400, "not JSON"),
    (_body(*[FILE] * 4), 413, "$.files has 4 items"),
]


@pytest.mark.parametrize(("body", "status", "said"), BROKEN)
async def test_a_broken_body_is_refused_by_name(opened: Opened, body: bytes, status: int, said: str) -> None:
    server = await opened(ROUTES)
    got, problem = await _post(server, body)
    assert got == problem["status"] == status
    assert said in problem["detail"]


async def test_a_backslash_before_u0000_is_no_nul(opened: Opened) -> None:
    server = await opened(ROUTES)
    assert (await _post(server, b'{"files":[{"lfn":"/a\\\\u0000b","size":1}]}'))[0] == 200


async def test_other_media_types_are_refused(opened: Opened) -> None:
    server = await opened(ROUTES)
    status, problem = await _post(server, _body(FILE), "application/x-www-form-urlencoded")
    assert (status, problem["code"]) == (415, "invalid_request")


async def test_a_body_over_the_limit_is_refused_announced_or_not(opened: Opened) -> None:
    server = await opened(ROUTES, max_body=2048)
    big = _body({**FILE, "comment": "x" * 4000})

    async def pieces() -> Any:
        for i in range(0, len(big), 500):
            yield big[i : i + 500]

    for data in (big, pieces()):
        headers = {"Content-Type": "application/json"}
        status, problem = await server.call("POST", "/register", data=data, headers=headers)
        assert (status, problem["code"], problem["details"]) == (413, "too_large", {"max_bytes": 2048})


async def test_a_body_that_stalls_is_given_up(opened: Opened) -> None:
    server = await opened(ROUTES, body_seconds=0.2)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /register HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"fi')
    assert b" 503 " in await reader.readline()
    writer.close()


async def test_the_query_is_typed_and_nothing_unknown_passes(opened: Opened) -> None:
    server = await opened(ROUTES)
    status, found = await server.call("GET", "/find/a%20b/c?limit=7&verbose=true&tags=x&tags=y")
    assert (status, found["params"]) == (200, {"lfn": "a b/c"})
    assert found["query"] == {"name": "", "limit": 7, "verbose": True, "tags": ["x", "y"]}
    bad = {
        "/find/a?limit=seven": "limit",
        "/find/a?nope=1": "nope",
        "/find/a?limit=1&limit=2": "twice",
        "/find/a?name=%00": "NUL",
        "/find/a%00b": "NUL",
        "/plain?x=1": "no parameter",
    }
    for path, said in bad.items():
        status, problem = await server.call("GET", path)
        assert (status, problem["code"]) == (400, "invalid_request"), path
        assert said in problem["detail"]


async def test_answers_have_the_status_and_headers_of_their_handler(opened: Opened) -> None:
    server = await opened(ROUTES)
    async with server.http.post(server.url + "/made") as response:
        assert (response.status, response.headers["Location"], await response.json()) == (
            201,
            "/somewhere",
            {"made": True},
        )
    assert await server.call("DELETE", "/thing") == (204, b"")
    async with server.http.head(server.url + "/plain") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_unknown_addresses_and_methods(opened: Opened) -> None:
    server = await opened(ROUTES)
    assert (await server.call("GET", "/nope?x=1"))[1]["code"] == "not_found"
    async with server.http.request("PUT", server.url + "/register") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert response.content_type == "application/problem+json"
    async with server.http.request("PATCH", server.url + "/find/x") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_request_ids_are_echoed_when_tame_and_made_otherwise(opened: Opened) -> None:
    server = await opened(ROUTES)
    for given, echoed in (("job-1:a", True), ("x" * 129, False), ("a b", False), ("", False)):
        async with server.http.get(server.url + "/plain", headers={"X-Request-Id": given}) as response:
            assert (response.headers["X-Request-Id"] == given) is echoed
            assert len(response.headers["X-Request-Id"]) > 4
    async with server.http.get(server.url + "/none", headers={"X-Request-Id": "mine"}) as response:
        assert (await response.json())["request_id"] == response.headers["X-Request-Id"] == "mine"
        assert response.headers["Server"] == "lading"


async def test_a_client_that_leaves_is_nobodys_error(opened: Opened, capfd: pytest.CaptureFixture[str]) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> None:
        begun.set()
        await left.wait()
        raise CatalogError("too late")

    server = await opened([Route("GET", "/slow", slow, "open", "x")])
    async with aiohttp.ClientSession() as http:
        task = asyncio.create_task(http.get(server.url + "/slow").__aenter__())
        await begun.wait()
        task.cancel()
    await asyncio.sleep(0.1)
    left.set()
    while b"lading_requests_in_flight 0.0" not in server.metrics.text():  # noqa: ASYNC110  # it is the server that counts
        await asyncio.sleep(0.01)
    assert b'route="/slow",status="499"' in server.metrics.text()
    assert "too late" not in capfd.readouterr().err
