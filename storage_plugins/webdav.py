"""Objects on a WebDAV server (RFC 4918).

A write is sent to a name below `.lading-staging/` and moved to its place when the server has it whole. Whether
something is there already is asked right before the move, and the move then says `Overwrite: F`. Of two writers in one
process one wins. Between processes it is as the server has it: XRootD ignores that header, Apache has a moment between
looking and moving. Folders are never removed: WebDAV has no way to remove only an empty one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, unwrapped
from .chunks import BATCH, CheckedChunks, mismatch
from .errors import ObjectNotFound, StorageError, Transient, Unavailable, Unsupported
from .http import HttpElement
from .http_options import origin
from .http_session import DONE, Body
from .powers import SpaceUsage
from .probing import probe_by_use
from .webdav_tree import STAGING, DavTree
from .webdav_xml import QUOTA, DavEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

    from .webdav_options import WebdavOptions


class WebdavElement(HttpElement):
    """See the module. Powers: Renames, ServerCopies (inside one server), ReportsUsage, KeepsStaging."""

    type = "webdav"

    def __init__(self, options: WebdavOptions, *, name: str = "") -> None:
        super().__init__(options, name=name)
        self._expect = options.expect
        self._staging_made = False
        self._tree = DavTree(self._http)
        self._cleaning: set[asyncio.Task[None]] = set()

    async def stat(self, pfn: str) -> ObjectInfo:
        return _info(await self._tree.object(pfn), pfn)

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        self._tree.url(pfn)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        if not overwrite and (size is None or size > BATCH):  # what is small is refused soon enough at its end
            await self._tree.check_free(pfn, overwrite)
        async with self._staged() as temporary:
            await self._put(temporary, Body(checked, size), pfn)
            info = await self._show_staged(temporary, pfn, overwrite, checked.size)
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

    async def remove(self, pfn: str) -> None:
        await self._tree.object(pfn)  # a DELETE of a folder takes all that is in it
        async with self._missing():
            await self._http.do("DELETE", self._tree.url(pfn), pfn=pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        top, _, _ = prefix.rpartition("/")
        if top:
            self._http.url(top)
        folders = [top]
        while folders:
            async with aclosing(self._tree.children(folders.pop())) as children:
                async for pfn, entry in children:
                    if pfn.startswith(RESERVED) or not pfn.startswith(prefix):
                        continue
                    if entry.folder:
                        folders.append(pfn)
                    else:
                        info = _info(entry, pfn)
                        yield ScanEntry(pfn, info.size, info.mtime_us)

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare and await self._tree.find("") is None:
                await self._http.do("MKCOL", self._http.base)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._cleaning:
            await asyncio.wait(self._cleaning)
        await super().aclose()

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        url = self._tree.url(target)
        await self._tree.object(source)
        if url != self._tree.url(source):
            await self._tree.move(self._tree.url(source), target, overwrite)

    async def copies_from(self, source: Element) -> bool:
        there = unwrapped(source)
        return isinstance(there, WebdavElement) and there.same_server(self)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        there = unwrapped(source)
        if not isinstance(there, WebdavElement) or not there.same_server(self):
            raise Unsupported("the source is on another server", pfn=source_pfn)
        self._tree.url(pfn)
        found = _info(await there._tree.object(source_pfn), source_pfn)
        await self._tree.check_free(pfn, overwrite)
        async with self._staged() as temporary:
            headers = {"Destination": self._http.destination(temporary), "Overwrite": "T", "Depth": "0"}
            async with there._missing():
                await self._http.do("COPY", there._tree.url(source_pfn), pfn=source_pfn, headers=headers, patient=True)
            return await self._show_staged(temporary, pfn, overwrite, found.size)

    def same_server(self, other: WebdavElement) -> bool:
        """Whether either may name the other's objects in its requests."""
        mine, others = self._http, other._http
        return origin(mine.base) == origin(others.base) and mine.identity.equals(others.identity)

    async def usage(self) -> SpaceUsage:
        root = await self._tree.find("", QUOTA)
        if root is None:
            raise Unavailable("the root folder is not there")
        total = None if root.available is None or root.used is None else root.available + root.used
        return SpaceUsage(total, root.available, root.used)

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with aclosing(self._tree.children(STAGING)) as children:
            async for pfn, entry in children:
                yield ScanEntry(pfn, entry.size or 0, entry.mtime_us)

    async def clean_staging(self, older_than_us: int) -> int:
        limit = time.time_ns() // 1000 - older_than_us
        old = [entry.pfn async for entry in self.scan_staging() if entry.mtime_us and entry.mtime_us <= limit]
        for pfn in old:
            with contextlib.suppress(ObjectNotFound):  # another cleaner was faster
                await self._http.do("DELETE", self._http.url(pfn), pfn=pfn)
        return len(old)

    async def _check_root(self) -> None:
        await self._tree.check_root()

    async def _put(self, temporary: str, body: Body, pfn: str) -> None:
        try:
            async with self._http.request(
                "PUT",
                self._http.url(temporary),
                accept=DONE,
                pfn=pfn,
                data=body,
                expect=self._expect and body.size != 0,
            ) as response:
                await response.content.read(BATCH)
        except ObjectNotFound:
            self._staging_made = False
            raise Transient("the staging folder is gone", pfn=pfn) from None
        except StorageError:
            self._staging_made = False  # Apache and rclone say 409 without it
            raise
        if not body.sent:
            raise Transient("the server answered before it had all", pfn=pfn)

    @contextlib.asynccontextmanager
    async def _staged(self) -> AsyncGenerator[str, None]:
        """The PFN of a hidden object of a new name, taken away again when its use ends in an error."""
        if not self._staging_made:
            await self._tree.make_folder(STAGING)
            self._staging_made = True
        temporary = f"{STAGING}/{secrets.token_hex(16)}"
        try:
            yield temporary
        except BaseException as error:
            task = asyncio.create_task(self._discard(temporary))
            self._cleaning.add(task)
            task.add_done_callback(self._cleaning.discard)
            if not isinstance(error, asyncio.CancelledError):
                await asyncio.shield(task)
            raise

    async def _discard(self, temporary: str) -> None:
        with contextlib.suppress(StorageError):  # what stays behind is for clean_staging
            await self._http.do("DELETE", self._http.url(temporary))

    async def _show_staged(self, temporary: str, pfn: str, overwrite: bool, size: int | None) -> ObjectInfo:
        """Move what is complete to its place. Raises ChecksumMismatch when the server has not `size` bytes of
        it."""
        staged = await self._tree.find(temporary)
        if staged is None:
            raise Transient("the server has lost what it took", pfn=pfn)
        info = _info(staged, pfn)
        if size is not None and info.size != size:
            raise mismatch({"size": str(size)}, {"size": str(info.size)}, pfn)
        await self._tree.move(self._http.url(temporary), pfn, overwrite)
        return info


def _info(entry: DavEntry, pfn: str) -> ObjectInfo:
    if entry.size is None:
        raise StorageError("the server does not tell the object's size", pfn=pfn)
    return ObjectInfo(entry.size, entry.mtime_us)
