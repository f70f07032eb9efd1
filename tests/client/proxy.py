"""A proxy before the real server, that can be told to fail: the network and the middle boxes of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest_asyncio
from aiohttp import web

from tests.server import Server

Fault = Callable[[web.Request, int], object]


@dataclass
class Proxy:
    """`fault` is asked for every request with its number (from 0). What it gives back is done to it:

    None forward · Response answer with it · ("cut", n) break the connection after n bytes of the answer's body ·
    ("damage", n) change byte n of the body · ("lose",) forward, then break the connection instead of answering ·
    ("deaf",) forward without the Range header
    """

    target: str
    url: str = ""
    fault: Fault = lambda request, number: None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def data(self) -> list[str]:
        """The elements that bytes were asked of, in order."""
        return [
            path.partition("se=")[2].partition("&")[0] for m, path, _ in self.seen if m == "GET" and "/v1/data/" in path
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        number = len(self.seen)
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        todo = self.fault(request, number)
        if isinstance(todo, web.StreamResponse):
            return todo
        what = todo if isinstance(todo, tuple) else ("",)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "transfer-encoding")}
        if what[0] == "deaf":
            headers.pop("Range", None)
        body = request.content if request.can_read_body else None
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, aiohttp.client.URL(self.target + request.raw_path, encoded=True),
                data=body, headers=headers, allow_redirects=False,
            ) as answer,
        ):  # fmt: skip
            if what[0] == "lose":
                await answer.read()
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            done = 0
            async for chunk in answer.content.iter_any():
                if what[0] == "cut" and done + len(chunk) > what[1]:
                    await response.write(chunk[: what[1] - done])
                    assert request.transport is not None
                    request.transport.close()
                    return response
                if what[0] == "damage" and done <= what[1] < done + len(chunk):
                    at = what[1] - done
                    chunk = chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
                done += len(chunk)
                await response.write(chunk)
            return response


@pytest_asyncio.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    made = Proxy(server.url)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
