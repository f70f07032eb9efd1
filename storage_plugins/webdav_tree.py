"""Files and folders of a WebDAV server: found, listed, made and moved."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .base import RESERVED
from .errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Transient, Unavailable
from .http_errors import refused
from .http_session import DONE, HttpSession
from .paths import shown
from .webdav_xml import ABOUT, DavEntry, Multistatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection
    from contextlib import AbstractAsyncContextManager

    from aiohttp import ClientResponse
    from yarl import URL

STAGING = f"{RESERVED}staging"
_PERHAPS_NO_FOLDER = (400, 403, 404, 409, 500)  # what servers answer to a MOVE into a folder that is not there


class DavTree:
    def __init__(self, http: HttpSession) -> None:
        self._http = http
        self._making = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def url(self, pfn: str) -> URL:
        """Of an object. InvalidPath, also for what is the element's own."""
        url = self._http.url(pfn)
        if pfn == STAGING or pfn.startswith(f"{STAGING}/"):
            raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
        return url

    async def check_root(self) -> None:
        if await self.find("") is None:
            raise Unavailable("the root folder is not there")

    async def find(self, path: str, wanted: bytes = ABOUT) -> DavEntry | None:
        """The object or folder, None when there is none."""
        async with self._propfind(self._http.folder_url(path), "0", wanted, (207, 400, 404, 410, 500)) as response:
            if response.status == 207:
                async with aclosing(_entries(response)) as entries:
                    return await anext(entries, None)
            error = refused("PROPFIND", response.status, response.headers, pfn=path)
        if isinstance(error, ObjectNotFound):
            return None
        above = await self.find(path.rpartition("/")[0]) if path else None
        if path and not (above and above.folder):
            return None  # below an object, to which Apache says 400, XRootD 500
        raise error

    async def object(self, pfn: str) -> DavEntry:
        """Raises ObjectNotFound."""
        self.url(pfn)
        entry = await self.find(pfn)
        if entry is None:
            await self.check_root()
            raise ObjectNotFound("no such object", pfn=pfn)
        if entry.folder:
            raise ObjectNotFound("it is a folder, not an object", pfn=pfn)
        return entry

    async def check_free(self, pfn: str, overwrite: bool) -> bool:
        """Whether an object is there that may be replaced. Raises ObjectExists."""
        there = await self.find(pfn)
        if there and (there.folder or not overwrite):
            raise ObjectExists(f"{'a folder' if there.folder else 'an object'} is there already", pfn=pfn)
        return there is not None

    async def children(self, folder: str) -> AsyncGenerator[tuple[str, DavEntry], None]:
        """What is in a folder, with its path; nothing when it is not there."""
        url = self._http.folder_url(f"{folder}/" if folder else "")
        own = self._http.path(url)
        try:
            async with (
                self._propfind(url, "1", ABOUT, (207,)) as response,
                aclosing(_entries(response)) as entries,
            ):
                async for entry in entries:
                    if entry.path == own:
                        continue
                    above, _, name = entry.path.rpartition("/")
                    if above != own or name in ("", ".", ".."):
                        raise Transient(f"the listing of '{shown(folder)}' tells of something that is not in it")
                    yield (f"{folder}/{name}" if folder else name), entry
        except ObjectNotFound:
            await self.check_root()

    async def make_folder(self, folder: str) -> None:
        """And those above it. What is there already is not an error."""
        async with self._making:  # one at a time: rclone answers 423 when two make the same
            await self._make_folder(folder)

    async def _make_folder(self, folder: str) -> None:
        if not folder:
            return await self.check_root()
        for pause in (0, 0.2, None):
            try:
                return await self._http.do("MKCOL", self._http.folder_url(f"{folder}/"))
            except StorageError as error:
                there = await self.find(folder)
                if there and not there.folder:
                    raise InvalidPath(f"'{shown(folder)}' is an object, no folder") from None
                if there:
                    return None
                if pause is None:
                    raise
                await asyncio.sleep(pause if error.retryable else 0)  # another process may be making it
            await self._make_folder(folder.rpartition("/")[0])
        return None

    async def move(self, source: URL, pfn: str, overwrite: bool) -> None:
        """An object to `pfn`. Raises ObjectExists."""
        folder_made = False
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            for _ in range(4):
                replace = await self.check_free(pfn, overwrite)
                headers = {"Destination": self._http.destination(pfn), "Overwrite": "T" if replace else "F"}
                async with self._http.request(
                    "MOVE", source, accept=range(200, 600), pfn=pfn, headers=headers, patient=True
                ) as response:
                    if response.status in DONE:
                        return
                    error = refused("MOVE", response.status, response.headers, pfn=pfn)
                if isinstance(error, ObjectExists):
                    continue  # it came this very moment
                if folder_made or response.status not in _PERHAPS_NO_FOLDER:
                    raise error
                await self.make_folder(pfn.rpartition("/")[0])
                folder_made = True
        raise Transient("others keep changing what is there", pfn=pfn)

    def _propfind(
        self, url: URL, depth: str, wanted: bytes, accept: Collection[int]
    ) -> AbstractAsyncContextManager[ClientResponse]:
        headers = {"Depth": depth, "Content-Type": 'application/xml; charset="utf-8"'}
        return self._http.request("PROPFIND", url, accept=accept, headers=headers, data=wanted)


async def _entries(response: ClientResponse) -> AsyncGenerator[DavEntry, None]:
    parser = Multistatus()
    async for data in response.content.iter_any():
        for entry in parser.feed(data):
            yield entry
    parser.close()
