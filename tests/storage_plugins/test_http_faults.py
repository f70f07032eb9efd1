"""Web servers that answer wrongly, slowly or not at all, and whom we trust: `http` and `webdav` alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from storage_plugins import registry
from storage_plugins.base import Element, ScanEntry
from storage_plugins.chunks import chunked
from storage_plugins.errors import (
    ChecksumMismatch,
    Denied,
    InvalidOptions,
    NoSpace,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.http import HttpElement
from storage_plugins.http_errors import moment_us
from storage_plugins.retried import Retried
from storage_plugins.testing_tools import get, names, put, sums
from storage_plugins.timed import Timed
from storage_plugins.verify import verify
from storage_plugins.wrappers import Limited
from tests.pki import Pki
from tests.servers import Running
from tests.storage_plugins.http_servers import PASSWORD, USER, apache
from tests.storage_plugins.liar import Handler, Liar, liar, listing, received, short

DATA = bytes(range(256)) * 40
TOKEN = "a-Very+secret/token=="


@contextlib.asynccontextmanager
async def opened(url: str, kind: str = "http", **options: Any) -> AsyncIterator[Element]:
    element = registry.open(kind, {"url": url, **options}, name="web")
    try:
        yield element
    finally:
        await element.aclose()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def dav() -> Iterator[Running]:
    with apache() as server:
        yield server


@pytest.fixture(params=["http", "webdav"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answering(get: Handler) -> Handler:
    """Tells the truth about `DATA` when asked for its size, and `get` for the rest."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(body=DATA)
        if request.method == "PROPFIND":
            return listing((request.path, len(DATA)))
        return await get(request)

    return handler


async def whole(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=DATA)


def asked(server: Liar) -> list[str]:
    return [f"{request.method} {request.path}" for request in server.requests]


async def test_a_short_body(kind: str) -> None:
    async with (
        liar(answering(lambda r: short(r, DATA[:500], len(DATA)))) as server,
        opened(server.url, kind) as element,
    ):
        with pytest.raises(Transient):
            await get(element, "x")
        with pytest.raises(Transient):
            await get(element, "x", 0, 1000)


async def test_a_page_in_place_of_the_object(kind: str) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>log in first" * 10, content_type="text/html")

    async with liar(answering(page)) as server, opened(server.url, kind) as element:
        for start, stop in ((0, None), (0, 5), (100, 200)):
            with pytest.raises(Transient, match="page"):
                await get(element, "x", start, stop)


async def test_a_body_without_a_length(kind: str) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(DATA[: 500 if request.path == "/cut" else None])
        return response

    async with liar(answering(endless)) as server, opened(server.url, kind) as element:
        assert await get(element, "whole") == DATA
        with pytest.raises(Transient, match="did not come"):
            await get(element, "cut")


async def test_a_range_answered_with_everything(kind: str) -> None:
    async with liar(answering(whole)) as server, opened(server.url, kind) as element:
        for start, stop in ((0, 1), (5, 9), (5000, None), (len(DATA) - 1, None), (len(DATA), None), (10**9, 10**10)):
            assert await get(element, "x", start, stop) == DATA[start:stop]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (206, f"bytes 0-99/{len(DATA)}"),
        (206, f"bytes 10-108/{len(DATA)}"),
        (206, None),
        (416, f"bytes */{len(DATA)}"),
        (416, None),
    ],
)
async def test_a_range_that_is_another(kind: str, status: int, told: str | None) -> None:
    async def other(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=DATA[:100], headers={"Content-Range": told} if told else {})

    async with liar(answering(other)) as server, opened(server.url, kind) as element:
        with pytest.raises(Transient, match="other bytes"):
            await get(element, "x", 10, 110)


async def test_other_bytes_of_the_right_size(kind: str) -> None:
    async def wrong(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=DATA[::-1])

    async with liar(answering(wrong)) as server, opened(server.url, kind) as element:
        with pytest.raises(ChecksumMismatch):
            await verify(element, "x", sums(DATA, "adler32"), len(DATA))


