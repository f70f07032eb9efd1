"""Objects as files of a grid storage, by way of gfal2: for SRM and for dCache's doors, which nothing on PyPI speaks.

What lading speaks itself (GridFTP, XRootD, WebDAV) it does faster and with fewer processes: use those plug-ins where
they do. A write goes to `.lading-staging/`, its size and its adler32 are compared (the storage's own, or it is read
back), and a rename shows it. Of two writers of one name one wins within a server process; between processes as far as
the storage's rename refuses to replace. Over SRM, whose rename does, an overwritten object is away for a moment.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import CheckedChunks, batches
from .errors import Nearline, ObjectNotFound, StorageError, Transient, Unsupported
from .gfal_pool import Pool
from .gfal_tree import Tree, checked
from .powers import Locality, Stages, supports
from .probing import probe_by_use

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Coroutine, Mapping, Sequence

    from .gfal import GfalOptions
    from .gfal_pool import Worker

_PATIENCE = 5  # seconds to wait for cleaning up behind broken-off operations when the element is closed
_ON_TAPE = ("srm", "mock")  # that may have tape behind
_COPY = ("srm", "gsiftp", "file")  # of which one server fetches from another
_LOCALITY = {"NEARLINE": Locality.NEARLINE, "LOST": Locality.LOST}
_LATER = 60.0


class GfalElement(Element):
    """See the module. Powers: ServerCopies (between two such elements of one scheme and identity), Renames, Checksums,
    Stages (over SRM), KeepsStaging.
    """

    type = "gfal"
    sorted_scan = True

    def __init__(self, options: GfalOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self.atomic_replace = options.scheme != "srm"
        if options.scheme not in _ON_TAPE:
            self.disabled_powers = frozenset({"Stages"})
        self._options = options
        self._root = options.url.rstrip("/")
        self._pool = Pool(options)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._asked: dict[str, float] = {}  # until when what was asked for from tape is on its way, or stays
        self._tasks: set[asyncio.Task[None]] = set()

    async def stat(self, pfn: str) -> ObjectInfo:
        async with self._tree() as tree:
            return await tree.stat(pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        async with self._tree() as tree:
            info = await tree.stat(pfn)
            if supports(self, Stages) and (await self._where(tree, [pfn])).get(pfn) is Locality.NEARLINE:
                raise Nearline("it is on tape alone: have it staged", pfn=pfn, retry_after=_LATER)
            end = info.size if stop is None else min(stop, info.size)
            async with aclosing(tree.blocks(tree.url(pfn), start, end, pfn)) as blocks:
                async for block in blocks:
                    yield block

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
        sent = CheckedChunks(chunks, ["adler32"], size=size, expected=checksums, pfn=pfn)
        async with self._staged(pfn, overwrite) as (tree, url):
            async for batch in batches(sent):
                await tree.worker.write(b"".join(batch), pfn)
            await tree.worker.ask("close", pfn=pfn)
            info = await tree.stored(url, sent, pfn)
            await tree.show(url, pfn, replace=overwrite)
        told = {kind: value for kind, value in sent.checksums.items() if kind in map(str.lower, checksums)}
        return ObjectInfo(info.size, info.mtime_us, told)

    async def remove(self, pfn: str) -> None:
        async with self._tree() as tree:
            await tree.remove(pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        async with self._tree() as tree, aclosing(tree.objects(prefix)) as entries:
            async for entry in entries:
                yield entry

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                async with self._tree() as tree:
                    await tree.prepare()
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        await self._pool.aclose()

    async def copies_from(self, source: Element) -> bool:
        return self._origin(source) is not None

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        origin = self._origin(source)
        if origin is None:
            raise Unsupported("gfal2 is not asked to copy between these two", pfn=source_pfn)
        checked(pfn)
        async with self._staged(pfn, overwrite) as (tree, url):
            await tree.worker.ask("close")
            await tree.worker.ask("unlink", url)  # it was made to have its folder
            there = origin._at(tree.worker)
            size = (await there.stat(source_pfn)).size
            await tree.worker.ask("copy", there.url(source_pfn), url, self._options.streams, pfn=source_pfn)
            info = await tree.staged(url)
            if info.size != size:
                raise Transient(f"{size} bytes were to be copied and {info.size} have arrived", pfn=pfn)
            await tree.show(url, pfn, replace=overwrite)
        return info

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        async with self._tree() as tree:
            await tree.stat(source)
            if source != target:
                await tree.show(tree.url(source), target, replace=overwrite)
                await tree.prune(source)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        async with self._tree() as tree:
            await tree.stat(pfn)
            return await tree.checksums(tree.url(pfn), kinds)

    async def stage(self, pfns: Sequence[str], *, keep_seconds: int) -> str:
        async with self._tree() as tree:
            urls = [tree.url(checked(pfn)) for pfn in pfns]
            token: str = await tree.worker.ask("stage", urls, keep_seconds, keep_seconds)
        self._asked |= dict.fromkeys(pfns, time.monotonic() + keep_seconds)
        return token

    async def locality(self, pfns: Sequence[str]) -> dict[str, Locality]:
        async with self._tree() as tree:
            return await self._where(tree, pfns)

    async def release(self, pfns: Sequence[str], request: str) -> None:
        for pfn in pfns:
            self._asked.pop(pfn, None)
        async with self._tree() as tree:
            await tree.worker.ask("release", [tree.url(checked(pfn)) for pfn in pfns], request)

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with self._tree() as tree:
            async for entry in tree.leftovers():
                yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        removed = 0
        now = time.time_ns() // 1000
        async with self._tree() as tree:
            async for entry in tree.leftovers():
                if now - (entry.mtime_us or now) >= older_than_us:
                    with suppress(ObjectNotFound):
                        await tree.worker.ask("unlink", tree.url(entry.pfn))
                        removed += 1
        return removed

    def _at(self, worker: Worker) -> Tree:
        return Tree(worker, self._root, self._locks, marker=self._options.marker)

    def _origin(self, source: Element) -> GfalElement | None:
        """The source, when a storage of its kind fetches from it with our identity."""
        origin = unwrapped(source)
        if not isinstance(origin, GfalElement) or self._options.scheme not in _COPY:
            return None
        ours, theirs = self._options, origin._options
        same = (ours.scheme, ours.certificate, ours.key, ours.ca) == (
            theirs.scheme,
            theirs.certificate,
            theirs.key,
            theirs.ca,
        )
        return origin if same else None

    async def _where(self, tree: Tree, pfns: Sequence[str]) -> dict[str, Locality]:
        told = await tree.worker.ask("where", [tree.url(checked(pfn)) for pfn in pfns])
        now = time.monotonic()
        self._asked = {pfn: until for pfn, until in self._asked.items() if until > now}
        found = {}
        for pfn, status in zip(pfns, told, strict=True):
            if status is None:
                continue
            where = _LOCALITY.get(status, Locality.ONLINE)  # ONLINE, ONLINE_AND_NEARLINE, or it does not say
            found[pfn] = Locality.STAGING if where is Locality.NEARLINE and pfn in self._asked else where
        return found

    @asynccontextmanager
    async def _tree(self) -> AsyncGenerator[Tree, None]:
        async with self._pool.worker() as worker:
            yield self._at(worker)

    @asynccontextmanager
    async def _staged(self, pfn: str, overwrite: bool) -> AsyncGenerator[tuple[Tree, str], None]:
        """The tree, and a new file in its staging folder, open for writing. Unless all goes well it is taken away, by
        another process: this one may hang, or have it open. Raises ObjectExists when it is sure already."""
        url = ""
        try:
            async with self._tree() as tree:
                await tree.check_present()
                await tree.check_free(pfn, overwrite=overwrite)
                url = await tree.create()
                yield tree, url
        except BaseException as error:
            if url:
                discarding = self._later(self._discard(url))
                if isinstance(error, Exception):
                    await asyncio.wait([discarding], timeout=_PATIENCE)
            raise

    async def _discard(self, url: str) -> None:
        with suppress(StorageError):
            async with self._tree() as tree:
                await tree.forget(url)

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Clean up without letting anybody wait for a storage that may not answer any more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
