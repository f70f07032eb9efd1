"""Objects behind any web server, to read. What WebDAV adds is in `webdav.py`.

A listing is nginx's (`autoindex on; autoindex_format json;`), which leaves names beginning with a dot out; without it
there is no scan.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import json
import re
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec
from msgspec import Struct

from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span
from .errors import Denied, ObjectNotFound, StorageError, Transient, Unavailable, Unsupported
from .http_errors import moment_us, refused
from .http_options import HttpOptions, origin
from .http_session import HttpSession
from .probing import probe_by_use
from .registry import Plugin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

    from aiohttp import ClientResponse

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_UNWELL = (502, 503, 504)  # of a proxy, mostly: what it says of an object is not to be believed then
_PAGES = ("text/html", "application/xhtml+xml")
_LARGEST_LISTING = 1 << 28  # bytes of JSON, some three million names in one folder


class _Entry(Struct):
    """Of a listing."""

    name: str
    type: str
    size: int = 0
    mtime: str | None = None


class _Version(NamedTuple):
    server: tuple[str, str | None, int | None]
    tags: tuple[str, str]
    size: int

    def differs(self, other: _Version) -> bool:
        return self.size != other.size or (self.server == other.server and self.tags != other.tags)


class HttpElement(Element):
    type = "http"
    session: ClassVar[builtins.type[HttpSession]] = HttpSession
    _versions: list[_Version] | None = None  # the first that was read, for `of_one_version`

    def __init__(self, options: HttpOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self._http = self.session(options)

    async def stat(self, pfn: str) -> ObjectInfo:
        async with self._missing(), self._http.request("HEAD", self._http.url(pfn), accept=(200,), pfn=pfn) as response:
            size = response.headers.get("Content-Length", "")
            if not size.isdigit():
                raise StorageError("the server does not tell the object's size", pfn=pfn)
            return ObjectInfo(int(size), moment_us(response.headers.get("Last-Modified")))

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        url = self._http.url(pfn)
        if start == stop:
            await self.stat(pfn)
            return
        headers = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        async with (
            self._missing(),
            self._http.request("GET", url, accept=(200, 206, 403, 405, 416), pfn=pfn, headers=headers) as response,
        ):
            skip, left = await self._span(response, pfn, start, stop)
            if not left:
                return
            async with contextlib.aclosing(self._http.pieces(response)) as pieces:
                async for chunk in pieces:
                    wanted = chunk[skip : skip + left]
                    skip -= min(skip, len(chunk))
                    if wanted:
                        left -= len(wanted)
                        yield wanted
                    if not left:
                        return
            raise Transient(f"{left} bytes of the object did not come", pfn=pfn)

    def of_one_version(self) -> HttpElement:
        again = copy.copy(self)
        again._versions = []
        return again

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        self._http.url(pfn)
        raise Denied("a web server is only read from", pfn=pfn)

    async def remove(self, pfn: str) -> None:
        self._http.url(pfn)
        raise Denied("a web server is only read from", pfn=pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        above, _, start = prefix.rpartition("/")
        if above:
            self._http.url(above)
        async for entry in self._below(f"{above}/" if above else "", start):
            yield entry

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        return await probe_by_use(self, write=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    @contextlib.asynccontextmanager
    async def _missing(self) -> AsyncGenerator[None, None]:
        """Unavailable in place of ObjectNotFound when the root is not there either."""
        try:
            yield
        except ObjectNotFound:
            await self._check_root()
            raise

    async def _check_root(self) -> None:
        async with self._http.request("HEAD", self._http.base, accept=range(200, 600)) as response:
            if response.status in (404, 410):
                raise Unavailable("the root folder is not there")
            if response.status in _UNWELL:
                raise Unavailable(f"the server answered {response.status} for the root folder")

    async def _span(self, response: ClientResponse, pfn: str, start: int, stop: int | None) -> tuple[int, int]:
        """How many bytes of the body to skip, and how many to take then."""
        if response.status in (403, 405):
            await self.stat(pfn)  # a folder, which is ObjectNotFound?
            raise refused("GET", response.status, response.headers, pfn=pfn)
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        first, last, total = found.groups() if found else (None, None, None)
        size = int(total) if total and total.isdigit() else None
        if response.status == 200:
            size = response.content_length
            if size is None or response.content_type in _PAGES:  # an error page or a listing may pass for the object
                told = (await self.stat(pfn)).size
                if size is not None and size != told:
                    raise Transient("a page came in place of the object", pfn=pfn)
                size = told
        elif size is None:
            size = (await self.stat(pfn)).size
        self._check_version(response, size, pfn)
        left = max(0, (size if stop is None else min(stop, size)) - start)
        if response.status == 200:
            return start, left
        if left and (response.status == 416 or (first, last) != (str(start), str(start + left - 1))):
            raise Transient("other bytes came than were asked for", pfn=pfn)
        return 0, left

    def _check_version(self, response: ClientResponse, size: int, pfn: str) -> None:
        if self._versions is None or response.status == 416:
            return
        # Apache's ETag is weak in the second in which the file was written, and the same without `W/` later.
        tags = response.headers.get("ETag", "").removeprefix("W/"), response.headers.get("Last-Modified", "")
        version = _Version(origin(response.url), tags, size)
        self._versions = self._versions or [version]
        if version.differs(self._versions[0]):
            raise Transient("the object was replaced while it was read", pfn=pfn)

    async def _below(self, folder: str, start: str) -> AsyncGenerator[ScanEntry, None]:
        for entry in await self._listing(folder):
            if entry.name in ("", ".", "..") or "/" in entry.name:
                raise Transient("a folder's listing tells of something that is not in it")
            pfn = folder + entry.name
            if not entry.name.startswith(start) or pfn.startswith(RESERVED):
                continue
            if entry.type == "directory":
                async for below in self._below(f"{pfn}/", ""):
                    yield below
            elif entry.type == "file":
                yield ScanEntry(pfn, entry.size, moment_us(entry.mtime))

    async def _listing(self, folder: str) -> list[_Entry]:
        url = self._http.folder_url(folder)
        body = bytearray()
        try:
            async with self._missing(), self._http.request("GET", url, accept=(200,)) as response:
                if response.content_type != "application/json":
                    raise Unsupported("the server lists no folders as JSON (nginx: autoindex_format json)")
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _LARGEST_LISTING:
                        raise Unsupported(f"a folder's listing has more than {_LARGEST_LISTING} bytes")
        except ObjectNotFound:
            return []
        try:
            return msgspec.convert(json.loads(body.decode("utf-8", "surrogateescape")), list[_Entry])
        except (ValueError, RecursionError, msgspec.ValidationError):
            raise Unsupported("the server's JSON is no listing of a folder") from None


PLUGIN = Plugin(
    name="http",
    summary="files behind a web server, only to read",
    config=HttpOptions,
    factory="storage_plugins.http:HttpElement",
)