@pytest.mark.parametrize("login", [{"token": TOKEN}, {"username": USER, "password": PASSWORD}])
async def test_another_server_gets_no_credentials(kind: str, login: dict[str, str]) -> None:
    async def here(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": other.url + "y"})

    async with liar(whole) as other, liar(answering(here)) as server, opened(server.url, kind, **login) as element:
        assert await get(element, "x") == DATA
        assert all(request.headers.get("Authorization") for request in server.requests)
        assert [request.headers.get("Authorization") for request in other.requests] == [None]


async def test_an_upload_that_is_sent_elsewhere() -> None:
    uploads: list[bytes] = []

    async def there(request: web.BaseRequest) -> web.StreamResponse:
        uploads.append(await received(request))
        return web.Response(status=201)

    async def here(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PROPFIND":
            return listing((request.path, len(DATA))) if "staging" in request.path else web.Response(status=404)
        if request.method == "PUT":
            return web.Response(status=307, headers={"Location": other.url.rstrip("/") + request.path})
        return web.Response(status=201)

    async with (
        liar(there) as other,
        liar(here) as server,
        opened(server.url, "webdav", token=TOKEN) as element,
    ):
        await put(element, "x", DATA)
        assert uploads == [DATA]
        assert [request.headers.get("Authorization") for request in other.requests] == [None]
        assert [r.headers.get("Authorization") for r in server.requests if r.method == "MOVE"] == [f"Bearer {TOKEN}"]


async def test_redirects_that_are_refused(kind: str, pki: Pki) -> None:
    async def here(request: web.BaseRequest) -> web.StreamResponse:
        where = {"/plain": other.url, "/loop": "/loop", "/file": "file:///etc/passwd", "/folder": "/folder/"}
        return web.Response(status=302, headers={"Location": where[request.path]})

    async with (
        liar(whole) as other,
        liar(answering(here), pki.server()) as server,
        opened(server.url, kind, ca=str(pki.ca)) as element,
    ):
        for name, error in (("plain", Denied), ("file", Denied), ("loop", StorageError), ("folder", ObjectNotFound)):
            with pytest.raises(error):
                await get(element, name)
        assert other.requests == []


async def test_whom_we_trust(kind: str, pki: Pki, tmp_path: Path) -> None:
    async def who(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport
        certificate = request.transport.get_extra_info("peercert")
        return web.Response(body=repr(certificate and certificate["subject"]).encode())

    stranger = Pki(tmp_path / "stranger")
    async with liar(answering(who), pki.server()) as server:
        for unknown in ({}, {"ca": str(stranger.ca)}, {"ca": str(stranger.certificates)}):
            async with opened(server.url, kind, **unknown) as element:
                with pytest.raises(Unavailable, match=r"certificate is refused .*'ca'"):
                    await get(element, "x")
        for known in (pki.ca, pki.certificates):
            async with opened(server.url, kind, ca=str(known)) as element:
                assert await get(element, "x", 0, 4) == b"None"
        async with opened(server.url, kind, ca=str(pki.ca), certificate=str(pki.user)) as element:
            assert b"Alice Test" in await get(element, "x")
        for wrong in ({"ca": "/nowhere.pem"}, {"certificate": str(tmp_path / "none.pem")}):
            async with opened(server.url, kind, **wrong) as element:
                with pytest.raises(InvalidOptions, match=next(iter(wrong))):
                    await element.stat("x")


async def test_a_slow_server(kind: str) -> None:
    over = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=500)

    async def stuck(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        await response.write(DATA[:100])
        return await slow(request)

    async with liar(slow) as silent, liar(answering(stuck)) as halting:
        try:
            for server in (silent, halting):
                async with opened(server.url, kind) as element:
                    with pytest.raises(Transient, match=r"0\.2 s"):
                        await get(Timed(element, 0.2), "x")
                async with opened(server.url, kind, timeout=0.2) as element:
                    with pytest.raises(Transient, match="in time"):
                        await get(element, "x")
            async with opened(silent.url, "webdav", timeout=0.2) as element:
                with pytest.raises(Transient, match="in time"):
                    await put(element, "x", DATA)
        finally:
            over.set()  # the servers wait for their handlers


@pytest.mark.parametrize(
    ("status", "headers", "error", "after"),
    [
        (401, {}, Denied, None),
        (403, {}, Denied, None),
        (413, {}, NoSpace, None),
        (418, {}, StorageError, None),
        (429, {"Retry-After": "7"}, Transient, 7),
        (500, {}, Transient, None),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, Transient, 0),
        (503, {"Retry-After": "soon"}, Transient, None),
        (507, {}, NoSpace, None),
    ],
)
async def test_refusals(
    kind: str, status: int, headers: dict[str, str], error: type[Exception], after: float | None
) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    async with liar(refuse) as server, opened(server.url, kind, token=TOKEN) as element:
        for call in (element.stat("x"), get(element, "x")):
            with pytest.raises(error) as caught:
                await call
            assert type(caught.value) is error
            assert getattr(caught.value, "retry_after", None) == after
            assert TOKEN not in str(caught.value)


async def test_wrong_credentials(dav: Running) -> None:
    url = f"http://127.0.0.1:{dav.port}/"
    for login in ({}, {"username": USER, "password": "guessed"}, {"token": TOKEN}):
        async with opened(url, "webdav", **login) as element:
            report = await element.probe(prepare=True)
            assert (report.ok, report.read) == (False, False)
            assert "guessed" not in str(report.error)
            for call in (element.stat("x"), get(element, "x"), put(element, "x", DATA), element.remove("x")):
                with pytest.raises(Denied):
                    await call


async def test_a_server_that_stops_and_comes_back(dav: Running) -> None:
    async with opened(f"http://127.0.0.1:{dav.port}/", "webdav", username=USER, password=PASSWORD) as element:
        await put(element, "kept", DATA, overwrite=True)
        dav.stop()
        for _ in range(10):  # connections that were kept open notice one by one
            with pytest.raises(Transient):
                await element.stat("kept")
        for call in (element.stat("kept"), get(element, "kept"), put(element, "new", DATA), element.remove("kept")):
            with pytest.raises(Unavailable):
                await call
        assert not (await element.probe()).ok
        dav.start()
        assert await get(element, "kept") == DATA
        assert (await element.probe()).ok


async def test_an_upload_that_is_cut() -> None:
    async def cutting(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PROPFIND":
            return listing((request.path, len(DATA) - 1)) if "staging" in request.path else web.Response(status=404)
        await received(request)
        return web.Response(status=201)

    async with liar(cutting) as server, opened(server.url, "webdav") as element:
        with pytest.raises(ChecksumMismatch, match="size"):
            await put(element, "x", DATA)
        assert not [one for one in asked(server) if one.startswith("MOVE")]
        assert asked(server)[-1].startswith("DELETE /.lading-staging/")


async def test_an_upload_that_is_answered_too_early() -> None:
    async def early(request: web.BaseRequest) -> web.StreamResponse:
        return listing((request.path, len(DATA))) if request.method == "PROPFIND" else web.Response(status=201)

    async with liar(early) as server, opened(server.url, "webdav") as element:
        with pytest.raises(Transient, match="before it had all"):
            await element.write("x", chunked(DATA), overwrite=True)
        assert not [one for one in asked(server) if one.startswith("MOVE")]


def test_options_that_are_refused() -> None:
    for options in (
        {"url": "ftp://host/"},
        {"url": "http://"},
        {"url": "http://host:x/"},
        {"url": f"https://user:{TOKEN}@host/"},
        {"url": "https://host/?sign=x"},
        {"url": "https://host/", "username": "u"},
        {"url": "https://host/", "password": TOKEN},
        {"url": "https://host/", "username": "u", "password": "p", "token": TOKEN},
        {"url": "https://host/", "token": f"{TOKEN}\nHost: other"},
        {"url": "https://host/", "key": "k.pem"},
        {"url": "https://host/", "timeout": 0},
    ):
        with pytest.raises(InvalidOptions) as caught:
            registry.open("http", options)
        assert TOKEN not in caught.value.message


@pytest.mark.parametrize("status", [404, 502, 503, 504])
async def test_a_404_beside_a_sick_root_is_no_missing_object(status: int, kind: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status if request.path == "/" else 404)

    async with liar(handler) as server, opened(server.url, kind) as element:
        for call in (element.stat("x"), get(element, "x")):
            with pytest.raises(Transient):
                await call


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 7.0), ("²", None), ("soon", None), ("-1", None), ("9" * 400, 86400)]
)
async def test_how_long_to_wait_is_told_in_seconds(kind: str, told: str, seconds: float | None) -> None:
    async def busy(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": told})

    async with liar(busy) as server, opened(server.url, kind) as element:
        with pytest.raises(Transient) as caught:
            await element.stat("x")
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment_us(date) == 784111777 * 1_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[{"name": ".", "type": "directory"}]', Transient),
        ('[{"name": "", "type": "directory"}]', Transient),
        ('[{"name": "../x", "type": "file", "size": 1}]', Transient),
        ('[{"name": "x", "type": "file", "size": 1, "mtime": 5}]', Unsupported),
        ('[{"name": "x", "type": "file", "size": Infinity}]', Unsupported),
        ('{"name": "x"}', Unsupported),
        ("[" * 100_000, Unsupported),
    ],
)
async def test_a_listing_that_lies(text: str, error: type[StorageError]) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    async with liar(handler) as server, opened(server.url) as element:
        with pytest.raises(error):
            await names(element, "")


