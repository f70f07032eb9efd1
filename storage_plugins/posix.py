"""Objects as files below a folder: a local disk, NFS, a mounted parallel file system.

All system calls run on threads of the element's own. A write goes to `.lading-staging/` and is renamed into place,
after fsync. The root holds a file `.lading-element`, made when the element is probed with `prepare`: where it is
missing, the disk is not mounted and everything raises Unavailable. Removing an object removes the folders it leaves
empty.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, BinaryIO, ParamSpec, TypeVar
from urllib.parse import quote

from msgspec import Meta

from lading.model.checksum import Digest

from . import posix_parts, posix_uploads
from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span
from .chunks import BATCH, CheckedChunks, batches
from .errors import StorageError, Transient, Unavailable, Unsupported
from .options import CommonOptions
from .posix_lanes import Lanes
from .posix_scan import leftovers, objects
from .posix_source import Source
from .posix_staging import Staged, WriteOptions
from .posix_tree import Tree, told
from .powers import LocalFiles, Part, SpaceUsage, supports
from .probing import probe_by_use
from .registry import Plugin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Generator, Mapping, Sequence

P = ParamSpec("P")
T = TypeVar("T")
_Octal = Annotated[str, Meta(pattern="^[0-7]{3,4}$")]
_ENTRIES = 512  # of a scan, per trip to a thread
_SMALL = 1 << 17  # bytes of an object that are written sooner than a thread is woken


class PosixOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(description="the root folder, absolute", pattern="^/")]
    mode: Annotated[_Octal | None, Meta(description="of new files, octal; the umask decides without it")] = None
    dir_mode: Annotated[_Octal | None, Meta(description="of new folders, octal; the umask decides without it")] = None
    fsync: Annotated[bool, Meta(description="survive a power cut: sync every file and its folder")] = True
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice an unmounted disk")
    ] = True
    prune: Annotated[bool, Meta(description="remove folders that become empty")] = True
    direct: Annotated[
        bool, Meta(description="tell clients where files are: those that see this folder too read and write themselves")
    ] = True
    threads: Annotated[int, Meta(description="system calls at once", ge=1, le=256)] = 16


class PosixElement(Element):
    """See the module. Powers: ServerCopies (from any element with LocalFiles), Renames, Checksums, ReportsUsage,
    LocalFiles, LocalUploads (with the option `direct`), WritesParts, KeepsStaging.
    """

    type = "posix"
    atomic_replace = True
    min_part_size = 1
    max_parts = 100_000

    def __init__(self, options: PosixOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.threads
        self._prune = options.prune
        self.url_base = f"file://{quote(options.path.rstrip('/'))}/" if options.direct else None
        self._write_options = WriteOptions(_octal(options.mode), options.fsync)
        self._tree = Tree(options.path, marker=options.marker, dir_mode=_octal(options.dir_mode), fsync=options.fsync)
        self._pool = ThreadPoolExecutor(options.threads, f"posix-{name}")
        self._lanes = Lanes(self._pool, options.threads)

    async def stat(self, pfn: str) -> ObjectInfo:
        info = await self._short(pfn, self._tree.stat, pfn)
        return ObjectInfo(info.st_size, info.st_mtime_ns // 1000)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        source = Source(self._tree, pfn, start, stop)
        job = self._submit(pfn, source.next)
        try:
            while chunk := await asyncio.wrap_future(job):
                if source.at_end:
                    yield chunk
                    return
                job = self._submit(pfn, source.next)  # read ahead while the consumer works
                yield chunk
        finally:
            job.add_done_callback(lambda _: source.close())

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        staged = Staged(self._tree, pfn, size=size, overwrite=overwrite, options=self._write_options)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        job: Future[None] | None = None
        held: list[Chunk] = []
        more = 0
        try:
            async for chunk in checked:
                held.append(chunk)
                more += len(chunk)
                if more >= BATCH:
                    if job:
                        await asyncio.wrap_future(job)
                    job = self._submit(pfn, staged.append, held)
                    held, more = [], 0
            if job:
                await asyncio.wrap_future(job)
            small = job is None and more <= _SMALL
            info = await (self._short if small else self._run)(pfn, staged.commit, held)
        except BaseException as error:
            await self._discard(error, staged.discard)
            raise
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

    async def remove(self, pfn: str) -> None:
        await self._run(pfn, self._tree.remove, pfn, prune=self._prune)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        async for entry in self._entries(objects(self._tree, prefix)):
            yield entry

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                await self._run(None, self._tree.prepare)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    async def copies_from(self, source: Element) -> bool:
        return supports(source, LocalFiles)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        if not supports(source, LocalFiles):
            raise Unsupported("the source's objects are no files of this host", pfn=source_pfn)
        file = await source.open_local(source_pfn)
        size = os.fstat(file.fileno()).st_size
        staged = Staged(self._tree, pfn, size=size, overwrite=overwrite, options=self._write_options)
        run = self._short if size <= _SMALL else self._run

        def forget() -> None:  # in this order: a thread may be copying still
            staged.discard()
            file.close()

        try:
            offset = 0
            while offset < size:
                copied = await run(pfn, staged.copy, file.fileno(), offset, size - offset)
                if not copied:
                    raise Transient("the source became shorter while it was copied", pfn=source_pfn)
                offset += copied
            info = await run(pfn, staged.commit)
        except BaseException as error:
            await self._discard(error, forget)
            raise
        file.close()
        return info

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        await self._run(source, self._tree.rename, source, target, replace=overwrite, prune=self._prune)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        digest = Digest(kinds)
        if await self._short(pfn, Source(self._tree, pfn).hash_small, digest, _SMALL):
            return digest.result()
        source = Source(self._tree, pfn)
        buffer = bytearray(BATCH)
        job = self._submit(pfn, source.hash_some, digest, buffer)
        try:
            while await asyncio.wrap_future(job):
                job = self._submit(pfn, source.hash_some, digest, buffer)
        finally:
            job.add_done_callback(lambda _: source.close())
        return digest.result()

    async def start_parts(self, pfn: str, *, part_size: int, size: int | None = None) -> str:
        return await self._run(pfn, posix_parts.begin, self._tree, pfn, part_size, size, self._write_options)

    async def write_part(self, pfn: str, upload: str, number: int, chunks: AsyncIterable[Chunk], *, size: int) -> Part:
        part = Part(number, size)
        file = posix_parts.PartFile(self._tree, upload, part)
        job = self._submit(pfn, file.append, ())
        try:
            await asyncio.wrap_future(job)  # held, so that nobody finishes the upload meanwhile, or it is gone
            async for batch in batches(CheckedChunks(chunks, size=size, pfn=pfn)):
                await asyncio.wrap_future(job)
                job = self._submit(pfn, file.append, batch)
            await asyncio.wrap_future(job)
            await self._run(pfn, file.finish, self._write_options)
        finally:
            job.add_done_callback(lambda _: file.close())  # a thread may be at it still
        return part

    async def parts(self, pfn: str, upload: str) -> list[Part]:
        return await self._run(pfn, posix_parts.listed, self._tree, upload)

    async def finish_parts(
        self,
        pfn: str,
        upload: str,
        parts: Sequence[Part],
        *,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        finish = partial(posix_parts.finish, overwrite=overwrite, checksums=checksums, options=self._write_options)
        return await self._run(pfn, lambda: finish(self._tree, pfn, upload, parts))

    async def abort_parts(self, pfn: str, upload: str) -> None:
        await self._run(pfn, posix_parts.abort, self._tree, upload)

    async def usage(self) -> SpaceUsage:
        return await self._run(None, self._tree.usage)

    async def local_path(self, pfn: str) -> str:
        return await self._run(pfn, self._tree.local_path, pfn)

    async def open_local(self, pfn: str) -> BinaryIO:
        return await self._short(pfn, lambda: os.fdopen(self._tree.open(pfn)[0], "rb", buffering=0))

    async def local_upload(self, upload: str) -> str | None:
        if self.url_base is None:
            return None
        return self.url_base + await self._run(None, posix_uploads.begin, self._tree, upload)

    async def finish_local_upload(
        self,
        upload: str,
        pfn: str,
        *,
        size: int | None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
        kinds: Collection[str] = (),
    ) -> ObjectInfo:
        finish = partial(posix_uploads.finish, size=size, overwrite=overwrite, checksums=checksums, kinds=kinds)
        return await self._run(pfn, lambda: finish(self._tree, upload, pfn, options=self._write_options))

    async def abort_local_upload(self, upload: str) -> None:
        await self._run(None, posix_uploads.abort, self._tree, upload)

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async for entry in self._entries(leftovers(self._tree)):
            yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        return await self._run(None, lambda: sum(1 for _ in leftovers(self._tree, older_than_us)))

    async def _entries(self, found: Generator[ScanEntry, None, None]) -> AsyncGenerator[ScanEntry, None]:
        job = self._submit(None, list, islice(found, _ENTRIES))
        try:
            while batch := await asyncio.wrap_future(job):
                for entry in batch:
                    yield entry
                job = self._submit(None, list, islice(found, _ENTRIES))
        finally:
            job.add_done_callback(lambda _: found.close())

    async def _run(self, pfn: str | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._submit(pfn, function, *args, **kwargs))

    async def _short(self, pfn: str | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`_run` for what takes no longer than the trip to a thread."""
        try:
            return await self._lanes.submit(partial(function, *args, **kwargs))
        except OSError as error:
            raise told(error, pfn) from error

    def _submit(self, pfn: str | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def guarded() -> T:
            try:
                return function(*args, **kwargs)
            except OSError as error:
                raise told(error, pfn) from error

        try:
            return self._pool.submit(guarded)
        except RuntimeError:
            raise Unavailable("the element is closed", pfn=pfn) from None

    async def _discard(self, error: BaseException, forget: Callable[[], None]) -> None:
        """Clean up behind a failed write: at once, or when its thread is done with the file if nobody waits any
        more."""
        try:
            job = self._submit(None, forget)
        except Unavailable:
            forget()
            return
        if not isinstance(error, asyncio.CancelledError):
            await asyncio.wrap_future(job)


def _octal(mode: str | None) -> int | None:
    return None if mode is None else int(mode, 8)


PLUGIN = Plugin(
    name="posix",
    summary="files below a folder of the server: a local disk, NFS, a mounted file system",
    config=PosixOptions,
    factory="storage_plugins.posix:PosixElement",
)
