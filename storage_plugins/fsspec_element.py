"""Objects in anything that fsspec has a file system for. It promises what that file system can keep, and no more:

- Where files can be renamed (FTP, SFTP, SMB, HDFS, local, …) a write goes to `.lading-staging/` and is renamed into
  place: a reader never sees half an object. Whether an overwriting rename has a moment without the object is the
  storage's affair, and one that refuses to replace refuses it here too.
- Where they cannot (object stores, memory) the bytes are kept in a temporary file of this host until they are complete
  and checked, then stored in one call: as whole as that call is. Up to 16 MiB go in one piece.
- "Nothing is overwritten unasked" is a look before the rename. Two writers in this process cannot both pass it; a
  writer elsewhere can come between the two, and then the last one wins.
- Nothing is synced. Folders that become empty stay. Names that the protocol cannot carry are refused.
- A scan asks for a folder at a time and holds the answer, however long it is.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import fsspec  # type: ignore[import-untyped]  # fsspec has no type annotations

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span
from .chunks import CheckedChunks, batches
from .errors import InvalidOptions, PluginMissing, StorageError
from .fsspec_store import STAGING, Store, check_name, is_reserved, next_chunk
from .fsspec_uploads import Locks, Renamed, Upload, Whole, move
from .fsspec_workers import Workers
from .probing import probe_by_use
from .wrappers import ReadOnly

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

    from .fsspec import FsspecOptions


def open_element(options: FsspecOptions, *, name: str = "") -> Element:
    """The element that fits the file system. Raises InvalidOptions for an unknown one, PluginMissing for one that needs
    a library."""
    protocol = options.url.partition("::")[0].partition(":")[0]
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise PluginMissing(f"fsspec's {protocol}: {error}") from None
    except ValueError:
        raise InvalidOptions(f"fsspec knows no {protocol}: (option 'url')") from None
    renames = kind.mv is not fsspec.AbstractFileSystem.mv  # its own is a copy and a removal
    # All who open one object of fsspec's memory share one file, and its position.
    threads = 1 if protocol == "memory" else options.threads
    element = (RenamingElement if renames else FsspecElement)(options, threads, name=name)
    return ReadOnly(element) if options.read_only else element


class FsspecElement(Element):
    """See the module."""

    type = "fsspec"

    def __init__(self, options: FsspecOptions, threads: int, *, name: str) -> None:
        self.name = name
        self.max_connections = threads
        self._workers = Workers(options, threads)
        self._locks = Locks()

    async def stat(self, pfn: str) -> ObjectInfo:
        with self._workers.use() as worker:
            return await worker.run(pfn, Store.stat, pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        with self._workers.use() as worker:
            size = (await worker.run(pfn, Store.stat, pfn)).size
            end = size if stop is None else min(stop, size)
            if start >= end:
                return
            file = await worker.run(pfn, Store.open, pfn)
            try:
                job = worker.submit(pfn, next_chunk, file, start, end, pfn)
                while True:
                    chunk = await asyncio.wrap_future(job)
                    start += len(chunk)
                    if start < end:  # read ahead while the consumer works
                        job = worker.submit(pfn, next_chunk, file, start, end, pfn)
                    yield chunk
                    if start >= end:
                        return
            finally:
                worker.submit(None, _closed, file)

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        check_name(pfn)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        upload = self._upload(pfn, overwrite)
        with self._workers.use() as worker:
            try:
                await worker.run(pfn, upload.start)
                async for batch in batches(checked):
                    await worker.run(pfn, upload.append, batch)
                info = await worker.run(pfn, upload.commit)
            except BaseException as error:
                discarding = worker.submit(None, upload.discard)
                if isinstance(error, Exception):
                    await asyncio.wait([asyncio.wrap_future(discarding)])
                raise
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

    async def remove(self, pfn: str) -> None:
        with self._workers.use() as worker:
            await worker.run(pfn, Store.remove, pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        with self._workers.use() as worker:
            await worker.run(None, Store.check_present)
            folders = [prefix.rpartition("/")[0]]
            while folders:
                for pfn, entry in await worker.run(None, Store.list, folders.pop()):
                    if is_reserved(pfn):
                        continue
                    if entry is None and (f"{pfn}/".startswith(prefix) or prefix.startswith(f"{pfn}/")):
                        folders.append(pfn)
                    elif entry is not None and pfn.startswith(prefix):
                        yield entry

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                with self._workers.use() as worker:
                    await worker.run(None, Store.prepare)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        await self._workers.aclose()

    def _upload(self, pfn: str, overwrite: bool) -> Upload:
        return Whole(pfn, self._locks, overwrite=overwrite)


class RenamingElement(FsspecElement):
    """Powers: Renames, KeepsStaging. The age of a leftover is that of its write's beginning."""

    def _upload(self, pfn: str, overwrite: bool) -> Upload:
        return Renamed(pfn, self._locks, overwrite=overwrite)

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        check_name(target)

        def run(store: Store) -> None:
            store.stat(source)
            if source != target:
                move(store, store.path(source), target, self._locks, overwrite=overwrite)

        with self._workers.use() as worker:
            await worker.run(source, run)

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        with self._workers.use() as worker:
            await worker.run(None, Store.check_present)
            for pfn, entry in await worker.run(None, Store.list, STAGING):
                yield ScanEntry(pfn, entry.size if entry else 0, _begun(pfn))

    async def clean_staging(self, older_than_us: int) -> int:
        now = time.time_ns() // 1000
        old = [entry.pfn async for entry in self.scan_staging() if now - (entry.mtime_us or 0) >= older_than_us]
        with self._workers.use() as worker:
            for pfn in old:
                await worker.run(None, lambda store, pfn: store.fs.rm_file(store.path(pfn)), pfn)
        return len(old)


def _begun(pfn: str) -> int | None:
    began = pfn.rpartition("/")[2].partition("-")[0]
    return int(began) if began.isdigit() else None


def _closed(store: Store, file: Any) -> None:
    with suppress(Exception):
        file.close()