async def test_a_listing_may_leave_out_the_time() -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text='[{"name": "x", "type": "file", "size": 3}]', content_type="application/json")

    async with liar(handler) as server, opened(server.url) as element:
        assert [entry async for entry in element.scan()] == [ScanEntry("x", 3)]


async def test_a_renewed_certificate_is_used(pki: Pki, tmp_path: Path, kind: str) -> None:
    async def who(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport
        subject = str(request.transport.get_extra_info("peercert")["subject"])
        seen.append("Alice" if "Alice" in subject else "localhost")
        return web.Response(status=404) if request.path != "/" else await answering(whole)(request)

    seen: list[str] = []
    proxy = tmp_path / "proxy.pem"
    proxy.write_bytes(pki.user.read_bytes())
    async with (
        liar(who, pki.server()) as server,
        opened(server.url, kind, ca=str(pki.ca), certificate=str(proxy)) as element,
    ):
        for content, name in ((pki.user, "Alice"), (pki.host, "localhost")):
            new = tmp_path / "new.pem"
            new.write_bytes(content.read_bytes())
            new.rename(proxy)
            with pytest.raises(ObjectNotFound):
                await element.stat("x")
            assert set(seen) == {name}
            seen.clear()


@pytest.mark.parametrize(
    ("tags", "good"),
    [
        (('"a"', '"a"'), True),
        (('W/"a"', '"a"'), True),
        (('"a"', '"b"'), False),
        ((None, None), True),  # nothing tells
    ],
)
async def test_a_read_goes_on_in_the_same_version_alone(
    kind: str, tags: tuple[str | None, str | None], good: bool
) -> None:
    turns = 0

    async def breaking(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal turns
        turns += 1
        tag = tags[min(turns, 2) - 1]
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": tag} if tag else {})
        response.content_length = len(DATA) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        await response.prepare(request)
        await response.write(DATA[start:] if start else DATA[:5000])
        if not start:
            assert request.transport
            request.transport.close()
        return response

    async with liar(answering(breaking)) as server, opened(server.url, kind) as element:
        patient = Retried(Limited(element, 1), 2, first_wait=0.01)
        if good:
            assert await get(patient, "x") == DATA
        else:
            with pytest.raises(Transient, match="replaced"):
                await get(patient, "x")
        turns = 0
        assert [await get(patient, "x", 1) for _ in tags] == [DATA[1:]] * 2  # nothing to a read that began later


async def test_a_host_that_vanished_is_noticed(kind: str) -> None:
    over = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await over.wait()
        return response

    async with liar(endless) as server, opened(server.url, kind) as element:
        assert isinstance(element, HttpElement)
        http = element._http
        async with http.request("COPY", http.url("x"), accept=(200,), patient=True) as response:
            assert response.connection
            assert response.connection.transport
            made = response.connection.transport.get_extra_info("socket")
            told = (
                made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            )
            over.set()
    assert told == (1, 60)
