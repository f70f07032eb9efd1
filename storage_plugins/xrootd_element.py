"""Objects as files below a folder of an XRootD server, over its own protocol.

A write goes to `.lading-staging/`, is synced, and is shown by a rename, which replaces an object in one step. That
nothing is there is asked right before. Of two writers in one process one wins; between processes there is a moment
between looking and moving, as XRootD has no rename that never replaces.

The root holds a file `.lading-element`, made when the element is probed with `prepare`: where it is missing, the disk
is not mounted, or the server that has it is away, and everything raises Unavailable. Removing an object removes the
folders it leaves empty. Times are in whole seconds, by the server's clock.

A server may send us on to another one, which is part of the protocol and for XRootD's client to follow; from roots://
never to a plain connection. It proves who we are there as well: the key of a certificate or proxy stays here, but a
token is sent. Settings of the client are process-wide: see `xrootd_process.py`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from XRootD.client.flags import OpenFlags

from lading.model.checksum import kind, normalise

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import CheckedChunks, batches
from .errors import InvalidPath, ObjectNotFound, StorageError, Unsupported
from .probing import probe_by_use
from .xrootd_copies import third_party_copy
from .xrootd_files import BLOCK, RemoteFile, Staged, blocks, mark
from .xrootd_links import Link, Links
from .xrootd_tree import Tree, checked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Coroutine, Iterator, Mapping
    from typing import Any

    from .powers import SpaceUsage
    from .xrootd import XrootdOptions

_PER_CONNECTION = 8  # operations at once; each holds up to 16 MiB
_PATIENCE = 5  # seconds to wait for cleaning up behind broken-off operations when the element is closed
# What XRootD calls kinds of ours. Its `crc32` is another sum than everybody's.
_KINDS = {name: name for name in ("adler32", "crc32c", "md5", "sha1", "sha256", "sha512")} | {"crc32": "zcrc32"}


class XrootdElement(Element):
    """See the module. Powers: ServerCopies (from any XRootD element, where the servers allow it; not with a token),
    Renames, Checksums, ReportsUsage, KeepsStaging.
    """

    type = "xrootd"
    atomic_replace = True
    sorted_scan = True

    def __init__(self, options: XrootdOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections * _PER_CONNECTION
        self._root = f"/{urlsplit(options.url).path.strip('/')}".rstrip("/")
        self._marker = options.marker
        self._fsync = options.fsync
        self._links = Links(options)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._kinds: set[str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def stat(self, pfn: str) -> ObjectInfo:
        with self._tree() as tree:
            return await tree.stat(pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        with self._links.link() as link:
            tree = self._at(link)
            file = RemoteFile(link, tree.path(checked(pfn)), pfn)
            try:
                try:
                    await file.open(OpenFlags.READ)
                except (ObjectNotFound, InvalidPath):  # the latter of a folder
                    await tree.stat(pfn)
                    raise
                size = file.size()
                parts = blocks(file, start, size if stop is None else min(stop, size))
                try:
                    async for block in parts:
                        yield block
                finally:
                    await parts.aclose()
            finally:
                self._later(file.close())

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        checked(pfn)
        checking = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        with self._links.link() as link:
            async with self._staged(link, pfn, overwrite) as staged:
                async for batch in batches(checking, BLOCK):
                    await staged.append(batch)
                info = await staged.commit()
        return ObjectInfo(info.size, info.mtime_us, checking.checksums)

    async def remove(self, pfn: str) -> None:
        with self._tree() as tree:
            await tree.remove(pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        with self._tree() as tree:
            async for entry in tree.objects(prefix):
                yield entry

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                with self._links.link() as link:
                    await self._at(link).prepare()
                    if self._marker:
                        await mark(self._at(link), link)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        self._links.close()

    async def copies_from(self, source: Element) -> bool:
        origin = unwrapped(source)
        return isinstance(origin, XrootdElement) and not (origin._links.token or self._links.token)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        origin = unwrapped(source)
        if not isinstance(origin, XrootdElement):
            raise Unsupported("the source is not on an XRootD server", pfn=source_pfn)
        if origin._links.token or self._links.token:
            raise Unsupported("the copy would show a token to the other server", pfn=source_pfn)
        checked(pfn)
        # Of both servers the same user is to ask for it: the one asks the other who that was.
        with origin._links.link(first=True) as there, self._links.link(first=True) as here:
            found = await origin._at(there).stat(source_pfn)
            async with self._staged(here, pfn, overwrite, fetched=True) as staged:
                path = origin._at(there).path(source_pfn)
                await third_party_copy((there, path), (here, staged.path), pfn)
                return await staged.show(found.size)

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        checked(target)
        with self._tree() as tree:
            await tree.stat(source)
            if source == target:
                return
            await tree.check_free(target, overwrite=overwrite)
            await tree.show(tree.path(source), target, replace=overwrite)
            await tree.prune(source)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        with self._tree() as tree:
            await tree.stat(pfn)
            if self._kinds is None:
                self._kinds = await tree.checksum_kinds()
            told = {}
            for name in map(kind, kinds):
                if _KINDS.get(name) in self._kinds and (value := await tree.checksum(pfn, _KINDS[name])):
                    with suppress(ValueError):  # it is none
                        told[name] = normalise(name, value)
            return told

    async def usage(self) -> SpaceUsage:
        with self._tree() as tree:
            return await tree.usage()

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        with self._tree() as tree:
            async for entry in tree.leftovers():
                yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        removed = 0
        now = time.time_ns() // 1000
        with self._links.link() as link:
            tree = self._at(link)
            async for entry in tree.leftovers():
                if now - (entry.mtime_us or now) >= older_than_us:
                    with suppress(ObjectNotFound):
                        await link.path("rm", tree.path(entry.pfn))
                        removed += 1
        return removed

    def _at(self, link: Link) -> Tree:
        return Tree(link, self._root, self._locks, marker=self._marker)

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        with self._links.link() as link:
            yield self._at(link)

    @asynccontextmanager
    async def _staged(
        self, link: Link, pfn: str, overwrite: bool, *, fetched: bool = False
    ) -> AsyncGenerator[Staged, None]:
        """A write that has started, and is discarded unless all goes well."""
        staged = Staged(self._at(link), link, pfn, overwrite=overwrite, fsync=self._fsync)
        try:
            await staged.start(fetched=fetched)
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
