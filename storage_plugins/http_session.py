"""Requests to one server: its errors typed, its redirects followed without our credentials, uploads that can be
refused early."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import aiohttp
from yarl import URL

from lading import wire

from .base import NONE, Chunk
from .errors import Denied, ObjectNotFound, StorageError, Transient, Unavailable
from .http_errors import broken, refused
from .http_options import HttpOptions, Identity, origin
from .paths import components

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping

DONE = (200, 201, 204)
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_KEPT = 4  # seconds a connection is kept: Apache closes its end after 5, and a request would run into that


class Body:
    """`chunks` as the body of one request. It tells what became of it: a server may answer before it has all (`sent` is
    false then)."""

    def __init__(self, chunks: AsyncIterable[Chunk], size: int | None = None) -> None:
        self.size = size
        self.begun = self.sent = False
        self.error: Exception | None = None  # of the chunks themselves
        self.wait: asyncio.Timeout | None = None
        self._chunks = chunks

    async def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        if self.begun:  # by aiohttp, on a new connection
            raise Transient("the connection broke off during the upload")
        self.begun = True
        if self.wait:
            self.wait.reschedule(None)
        last: Chunk = b""  # held back until the chunks ended well: all of it there means that it was checked
        try:
            async for chunk in self._chunks:
                if last:
                    yield last
                last = chunk
        except Exception as error:
            self.error = error
            raise
        self.sent = True
        if last:
            yield last


def watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """One that notices within minutes that the other host or the way to it is gone: some answers may take for ever."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # as on Linux
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


class HttpSession:
    def __init__(self, options: HttpOptions) -> None:
        self.base = URL(options.url.rstrip("/") + "/")
        self.identity = Identity(options)
        self._timeout = options.timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def url(self, pfn: str) -> URL:
        """Raises InvalidPath."""
        components(pfn)
        return self.folder_url(pfn)

    def folder_url(self, path: str = "") -> URL:
        """`path` is appended as it is, percent-encoded."""
        return URL(str(self.base) + quote(path.encode("utf-8", "surrogateescape"), safe="/~"), encoded=True)

    def destination(self, pfn: str) -> str:
        """The URL as a header has it."""
        return str(self.url(pfn))

    def path(self, url: URL) -> str:
        """As a server tells it back, decoded, without a slash at its end."""
        return unquote_to_bytes(url.raw_path).decode("utf-8", "surrogateescape").rstrip("/")

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        accept: Collection[int],
        pfn: str | None = None,
        headers: Mapping[str, str] = NONE,
        secret: Mapping[str, str] = NONE,
        data: bytes | Body | None = None,
        expect: bool = False,
        patient: bool = False,
        follow: bool = True,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer, when its status is one of `accept`; else the error it stands for. What goes wrong with the
        connection inside the `async with` is a StorageError too.

        A redirect is followed: to another server without credentials, from https to http never. One that only adds a
        slash means a folder (ObjectNotFound), but for PROPFIND. `secret` are headers that only the server of `url`
        itself gets. `expect`: the server is asked before the body is sent. `patient`: it may work for long before it
        answers. Not `follow`: a redirect is an answer as others are.
        """
        first = origin(url)
        try:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(_MOST_REDIRECTS):
                    sent = {**headers, **secret} if origin(url) == first else headers
                    response = await self._send(method, url, sent, data, expect, patient)
                    # close, not release: a body of which the rest is not wanted would be waited for
                    stack.callback(response.close if isinstance(data, Body) and not data.sent else response.release)
                    if not follow or response.status not in _REDIRECTS or "Location" not in response.headers:
                        break
                    url = _next(method, url, response.headers["Location"], data, pfn)
                else:
                    raise StorageError("the server redirects without end", pfn=pfn)
                if response.status not in accept:
                    raise refused(method, response.status, response.headers, pfn=pfn)
                yield response
        except (aiohttp.ClientError, aiohttp.InvalidURL, TimeoutError, OSError) as error:
            if isinstance(data, Body) and data.error:
                raise data.error from None
            raise broken(error, pfn=pfn) from error

    async def do(
        self,
        method: str,
        url: URL,
        *,
        pfn: str | None = None,
        headers: Mapping[str, str] = NONE,
        patient: bool = False,
    ) -> None:
        """As `request`, when it is enough that it was done."""
        async with self.request(method, url, accept=DONE, pfn=pfn, headers=headers, patient=patient) as response:
            await response.content.read(1 << 16)  # a short body that is read leaves the connection usable

    async def pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Chunk, None]:
        """A body as it comes: a large one over plain HTTP straight from its socket, at half the CPU (docs/adr/0009)."""
        size = 0 if "Content-Encoding" in response.headers else response.content_length or 0
        transport = wire.bare(response.connection and response.connection.transport) if size >= wire.WORTH else None
        if transport is None:
            async for chunk in response.content.iter_any():
                yield chunk
            return
        try:
            async with contextlib.aclosing(
                wire.body(transport, response.content, size, patience=self._timeout)
            ) as large:
                async for piece in large:
                    yield piece
        finally:
            response.close()  # the connection is of no more use

    async def aclose(self) -> None:
        self._closed = True
        if self._session:
            await self._session.close()

    async def _send(
        self, method: str, url: URL, headers: Mapping[str, str], data: bytes | Body | None, expect: bool, patient: bool
    ) -> aiohttp.ClientResponse:
        ours = origin(url) == origin(self.base)
        sent = {"Accept-Encoding": "identity", **headers, **(self.identity.headers if ours else {})}
        if isinstance(data, Body) and data.size is not None:
            sent["Content-Length"] = str(data.size)
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout, sock_read=None if patient else self._timeout)
        async with asyncio.timeout(self._timeout if expect else None) as wait:
            if isinstance(data, Body) and expect:
                data.wait = wait
            return await self._open().request(
                method,
                url,
                headers=sent,
                data=data,
                expect100=expect,
                allow_redirects=False,
                timeout=timeout,
                ssl=True if url.scheme == "http" else self.identity.tls if ours else self.identity.anonymous_tls,
            )

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the element is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a read that asks for the size waits for a second connection. `max_connections` limits.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT, socket_factory=watched_socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _next(method: str, url: URL, location: str, data: bytes | Body | None, pfn: str | None) -> URL:
    """Where a redirect leads."""
    try:
        target = url.join(URL(location, encoded=True))
    except ValueError:
        raise StorageError("the server redirects to what is no URL", pfn=pfn) from None
    if method != "PROPFIND" and target.raw_path == url.raw_path + "/":
        raise ObjectNotFound("it is a folder, not an object", pfn=pfn)
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        raise Denied(f"the server redirects from {url.scheme} to {target.scheme}: refused", pfn=pfn)
    if method == "COPY" and origin(target) != origin(url):  # its headers may hold a third party's credentials
        raise Denied("the server redirects a copy to another server: refused", pfn=pfn)
    if isinstance(data, Body) and data.begun:
        raise StorageError("the server redirects an upload that it let begin: use the option 'expect'", pfn=pfn)
    return target
