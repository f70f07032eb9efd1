"""What a server says of a third-party copy, word for word."""

from __future__ import annotations

import pytest
from aiohttp import web

from storage_plugins import registry
from storage_plugins.errors import Denied, NoSpace, ObjectExists, ObjectNotFound, StorageError, Transient
from storage_plugins.powers import Remote
from storage_plugins.webdav_xrootd import XrootdElement
from tests.storage_plugins.liar import liar, listing

MARKER = """Perf Marker
    Timestamp: 1537788010
    Stripe Index: {stripe}
    Stripe Bytes Transferred: {size}
    Total Stripe Count: 2
End
"""
SOURCE = Remote("davs://elsewhere.example.org/x?sign=S3cret", {"Authorization": "Bearer T0ken"})


async def copied(status: int, body: str, moved: list[int]) -> web.BaseRequest:
    """The COPY that was sent, when the server answers it with this."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PROPFIND":
            there = "staging/" in request.path or request.path == "/"
            return listing((request.path, None if request.path == "/" else 5)) if there else web.Response(status=404)
        return web.Response(status=status, text=body) if request.method == "COPY" else web.Response(status=201)

    async with liar(handler) as server:
        element = registry.open("webdav", {"url": server.url, "dialect": "xrootd", "token": "ours"}, name="dav")
        assert isinstance(element, XrootdElement)
        try:
            await element.pull("x", SOURCE, size=5, progress=moved.append)
        finally:
            await element.aclose()
            methods = [request.method for request in server.requests]
            assert ("MOVE" in methods) != ("DELETE" in methods)
        return next(request for request in server.requests if request.method == "COPY")


async def test_markers_and_success() -> None:
    moved: list[int] = []
    marks = ((0, 1), (1, 2), (0, 3))
    body = "".join(MARKER.format(stripe=stripe, size=size) for stripe, size in marks) + "success: Created\n\n"
    sent = await copied(201, body, moved)
    assert moved == [1, 3, 5]
    assert sent.headers["Source"] == "https://elsewhere.example.org/x?sign=S3cret"
    assert sent.headers["TransferHeaderAuthorization"] == "Bearer T0ken"
    assert sent.headers["Authorization"] == "Bearer ours"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (201, "", Transient),
        (201, MARKER.format(stripe=0, size=5), Transient),
        (201, "success: Created\nfailure: no, wait", Transient),
        (201, "failure: Remote side failed with status code 404 for https://x/?sign=S3cret\n", ObjectNotFound),
        (202, "failure: Remote side failed with status code 403", Denied),
        (201, "failure: Remote side failed with status code 507", NoSpace),
        (201, "failure: Transfer of https://x/y?sign=S3cret was too slow", Transient),
        (400, "", StorageError),
        (412, "", ObjectExists),
    ],
)
async def test_a_201_is_no_success(status: int, body: str, error: type[StorageError]) -> None:
    with pytest.raises(error) as caught:
        await copied(status, body, [])
    assert type(caught.value) is error
    assert "S3cret" not in str(caught.value)
    assert "T0ken" not in str(caught.value)


async def test_the_third_party_s_credentials_are_shown_to_it_alone() -> None:
    async def ours(request: web.BaseRequest) -> web.StreamResponse:
        return listing((request.path, 5)) if request.method == "PROPFIND" else web.Response(status=500)

    async def missing(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404)

    async with liar(missing) as elsewhere:

        async def redirecting(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/here":
                return web.Response(status=302, headers={"Location": elsewhere.url + "there"})
            return web.Response(status=302, headers={"Location": "/here"})

        async with liar(redirecting) as third, liar(ours) as server:
            element = registry.open("webdav", {"url": server.url, "dialect": "xrootd"}, name="dav")
            assert isinstance(element, XrootdElement)
            target = Remote(third.url + "x", {"Authorization": "Bearer T0ken", "X-Key": "S3cret"})
            with pytest.raises(Transient):
                await element.push("x", target)
            await element.aclose()
        for request in third.requests:
            assert (request.headers["Authorization"], request.headers["X-Key"]) == ("Bearer T0ken", "S3cret")
        assert [request.path for request in third.requests] == ["/x", "/here"]
        (request,) = elsewhere.requests
        assert not {"Authorization", "X-Key"} & set(request.headers)
