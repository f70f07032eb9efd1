"""A web server that answers what a test tells it to, right or wrong, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FILE = """<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype>{kind}</D:resourcetype>
<D:getcontentlength>{size}</D:getcontentlength></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"""


class Liar:
    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[web.BaseRequest] = []


@contextlib.asynccontextmanager
async def liar(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Liar]:
    async def remembered(request: web.BaseRequest) -> web.StreamResponse:
        server.requests.append(request)
        return await handler(request)

    runner = web.ServerRunner(web.Server(remembered), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server = Liar(f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}/")
    try:
        yield server
    finally:
        await runner.cleanup()


async def received(request: web.BaseRequest) -> bytes:
    """The body, which a client that sent `Expect: 100-continue` waits to be asked for."""
    if request.headers.get("Expect") == "100-continue":
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.read()


def listing(*entries: tuple[str, int | None]) -> web.Response:
    """The answer to PROPFIND: (href, size), None for a folder."""
    rows = "".join(
        FILE.format(href=href, size="" if size is None else size, kind="<D:collection/>" if size is None else "")
        for href, size in entries
    )
    text = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{rows}</D:multistatus>'
    return web.Response(status=207, text=text, content_type="application/xml")


async def short(request: web.BaseRequest, body: bytes, promised: int) -> web.StreamResponse:
    """Promise more than comes."""
    response = web.StreamResponse(headers={"Content-Length": str(promised)})
    await response.prepare(request)
    await response.write(body)
    assert request.transport
    request.transport.close()
    return response
