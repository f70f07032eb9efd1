"""XRootD's HTTPS door (measured: 5.5.3), which is WebDAV with gaps, and more.

It takes the target of a MOVE as it stands, not decoded, tells names in listings in the same way, and takes a question
mark in a name for the start of options: names are of printable ASCII here, without `%`, `?`, `#` and a space at their
end, lest they come back as others. It answers ranges that are open or go beyond the end with wrong lengths, and a GET
of a folder with a page: the size is asked first. A COPY is always a third-party copy, for which the other side wants a
macaroon or token (`Remote.headers`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from lading.model.checksum import kind, normalise

from .base import Chunk, Element, ObjectInfo, check_span, unwrapped
from .errors import InvalidPath, ObjectExists, StorageError, Unsupported
from .http_session import HttpSession
from .paths import shown
from .powers import Presigned, Progress, Remote
from .webdav import WebdavElement
from .webdav_tpc import http_url, third_party_copy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from .webdav_options import WebdavOptions

_LONGEST = 254  # of a component: of one of 255 bytes a listing tells 254
_DIGESTS = {
    "adler32": "adler32",
    "md5": "md5",
    "crc32c": "crc32c",
    "sha1": "sha",
    "sha256": "sha-256",
    "sha512": "sha-512",
}  # as Want-Digest calls them (RFC 3230)


class _Session(HttpSession):
    def url(self, pfn: str) -> URL:
        url = super().url(pfn)
        if not pfn.isascii() or not pfn.isprintable() or set(pfn) & set("%?#") or pfn.endswith(" "):
            raise InvalidPath(f"'{shown(pfn)}' has a character that XRootD mistakes over HTTP", pfn=pfn)
        if max(map(len, pfn.split("/"))) > _LONGEST:
            raise InvalidPath(f"'{shown(pfn)}' has a component longer than {_LONGEST}", pfn=pfn)
        return url

    def destination(self, pfn: str) -> str:
        return f"{self.base}{pfn}"


class XrootdElement(WebdavElement):
    """See the module. Powers beside those of WebdavElement: Checksums, PullsRemote, PushesRemote, Presigns (by
    macaroons, which the server makes: it is asked for them)."""

    session = _Session

    def __init__(self, options: WebdavOptions, *, name: str = "") -> None:
        super().__init__(options, name=name)
        self._expect = False  # its 100 Continue says `Connection: Close`, and aiohttp hears nothing more then

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        size = (await self.stat(pfn)).size
        if (start, stop) != (0, None):
            stop = size if stop is None else min(stop, size)
        if start >= (size if stop is None else stop):
            return
        async with aclosing(super().read(pfn, start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        await self._tree.object(pfn)
        told: dict[str, str] = {}
        for name in map(kind, kinds):
            if name in _DIGESTS and name not in told:  # it tells one at a time, and adler32 in place of what it cannot
                headers = {"Want-Digest": _DIGESTS[name]}
                async with self._http.request(
                    "HEAD", self._tree.url(pfn), accept=(200,), pfn=pfn, headers=headers, patient=True
                ) as response:
                    told |= _digests(response.headers.get("Digest", ""))
        return {name: told[name] for name in map(kind, kinds) if name in told}

    async def pull(
        self,
        pfn: str,
        source: Remote,
        *,
        size: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        self._tree.url(pfn)
        headers = {"Source": http_url(source)}
        await self._tree.check_free(pfn, overwrite)
        async with self._staged() as temporary:
            url = self._http.url(temporary)
            await third_party_copy(self._http, url, source, headers, pfn=pfn, progress=progress)
            return await self._show_staged(temporary, pfn, overwrite, size)

    async def push(
        self, pfn: str, target: Remote, *, overwrite: bool = False, progress: Progress | None = None
    ) -> None:
        """Whether something is there is asked before it begins, where the target lets us ask: XRootD itself does not
        look."""
        await self._tree.object(pfn)
        url = http_url(target)
        if not overwrite and await self._there(target, url):
            raise ObjectExists("something is there already", pfn=pfn)
        headers = {"Destination": url, "Overwrite": "T" if overwrite else "F"}
        await third_party_copy(self._http, self._tree.url(pfn), target, headers, pfn=pfn, progress=progress)

    async def presign_get(self, pfn: str, *, expires_in: int) -> Presigned:
        return await self._macaroon(pfn, "GET", "DOWNLOAD", expires_in)

    async def presign_put(self, pfn: str, *, expires_in: int, size: int | None = None) -> Presigned:
        return await self._macaroon(pfn, "PUT", "UPLOAD", expires_in)

    async def copies_from(self, source: Element) -> bool:
        return isinstance(unwrapped(source), XrootdElement) and await super().copies_from(source)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        there = unwrapped(source)
        if not isinstance(there, XrootdElement) or not there.same_server(self):
            raise Unsupported("the source is on another server: it can be pulled", pfn=source_pfn)
        info = await there.stat(source_pfn)
        signed = await there.presign_get(source_pfn, expires_in=24 * 3600)
        return await self.pull(pfn, Remote(signed.url, signed.headers), size=info.size, overwrite=overwrite)

    async def _there(self, target: Remote, url: str) -> bool:
        with contextlib.suppress(StorageError):  # we may not reach it, or may only write
            async with self._http.request("HEAD", URL(url, encoded=True), accept=(200,), secret=target.headers):
                return True
        return False

    async def _macaroon(self, pfn: str, method: str, activity: str, expires_in: int) -> Presigned:
        url = self._tree.url(pfn)
        asked = {"caveats": [f"activity:{activity}"], "validity": f"PT{expires_in}S"}
        headers = {"Content-Type": "application/macaroon-request"}
        now = int(time.time())
        async with self._http.request(
            "POST", url, accept=(200,), pfn=pfn, headers=headers, data=msgspec.json.encode(asked)
        ) as response:
            body = await response.content.read(1 << 16)
        try:
            macaroon = msgspec.json.decode(body, type=dict[str, str | int])["macaroon"]
        except (msgspec.DecodeError, KeyError):
            raise Unsupported("the server makes no macaroons", pfn=pfn) from None
        return Presigned(str(url), method, now + expires_in, {"Authorization": f"Bearer {macaroon}"})


def _digests(header: str) -> dict[str, str]:
    """What a `Digest` header tells: adler32 in hexadecimal, the others in base64."""
    kinds = {name: ours for ours, name in _DIGESTS.items()}
    told = {}
    for item in header.split(","):
        name, _, value = item.strip().partition("=")
        if ours := kinds.get(name.lower()):
            with contextlib.suppress(ValueError, binascii.Error):
                plain = value if ours == "adler32" else base64.b64decode(value, validate=True).hex()
                told[ours] = normalise(ours, plain)
    return told


def opened(options: WebdavOptions, *, name: str) -> WebdavElement:
    return (XrootdElement if options.dialect == "xrootd" else WebdavElement)(options, name=name)
