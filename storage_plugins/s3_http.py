"""How aiobotocore's requests go over the wire: no redirect followed, no proxy, the same trust as our other HTTP
types, and bodies in chunks that are sent once."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]  # it has no type annotations

from .http_options import trusting
from .http_session import Body, watched_socket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .base import Chunk

_KEPT = 4  # seconds a connection is kept: servers close theirs after some more, and a request would run into that


class Upload(Body):
    """A body that botocore takes for a file and leaves unread. Sent at most once: of what is sent again by itself after
    a lost connection, nobody can tell which answer belongs to which try."""

    def read(self, size: int = -1) -> bytes:
        raise NotImplementedError("it is iterated")


async def each(chunks: Sequence[Chunk]) -> AsyncGenerator[Chunk, None]:
    for chunk in chunks:
        yield chunk


class Session(AIOHTTPSession):  # type: ignore[misc]  # it has no type annotations
    """`verify` is the path of CA certificates, True for the system's."""

    def _build_verify_context(self) -> ssl.SSLContext:
        return trusting(None if self._verify is True else self._verify)

    async def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
        context, _ = self._build_ssl_contexts(None)
        # No limit: parts wait for connections of their own. The element limits its operations.
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT, ssl=context, socket_factory=watched_socket)

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        if self._sessions is None:
            raise aiohttp.ClientConnectionError("the element is closed")
        found = self._sessions.get(None)
        if found is None:
            async with self._sessions_lock:
                found = self._sessions.get(None)
                if found is None:
                    session = aiohttp.ClientSession(
                        connector=await self._create_connector(None),
                        timeout=self._timeout,
                        cookie_jar=aiohttp.DummyCookieJar(),
                        skip_auto_headers={"Content-Type"},
                        auto_decompress=False,
                    )
                    await self._exit_stack.enter_async_context(session)
                    found = self._sessions[None] = _Direct(session)
        return found


class _Direct:
    """An aiohttp session as aiobotocore uses it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, *, url: Any, headers: Any, data: Any, **more: Any) -> aiohttp.ClientResponse:
        headers.pop("Expect", None)  # botocore asks for it, and not every server answers it
        more.pop("proxy", None)
        more.pop("proxy_headers", None)
        if method == "PUT" and not data:  # aiohttp would send it again by itself
            headers["Content-Length"] = "0"
            data = Upload(each([]), 0)
        if "x-amz-copy-source" in headers or (method == "POST" and "uploadId" in url.query):
            # The server may work for long before it answers.
            more["timeout"] = aiohttp.ClientTimeout(sock_connect=self._session.timeout.sock_connect)
        return await self._session.request(method, url, headers=headers, data=data, allow_redirects=False, **more)
