"""S3 servers that answer wrongly, slowly or not at all, networks that break, and whom we trust."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from storage_plugins import registry, s3_write
from storage_plugins.chunks import chunked
from storage_plugins.errors import (
    ChecksumMismatch,
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
)
from storage_plugins.retried import Retried
from storage_plugins.testing_tools import get, names, put
from storage_plugins.timed import Timed
from tests.pki import Pki
from tests.servers import Running
from tests.storage_plugins.liar import Handler, Liar, liar, short
from tests.storage_plugins.proxy import proxy
from tests.storage_plugins.s3_servers import ACCESS, SECRET, login, opened, rclone

MIB = 1 << 20
PART = 5 * MIB
DATA = bytes(range(256)) * 40
MD5 = hashlib.md5(DATA).hexdigest()


def at(server: Liar, **options: Any) -> dict[str, Any]:
    return {**login(0), "endpoint": server.url.rstrip("/"), "part_size": PART, **options}


def xml(code: str, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>m</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


async def honest(request: web.BaseRequest, body: bytes | None = None) -> web.StreamResponse:
    """As much of S3 as a write of one object takes. It ignores If-None-Match: whatever is asked for is there."""
    if body is None:
        body = await request.content.read()
    tag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
    if request.method == "HEAD":
        return web.Response(status=404) if request.path.endswith("/new") else web.Response(body=DATA, headers=tag)
    if request.method == "POST":
        if "uploads" in request.query:
            return web.Response(text="<R><UploadId>up</UploadId></R>", content_type="application/xml")
        return web.Response(text='<R><ETag>"not md5"</ETag></R>', content_type="application/xml")
    return web.Response(status=200 if request.method == "PUT" else 204, headers=tag)


def but(method: str, answer: Handler, *, having: str = "") -> Handler:
    """Honest, but for what concerns the object itself."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == method and having in request.path_qs and ".lading-" not in request.path:
            await request.content.read()
            return await answer(request)
        return await honest(request)

    return handler


def asked(server: Liar, method: str) -> list[str]:
    return [r.path_qs for r in server.requests if r.method == method and ".lading-" not in r.path]


async def many(size: int = 2 * PART + 1) -> Any:
    for _ in range(0, size, MIB):
        yield bytes(MIB)


async def test_errors_inside_of_a_good_answer() -> None:
    async def wrong(request: web.BaseRequest) -> web.StreamResponse:
        return xml("InternalError")

    async with liar(but("POST", wrong, having="uploadId")) as server, opened(at(server)) as element:
        for overwrite in (True, False):
            with pytest.raises(Transient, match="InternalError"):
                await element.write("new", many(), overwrite=overwrite)
            assert "uploadId=up" in asked(server, "DELETE")[-1]
    async with liar(but("PUT", wrong)) as server, opened(at(server)) as element:
        with pytest.raises(Transient, match="InternalError"):
            await element.copy_from(element, "x", "new", overwrite=True)


async def test_etags_that_are_wrong() -> None:
    async def other(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"ETag": f'"{"0" * 32}"'})

    async def composed(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f'<R><ETag>"{"0" * 32}-3"</ETag></R>', content_type="application/xml")

    async with liar(but("PUT", other)) as server, opened(at(server)) as element:
        with pytest.raises(ChecksumMismatch, match="md5"):
            await put(element, "new", DATA)
        assert asked(server, "DELETE")[-1].startswith("/lading-test/new"), "it is taken away"
        with pytest.raises(ChecksumMismatch, match="md5"):
            await element.write("new", many())
        assert "uploadId=up" in asked(server, "DELETE")[-1]
        assert not [one for one in asked(server, "POST") if "uploadId" in one], "it was not completed"
    async with liar(but("POST", composed, having="uploadId")) as server, opened(at(server)) as element:
        with pytest.raises(ChecksumMismatch, match="md5"):
            await element.write("new", many(), overwrite=True)
    async with liar(but("PUT", other)) as server, opened(at(server, etag_md5=False)) as element:
        await put(element, "there", DATA, overwrite=True)  # by its size alone


async def test_a_short_body() -> None:
    async def less(request: web.BaseRequest) -> web.StreamResponse:
        return await short(request, DATA[:500], len(DATA))

    async with liar(but("GET", less)) as server, opened(at(server)) as element:
        with pytest.raises(Transient):
            await get(element, "x")


