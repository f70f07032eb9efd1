"""Objects as files below a folder of an SSH server, over SFTP.

A write goes to `.lading-staging/` and is shown by a hard link (so that of two writers one wins), or by a rename when it
may replace. Where the server has no `hardlink@openssh.com` it is only as exclusive as the server's rename; without
`posix-rename@openssh.com` nothing can be overwritten. The file is synced before it shows (`fsync@openssh.com`); its
name cannot be.

The root holds a file `.lading-element`, made when the element is probed with `prepare`: where it is missing, the disk
is not mounted and everything raises Unavailable. Removing an object removes the folders it leaves empty. Times are
in whole seconds, by the server's clock.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncssh

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import CheckedChunks, batches
from .errors import StorageError, Transient, Unsupported
from .inflight import Requests
from .powers import SpaceUsage
from .probing import probe_by_use
from .sftp_links import Links
from .sftp_requests import closed, opened, sizes
from .sftp_staged import Staged
from .sftp_tree import Tree, info_of, split

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Mapping
    from typing import Any

    from .sftp import SftpOptions

_PER_CONNECTION = 16  # operations at once; each holds up to 4 MiB
_ENTRIES = 512  # of a scan, at a time
_PATIENCE = 5  # seconds to wait for cleaning up behind broken-off operations when the element is closed


class SftpElement(Element):
    """See the module. Powers: ServerCopies (within one server and user, where it has copy-data), Renames, ReportsUsage,
    KeepsStaging.
    """

    type = "sftp"
    atomic_replace = True

    def __init__(self, options: SftpOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections * _PER_CONNECTION
        self._login = (options.host, options.port, options.user)
        self._root = options.path.encode("utf-8", "surrogateescape")
        self._marker = options.marker
        self._fsync = options.fsync
        self._links = Links(options)
        self._tasks: set[asyncio.Task[None]] = set()

    async def stat(self, pfn: str) -> ObjectInfo:
        async with self._tree(pfn) as tree:
            return info_of(await tree.stat(pfn))

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        async with self._tree(pfn) as tree:
            await tree.stat(pfn)  # opening a device can do things
            file = await opened(tree.client, tree.path(*split(pfn)), "rb")
            block, limit = sizes(tree.client.limits.max_read_len)
            requests: Requests[bytes] = Requests(limit)
            try:
                size = (await file.stat()).size or 0
                end = size if stop is None else min(stop, size)
                while start < end or requests:
                    while start < end and len(requests) < limit:
                        requests.add(_block(file, start, min(start + block, end), pfn))
                        start += block
                    yield await requests.next()
            finally:
                await requests.cancel()
                self._later(closed(file))

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        split(pfn)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        async with self._links.client() as client, self._staged(client, pfn, overwrite) as staged:
            async for batch in batches(checked, staged.block):
                await staged.append(batch)
            info = await staged.commit()
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

    async def remove(self, pfn: str) -> None:
        async with self._tree(pfn) as tree:
            await tree.remove(pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        async with self._tree(None) as tree:
            entries = tree.objects(prefix)
            step: asyncio.Task[list[ScanEntry]] | None = None
            try:
                while True:
                    step = asyncio.create_task(_some(entries))
                    found = await asyncio.shield(step)  # asyncssh would wait for the server when it is cancelled
                    for entry in found:
                        yield entry
                    if len(found) < _ENTRIES:
                        return
            finally:
                self._later(_ended(entries, step))

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                async with self._tree(None) as tree:
                    await tree.prepare()
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        await self._links.aclose()

    async def copies_from(self, source: Element) -> bool:
        origin = unwrapped(source)
        return isinstance(origin, SftpElement) and origin._login == self._login

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        origin = unwrapped(source)
        if not isinstance(origin, SftpElement) or origin._login != self._login:
            raise Unsupported("the source is not on the same SSH server, of the same user", pfn=source_pfn)
        split(pfn)
        async with self._links.client() as client:
            if not client.supports_remote_copy:
                raise Unsupported("the server has no copy-data", pfn=source_pfn)
            there = origin._at(client)
            async with there.told(source_pfn):
                await there.stat(source_pfn)
                file = await opened(client, there.path(*split(source_pfn)), "rb")
            try:
                async with self._staged(client, pfn, overwrite) as staged:
                    async with there.told(source_pfn):
                        size = (await file.stat()).size or 0
                    await staged.copy(file, size)
                    return await staged.commit()
            finally:
                self._later(closed(file))

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        async with self._tree(source) as tree:
            await tree.stat(source)
            if source == target:
                return
            parts = split(source)
            try:
                await tree.show(tree.path(*parts), target, replace=overwrite)
            except asyncssh.SFTPFailure:
                raise Unsupported("the server cannot rename it: do they lie on two disks?", pfn=source) from None
            await tree.prune(parts[:-1])

    async def usage(self) -> SpaceUsage:
        async with self._tree(None) as tree:
            return await tree.usage()

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with self._tree(None) as tree:
            async for entry in tree.leftovers():
                yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        removed = 0
        now = time.time_ns() // 1000
        async with self._tree(None) as tree:
            async for entry in tree.leftovers():
                if now - (entry.mtime_us or now) >= older_than_us:
                    with suppress(asyncssh.SFTPNoSuchFile):
                        await tree.client.remove(tree.path(entry.pfn.encode("utf-8", "surrogateescape")))
                        removed += 1
        return removed

    def _at(self, client: asyncssh.SFTPClient) -> Tree:
        return Tree(client, self._root, marker=self._marker)

    @asynccontextmanager
    async def _tree(self, pfn: str | None) -> AsyncGenerator[Tree, None]:
        """The tree by way of a connection, with SFTP's errors told as ours."""
        async with self._links.client() as client:
            tree = self._at(client)
            async with tree.told(pfn):
                yield tree

    @asynccontextmanager
    async def _staged(self, client: asyncssh.SFTPClient, pfn: str, overwrite: bool) -> AsyncGenerator[Staged, None]:
        """A write that has started, and is discarded unless all goes well."""
        staged = Staged(self._at(client), pfn, overwrite=overwrite, fsync=self._fsync)
        try:
            await staged.start()
            yield staged
        except BaseException as error:
            discarding = self._later(staged.discard())
            if isinstance(error, Exception):
                await asyncio.shield(discarding)
            raise

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Clean up without letting anybody wait for a server that may not answer any more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _block(file: asyncssh.SFTPClientFile, start: int, end: int, pfn: str) -> bytes:
    data: bytes = await file.read(end - start, start)
    while len(data) < end - start:  # a server may send less than it was asked for
        more: bytes = await file.read(end - start - len(data), start + len(data))
        if not more:
            raise Transient("the object became shorter while it was read", pfn=pfn)
        data += more
    return data


async def _some(entries: AsyncGenerator[ScanEntry, None]) -> list[ScanEntry]:
    found: list[ScanEntry] = []
    async for entry in entries:
        found.append(entry)
        if len(found) == _ENTRIES:
            break
    return found


async def _ended(entries: AsyncGenerator[ScanEntry, None], step: asyncio.Task[list[ScanEntry]] | None) -> None:
    with suppress(asyncssh.Error, OSError, StorageError, asyncio.CancelledError):
        if step:
            await step
        await entries.aclose()
