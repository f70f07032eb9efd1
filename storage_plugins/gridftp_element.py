"""Objects as files below a folder of a GridFTP server (RFC 959, 2228, 3659; GFD.20, GFD.47).

A write goes to `.lading-staging/` and is renamed to its place when the server has it whole. The server's rename
replaces what is there, so whether something is there is asked right before. Of two writers in one process one wins;
between processes there is a moment between looking and renaming. Nothing is synced to disk, for FTP has no word for it.
Folders are made as needed and never removed.

The root holds a file `.lading-element`, made when the element is probed with `prepare`: where it is missing, the disk
is not mounted and everything raises Unavailable. Times are in whole seconds, by the server's clock. Names are UTF-8
without line breaks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from lading.model.checksum import kind, normalise

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span
from .chunks import BATCH, CheckedChunks, batches
from .errors import ObjectNotFound, StorageError, Transient, Unsupported
from .gridftp_blocks import Ordered
from .gridftp_replies import refused
from .gridftp_sessions import Sessions
from .gridftp_transfers import Transfers, drawn
from .gridftp_tree import STAGING, Tree, info_of
from .paths import shown
from .probing import probe_by_use

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Coroutine, Mapping
    from typing import Any

    from .gridftp import GridftpOptions

_BLOCK = 1 << 20  # bytes of a block that is sent
_ALLOCATED = 1 << 24  # bytes from which on the server is told beforehand how many will come
_PATIENCE = 5  # seconds to wait for cleaning up before an error is told
_SUMS = ("adler32", "md5", "sha1", "sha256", "sha512")  # what Globus knows
_SUMMED = 10 << 20  # bytes per second that a server at least reads and sums up


class GridftpElement(Element):
    """See the module. Powers: Renames, Checksums, KeepsStaging."""

    type = "gridftp"
    atomic_replace = True

    def __init__(self, options: GridftpOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self._options = options
        self._sessions = Sessions(options)
        self._transfers = Transfers(options)
        self._staging_made = False
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def stat(self, pfn: str) -> ObjectInfo:
        async with self._tree() as tree:
            return info_of(await tree.stat(pfn))

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        async with self._tree() as tree:
            size = (await tree.stat(pfn)).size
            end = size if stop is None else min(stop, size)
            if start >= end:
                return
            into = Ordered(start, end, self._options.timeout)
            path = tree.place(pfn)
            work = self._transfers.retrieve(tree.control, path, into, start=start, end=end, size=size)
            try:
                async with aclosing(drawn(into, work)) as pieces:
                    async for piece in pieces:
                        yield piece
            except ObjectNotFound:
                raise Transient("the object was removed while it was read", pfn=pfn) from None

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        async with self._tree() as tree:
            tree.place(pfn)
            if size is None or size > BATCH:  # what is small is refused soon enough at its end
                await tree.check_free(pfn, replace=overwrite)
            await self._allocate(tree, size, pfn)
            await self._prepare(tree)
        async with self._staged() as temporary, self._tree() as tree:
            try:
                async with aclosing(batches(checked, _BLOCK)) as blocks:
                    sent = await self._transfers.store(tree.control, temporary, blocks, size=size)
            except ObjectNotFound:
                await self._staging_lost(tree)
            info = await self._show(tree, temporary, pfn, sent, overwrite=overwrite)
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

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
            await asyncio.wait(self._tasks)
        await self._sessions.aclose()

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        async with self._tree() as tree:
            tree.place(target)
            await tree.stat(source)
            if source != target:
                async with self._turn(target):
                    await tree.show(tree.place(source), target, replace=overwrite)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        told = {}
        async with self._tree() as tree:
            size = (await tree.stat(pfn)).size
            for name in dict.fromkeys(map(kind, kinds)):
                if name in _SUMS and (value := await self._sum(tree, tree.place(pfn), name, size)):
                    told[name] = value
        return told

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with self._tree() as tree, aclosing(tree.leftovers()) as entries:
            async for entry in entries:
                yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        now = time.time_ns() // 1000
        old = [entry.pfn async for entry in self.scan_staging() if now - (entry.mtime_us or now) >= older_than_us]
        removed = 0
        async with self._tree() as tree:
            for pfn in old:
                with suppress(ObjectNotFound):  # another cleaner was faster
                    await tree.control.do(tree.control.command("DELE", tree.path(pfn)))
                    removed += 1
        return removed

    async def _sum(self, tree: Tree, path: str, name: str, size: int) -> str | None:
        """A checksum as the server computes it of the file at its `path`; None: it cannot."""
        if "CKSM" not in tree.control.features:
            return None
        patience = self._options.timeout + size / _SUMMED
        reply = await tree.control.ask(tree.control.command(f"CKSM {name.upper()} 0 -1", path), patience=patience)
        if reply.good:
            with suppress(ValueError):
                return normalise(name, reply.text.strip())
        elif not isinstance(error := refused(reply, "CKSM", None), Unsupported):
            raise error
        return None

    @asynccontextmanager
    async def _tree(self) -> AsyncGenerator[Tree, None]:
        async with self._sessions.control() as control:
            yield Tree(control, self._transfers, self._options.root, marker=self._options.marker)

    async def _prepare(self, tree: Tree) -> None:
        if not self._staging_made:
            await tree.make_staging()
            self._staging_made = True

    @asynccontextmanager
    async def _staged(self) -> AsyncGenerator[str, None]:
        """The path of a hidden file to be, taken away again when its use ends in an error."""
        temporary = self._temporary()
        try:
            yield temporary
        except BaseException as error:
            discarding = self._later(self._discard(temporary))
            if isinstance(error, Exception):
                await asyncio.wait({discarding}, timeout=_PATIENCE)
            raise

    def _temporary(self) -> str:
        return f"{self._options.root}/{STAGING}/{secrets.token_hex(16)}"

    async def _discard(self, temporary: str) -> None:
        await self._sessions.settled()  # else the server may yet make the file
        with suppress(StorageError):  # what stays behind is for clean_staging
            async with self._tree() as tree:
                await tree.control.ask(tree.control.command("DELE", temporary))

    async def _staging_lost(self, tree: Tree) -> None:
        self._staging_made = False
        await tree.check_present()
        raise Transient("the staging folder is gone")

    async def _allocate(self, tree: Tree, size: int | None, pfn: str) -> None:
        """Ask for the space. Raises NoSpace; a server that does not know the question is not an error."""
        if size is not None and size >= _ALLOCATED:
            reply = await tree.control.ask(f"ALLO {size}")
            if reply.code in (452, 552):
                raise refused(reply, "ALLO", pfn)

    async def _show(self, tree: Tree, temporary: str, pfn: str, size: int, *, overwrite: bool) -> ObjectInfo:
        """Move what is complete to its place. Raises Transient when the server has not `size` bytes of it."""
        staged = await tree.find(temporary)
        if staged is None or staged.size != size:
            has = "lost it" if staged is None else f"has {staged.size}"
            raise Transient(f"{size} bytes were sent and the server {has}: '{shown(pfn)}'", pfn=pfn)
        async with self._turn(pfn):
            await tree.show(temporary, pfn, replace=overwrite)
        return info_of(staged)

    @asynccontextmanager
    async def _turn(self, pfn: str) -> AsyncGenerator[None, None]:
        """One at a time shows something at `pfn`."""
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            yield

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Clean up without letting anybody wait for a server that may not answer any more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