@pytest.mark.parametrize("told", [None, "bytes 0-99/10240", "bytes 10-99/10240", "bytes 10-109/100"])
async def test_a_range_that_is_another(told: str | None) -> None:
    async def other(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=206, body=DATA[:100], headers={"Content-Range": told} if told else {})

    async with liar(but("GET", other)) as server, opened(at(server)) as element:
        with pytest.raises(Transient, match="bytes"):
            await get(element, "x", 10, 110)


async def test_a_range_that_is_ignored() -> None:
    long = bytes(range(256)) * (PART // 128)

    async def whole(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=long, headers={"ETag": '"e"'})

    async with liar(but("GET", whole)) as server, opened(at(server)) as element:
        for start, stop in ((0, None), (5, 9), (PART - 5, PART + 5), (5000, None), (len(long) - 1, None)):
            assert await get(element, "x", start, stop) == long[start:stop]
        assert len(asked(server, "GET")) == 5, "one request each"
        for start, stop in ((len(long), None), (10**9, 10**10)):
            assert await get(element, "x", start, stop) == b""


@pytest.mark.parametrize(
    ("status", "code", "headers", "error", "after"),
    [
        (403, "AccessDenied", {}, Denied, None),
        (403, "InvalidAccessKeyId", {}, Denied, None),
        (403, "SignatureDoesNotMatch", {}, Denied, None),
        (403, "RequestTimeTooSkewed", {}, Denied, None),
        (403, "QuotaExceeded", {}, NoSpace, None),
        (404, "NoSuchKey", {}, ObjectNotFound, None),
        (404, "NoSuchBucket", {}, Unavailable, None),
        (400, "KeyTooLongError", {}, InvalidPath, None),
        (409, "OperationAborted", {}, Transient, None),
        (429, "TooManyRequests", {"Retry-After": "7"}, Transient, 7),
        (500, "Whatever", {}, Transient, None),
        (503, "SlowDown", {"Retry-After": "3"}, Transient, 3),
        (507, "Full", {}, NoSpace, None),
        (418, "Teapot", {}, StorageError, None),
        (301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"}, InvalidOptions, None),
        (400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": "eu-west-1"}, InvalidOptions, None),
    ],
)
async def test_refusals(status: int, code: str, headers: dict[str, str], error: type[Exception], after: Any) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return xml(code, status=status, headers=headers)

    async with liar(refuse) as server, opened(at(server)) as element:
        with pytest.raises(error) as caught:
            await get(element, "x")
        assert type(caught.value) is error
        assert getattr(caught.value, "retry_after", None) == after
        assert SECRET not in str(caught.value)
        report = await element.probe()
        assert not report.ok
        if error is InvalidOptions:
            assert "eu-west-1" in str(report.error)


async def test_an_answer_that_is_no_xml() -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>log in first<br>", content_type="text/html")

    async with liar(page) as server, opened(at(server)) as element:
        with pytest.raises(StorageError):
            await names(element, "")


async def test_a_server_that_is_busy() -> None:
    busy = iter((True, True, False, True, *(False,) * 20))

    async def sometimes(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT" and ".lading-" not in request.path and next(busy):
            await request.content.read()
            return xml("SlowDown", status=503, headers={"Retry-After": "0"})
        if request.method == "HEAD" and asked(server, "POST"):
            return web.Response(headers={"Content-Length": str(6 * MIB)})
        return await honest(request)

    async with liar(sometimes) as server, opened(at(server)) as element:
        await put(element, "new", DATA)
        await element.write("new", many(6 * MIB), overwrite=True)
        assert len(asked(server, "PUT")) == 3 + 3


async def test_another_server_gets_nothing() -> None:
    async def there(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=DATA)

    async with liar(there) as other:

        async def here(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": other.url + "y"})

        async with liar(here) as server, opened(at(server)) as element:
            for call in (element.stat("x"), get(element, "x"), put(element, "x", DATA), names(element, "")):
                with pytest.raises(InvalidOptions):
                    await call
        assert other.requests == []


async def test_a_slow_server() -> None:
    over = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await over.wait()
        return web.Response(status=500)

    async def stuck(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA)), "ETag": '"e"'})
        await response.prepare(request)
        await response.write(DATA[:100])
        return await slow(request)

    async with liar(slow) as silent, liar(but("GET", stuck)) as halting:
        try:
            for server in (silent, halting):
                async with opened(at(server)) as element:
                    with pytest.raises(Transient, match=r"0\.2 s"):
                        await get(Timed(element, 0.2), "x")
                async with opened(at(server, timeout=0.2)) as element:
                    with pytest.raises(Transient, match="in time"):
                        await get(element, "x")
        finally:
            over.set()


async def test_wrong_credentials(weed_server: Running) -> None:
    for wrong, told in (({"secret_key": "guessed"}, "secret"), ({"access_key": "AKIAnobody"}, "does not know")):
        async with opened(login(weed_server.port, **wrong)) as element:
            report = await element.probe(prepare=True)
            assert not report.ok
            assert told in str(report.error) or "403" in str(report.error)
            assert "guessed" not in str(report.error)
            for call in (element.stat("x"), get(element, "x"), put(element, "x", DATA), element.remove("x")):
                with pytest.raises(Denied):
                    await call
            with pytest.raises(Denied):
                await names(element, "")


async def test_a_bucket_that_is_not_there(rclone_server: Running) -> None:
    async with opened(login(rclone_server.port, bucket="nowhere")) as element:
        assert "bucket" in str((await element.probe()).error)
        for call in (element.stat("x"), get(element, "x"), put(element, "x", DATA), element.remove("x")):
            with pytest.raises(Unavailable, match="bucket"):
                await call
        with pytest.raises(Unavailable, match="bucket"):
            await names(element, "")


async def test_a_server_that_stops_and_comes_back(tmp_path: Path) -> None:
    with rclone(tmp_path) as server:
        async with opened(login(server.port)) as element:
            assert (await element.probe(prepare=True)).ok
            await put(element, "kept", DATA)
            server.stop()
            for _ in range(10):  # connections that were kept open notice one by one
                with pytest.raises(Transient):
                    await element.stat("kept")
            for call in (element.stat("kept"), get(element, "kept"), put(element, "new", DATA)):
                with pytest.raises(Unavailable):
                    await call
            assert not (await element.probe()).ok
            server.start()
            assert await get(element, "kept") == DATA
            assert (await element.probe()).ok


async def test_a_network_that_breaks(weed_server: Running) -> None:
    prefix = secrets.token_hex(6)
    async with proxy(weed_server.port) as relay, opened(login(relay.port, prefix=prefix, part_size=PART)) as element:
        assert (await element.probe(prepare=True)).ok

        async def breaking() -> Any:
            for number in range(20):
                yield bytes([number]) * MIB
                if number in (7, 14):
                    relay.drop()

        await element.write("long", breaking())  # its parts are sent again
        assert await get(element, "long") == b"".join(bytes([number]) * MIB for number in range(20))
        relay.stall()
        writing = asyncio.create_task(element.write("new", many()))
        await asyncio.sleep(0.3)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        relay.resume()
        reading = element.read("long")
        await anext(reading)
        relay.drop()
        relay.stall()
        relay.drop()
        with pytest.raises(Transient):
            await asyncio.wait_for(_all(reading), 30)
        relay.resume()
        assert await names(element, "") == ["long"]
    async with opened(login(weed_server.port, prefix=prefix)) as element:
        await element.clean_staging(0)
        assert [entry async for entry in element.scan_staging()] == []


async def _all(chunks: Any) -> None:
    async for _ in chunks:
        pass


async def test_the_connections_of_a_closed_element(weed_server: Running) -> None:
    async with liar(honest) as server, opened(at(server)) as element:
        await asyncio.gather(*(element.stat("x") for _ in range(5)))
        transports = [request.transport for request in server.requests]
        await element.aclose()
        await element.aclose()
        for _ in range(100):
            if all(one is None or one.is_closing() for one in transports):
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("connections are left open")
        with pytest.raises(Unavailable, match="closed"):
            await element.stat("x")


async def test_whom_we_trust(tmp_path: Path) -> None:
    pki, stranger = Pki(tmp_path / "pki"), Pki(tmp_path / "stranger")
    with rclone(tmp_path, certificate=pki.host) as server:
        options = {**login(server.port), "endpoint": f"https://127.0.0.1:{server.port}"}
        for unknown in ({}, {"ca": str(stranger.ca)}, {"ca": str(stranger.certificates)}):
            async with opened({**options, **unknown}) as element:
                with pytest.raises(Unavailable, match=r"certificate is refused .*'ca'"):
                    await get(element, "x")
        for number, known in enumerate((pki.ca, pki.certificates)):
            async with opened({**options, "ca": str(known), "part_size": PART}) as element:
                assert (await element.probe(prepare=True)).ok
                await element.write(f"x{number}", many())
                assert (await element.stat(f"x{number}")).size == 11 * MIB
        async with opened({**options, "ca": "/nowhere.pem"}) as element:
            with pytest.raises(InvalidOptions, match="ca"):
                await element.stat("x")


async def test_a_target_that_appears_during_the_write() -> None:
    """A server that keeps to If-None-Match when it is tried, and says 412 at the end."""

    async def conditional(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        if request.headers.get("If-None-Match") == "*":
            return xml("PreconditionFailed", status=412)
        return await honest(request, body)

    async with liar(conditional) as server, opened(at(server)) as element:
        with pytest.raises(ObjectExists):
            await element.write("new", chunked(DATA))
        with pytest.raises(ObjectExists):
            await element.write("new", many())
        assert "uploadId=up" in asked(server, "DELETE")[-1]


def test_options_that_are_refused() -> None:
    key = {"access_key": ACCESS, "secret_key": SECRET}
    for options in (
        {},
        {"bucket": "a/b"},
        {"bucket": "b", "endpoint": "ftp://host"},
        {"bucket": "b", "endpoint": "http://"},
        {"bucket": "b", "endpoint": f"https://u:{SECRET}@host"},
        {"bucket": "b", "endpoint": "https://host?x=1"},
        {"bucket": "b", "access_key": ACCESS},
        {"bucket": "b", "secret_key": SECRET},
        {"bucket": "b", "session_token": SECRET},
        {"bucket": "b", "environment": True, **key},
        {"bucket": "b", **key, "session_token": f"{SECRET}\nHost: other"},
        {"bucket": "b", "prefix": "a//b"},
        {"bucket": "b", "prefix": "../b"},
        {"bucket": "b", "part_size": 4 * MIB},
        {"bucket": "b", "kms_key": "k"},
        {"bucket": "b", "addressing": "elsewhere"},
    ):
        with pytest.raises(InvalidOptions) as caught:
            registry.open("s3", options)
        assert SECRET not in caught.value.message


@pytest.mark.parametrize("size", [len(DATA), 2 * PART])
async def test_a_server_cannot_make_a_write_wait_for_hours(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_write, "LONGEST_PAUSE", 0.0)
    asked: list[str] = []

    async def busy(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        if request.method == "PUT" and "probe" not in request.path:
            asked.append(request.path_qs)
            if asked.count(request.path_qs) == 1:
                return xml("SlowDown", status=503, headers={"Retry-After": "7200"})
        return await honest(request, body)

    async with liar(busy) as server, opened(at(server)) as element:
        async with asyncio.timeout(30):
            with suppress(StorageError):  # this server forgets what it has
                await element.write("new", chunked(bytes(size)), size=size, overwrite=True)
    assert {asked.count(path) for path in asked} == {2}


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_read_goes_on_in_the_same_version_alone(replaced: bool) -> None:
    turns = 0

    async def breaking(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal turns
        turns += 1
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206, headers={"ETag": '"b"' if replaced and turns > 1 else '"a"'})
        response.content_length = len(DATA) - start
        response.headers["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        await response.prepare(request)
        await response.write(DATA[start:5000] if turns == 1 else DATA[start:])
        if turns == 1:
            assert request.transport
            request.transport.close()
        return response

    async with liar(breaking) as server, opened(at(server)) as element:
        patient = Retried(element, 2, first_wait=0.01)
        if replaced:
            with pytest.raises(Transient, match="replaced"):
                await get(patient, "x")
        else:
            assert await get(patient, "x") == DATA
        assert await get(patient, "x") == DATA  # nothing to a read that began later
