"""Objects in a collection of an iRODS zone, through python-irodsclient.

A write goes to the collection `.lading-staging`; the server's checksum of what it has stored is compared with ours;
then the data object is moved to its place. An object that is replaced is moved aside first, for iRODS moves nothing
over something: other clients find nothing for that moment (two requests), while readers here get the old one, whole,
from where it is, also when the writer dies in between. A scan that comes by in that moment may miss it. Its metadata
and access rights go with it.

Sizes, checksums and times are those of a good replica; one that is stale counts as not there. No resource is named when
reading: the server would give its replica, stale or not. An object without any good replica is Transient to a reader,
and no object to a scan.

What our user may not see counts as not there, for iRODS tells the two not apart. Only when the root itself is out of
sight, that is Unavailable. Names with control characters are refused: most clients could list their collection no more.
Collections stay when they become empty. Free space is not told: iRODS does not know it.
"""

from __future__ import annotations

import asyncio
import copy
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from . import irods_metadata as metadata
from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import BATCH, CheckedChunks, batches
from .errors import InvalidPath, ObjectNotFound, StorageError, Transient, Unsupported
from .irods_reads import Reading, checksum
from .irods_show import move
from .irods_sums import KINDS
from .irods_tree import STAGING, Tree, begun
from .irods_uploads import Upload
from .irods_workers import Worker, Workers
from .paths import components
from .probing import probe_by_use

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping

    from .irods import IrodsOptions
    from .irods_catalog import Found

_QUESTIONS = 2  # sessions for what takes no longer than a question to the catalogue


class IrodsElement(Element):
    """See the module. Powers: ServerCopies (within one zone), Renames, Checksums, KeepsMetadata, KeepsStaging."""

    type = "irods"
    _versions: list[tuple[int, int, int]] | None = None  # the first that was read, for `of_one_version`

    def __init__(self, options: IrodsOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self.disabled_powers = frozenset(options.disabled_powers)
        self._options = options
        self._tree = Tree(options)
        # Three kinds, so that none waits for the other: a copy through us reads while it writes.
        self._questions = Workers(options, _QUESTIONS, "questions")
        self._readers = Workers(options, options.connections, "read")
        self._writers = Workers(options, options.connections, "write")
        self._cleaning: set[asyncio.Future[None]] = set()
        self._kinds: frozenset[str] = KINDS if options.server_checksums else frozenset()  # until one has been told

    async def stat(self, pfn: str) -> ObjectInfo:
        return (await self._questions.run(self._tree.find, pfn)).info()

    def of_one_version(self) -> IrodsElement:
        again = copy.copy(self)
        again._versions = []
        return again

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        piece = self._options.chunk_size
        async with self._readers.lease() as worker:
            reading = Reading(self._tree, pfn)
            try:
                found = await worker.submit(reading.open, start, stop)
                self._check_version(found, pfn)
                at, end = start, found.size if stop is None else min(stop, found.size)
                if at >= end:
                    return
                job = worker.submit(reading.next, min(piece, end - at))
                while True:
                    chunk = await job
                    at += len(chunk)
                    if at < end:  # read ahead while the consumer works
                        job = worker.submit(reading.next, min(piece, end - at))
                    yield chunk
                    if at >= end:
                        return
            finally:
                with suppress(StorageError):  # the element is closed
                    worker.submit(reading.close)

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        self._tree.path(pfn)
        checked = CheckedChunks(chunks, self._kinds, size=size, expected=checksums, pfn=pfn)
        if not overwrite and (size is None or size > BATCH):  # what is small is refused soon enough at its end
            await self._questions.run(self._tree.check_free, pfn)
        upload = self._upload(pfn, overwrite=overwrite)
        async with AsyncExitStack() as stack:
            worker: Worker | None = None
            job: asyncio.Future[None] | None = None
            try:
                async for batch in batches(checked, self._options.chunk_size):
                    # only now: whoever gives the chunks may need a session of this element first
                    if worker is None:
                        worker = await stack.enter_async_context(self._writers.lease())
                    if job:
                        await job
                    job = worker.submit(upload.append, batch)
                if worker is None:
                    worker = await stack.enter_async_context(self._writers.lease())
                if job:
                    await job
                found = await worker.submit(upload.commit, checked.size, checked.checksums)
            except BaseException as error:
                if worker:
                    await self._discard(worker, upload, error)
                raise
        self._learn(found)
        return ObjectInfo(found.size, None, checked.checksums)  # moving it may have changed its time

    async def remove(self, pfn: str) -> None:
        await self._questions.run(self._tree.remove, pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        above = prefix.rpartition("/")[0]
        await self._questions.run(self._tree.check_root)
        try:
            folder = f"{self._tree.root}/{above}" if above and components(above) else self._tree.root
            folder.encode()
        except (InvalidPath, UnicodeEncodeError):
            return  # nothing can have such a name
        lost = await self._questions.run(self._tree.lost)
        folders: list[list[str]] = [[folder]]  # for each level those that are to be looked into, of one page
        afters: list[tuple[str, str] | None] = [None]  # and where the next page of it begins
        while folders:
            if not folders[-1]:
                if (after := afters[-1]) is None:
                    folders.pop(), afters.pop()
                else:
                    folders[-1], afters[-1] = await self._folders(*after, prefix)
                continue
            folder = folders[-1].pop(0)
            name: str | None = None
            more = True
            while more:
                page, more = await self._questions.run(self._tree.objects, folder, name)
                for found in page:
                    pfn = found.path[len(self._tree.root) + 1 :]
                    if found.good and pfn.startswith(prefix) and not pfn.startswith(RESERVED):
                        lost.pop(pfn, None)
                        yield _entry(pfn, found)
                    name = found.name
            below, after = await self._folders(folder, "", prefix)
            folders.append(below)
            afters.append(after)
        for pfn in [pfn for pfn in lost if pfn.startswith(prefix)]:
            with suppress(ObjectNotFound):
                yield _entry(pfn, await self._questions.run(self._tree.find, pfn))

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                for collection in (self._tree.root, self._tree.staging):
                    await self._questions.run(self._tree.make, collection)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._cleaning:
            await asyncio.wait(self._cleaning)
        await asyncio.gather(self._questions.aclose(), self._readers.aclose(), self._writers.aclose())

    async def copies_from(self, source: Element) -> bool:
        there = unwrapped(source)
        return isinstance(there, IrodsElement) and _zone(there._options) == _zone(self._options)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        there = unwrapped(source)
        if not isinstance(there, IrodsElement) or not await self.copies_from(source):
            raise Unsupported("the source is in another zone", pfn=source_pfn)
        self._tree.path(pfn)
        found = await there._questions.run(there._tree.find, source_pfn)
        if not overwrite:
            await self._questions.run(self._tree.check_free, pfn)
        upload = self._upload(pfn, overwrite=overwrite)
        async with self._writers.lease() as worker:
            try:
                made = await worker.submit(upload.copy, found)
            except BaseException as error:
                await self._discard(worker, upload, error)
                if isinstance(error, ObjectNotFound):
                    raise Unsupported("the source is not for our user, or gone", pfn=source_pfn) from None
                raise
        return ObjectInfo(made.size, None, made.checksums)

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        await self._questions.run(move, self._tree, source, target, overwrite=overwrite)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        """One kind, that of the zone or of when the object came. ChecksumMismatch when the bytes are not those of the
        checksum that the zone keeps."""
        told = await self._readers.run(checksum, self._tree, pfn, self._options.long_timeout)
        return {kind: value for kind, value in told.items() if kind in kinds}

    async def get_metadata(self, pfn: str) -> dict[str, str]:
        """The attributes of the data object. Several values of one come as lines, in order; units are left out."""
        return await self._questions.run(metadata.get, self._tree, pfn)

    async def set_metadata(self, pfn: str, values: Mapping[str, str | None]) -> None:
        """All or nothing. Raises Unsupported for what iRODS cannot keep: nothing, more than 2,700 characters, control
        characters."""
        await self._questions.run(metadata.set, self._tree, pfn, values)

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        left = await self._questions.run(lambda session: list(self._tree.in_staging(session, "%")))
        for found in left:
            yield ScanEntry(f"{STAGING}/{found.name}", found.size, begun(found.name))

    async def clean_staging(self, older_than_us: int) -> int:
        """The age of a leftover is that of its write's beginning; what is still written to is in nobody's way."""
        return await self._questions.run(self._tree.clean, older_than_us)

    async def _folders(self, parent: str, after: str, prefix: str) -> tuple[list[str], tuple[str, str] | None]:
        below, more = await self._questions.run(self._tree.folders, parent, after or None)
        wanted = []
        for path in below:
            pfn = path[len(self._tree.root) + 1 :]
            if not pfn.startswith(RESERVED) and (f"{pfn}/".startswith(prefix) or prefix.startswith(f"{pfn}/")):
                wanted.append(path)
        return wanted, (parent, below[-1]) if more else None

    def _upload(self, pfn: str, *, overwrite: bool) -> Upload:
        return Upload(self._tree, pfn, overwrite=overwrite, long_timeout=self._options.long_timeout)

    async def _discard(self, worker: Worker, upload: Upload, error: BaseException) -> None:
        """Wait for it, but not when cancelled."""
        discarding = worker.submit(upload.discard)
        self._cleaning.add(discarding)
        discarding.add_done_callback(self._cleaning.discard)
        if isinstance(error, Exception):
            await asyncio.shield(discarding)

    def _learn(self, found: Found) -> None:
        """What the zone hashes with: nothing else is hashed from now on."""
        if found.checksums:
            self._kinds = self.told_checksums = frozenset(found.checksums)

    def _check_version(self, found: Found, pfn: str) -> None:
        if self._versions is not None:
            self._versions.append(found.version)
            if self._versions[0] != found.version:
                raise Transient("the object was replaced meanwhile", pfn=pfn)


def _entry(pfn: str, found: Found) -> ScanEntry:
    return ScanEntry(pfn, found.size, found.modified * 1_000_000)


def _zone(options: IrodsOptions) -> tuple[str, int, str]:
    return options.host.lower(), options.port, options.root.split("/")[1]
