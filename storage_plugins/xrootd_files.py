"""Files of an XRootD server that are read or written: several requests under way, in order."""

from __future__ import annotations

import asyncio
import ctypes
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from XRootD.client import File
from XRootD.client.flags import AccessMode, OpenFlags

from .base import ObjectInfo
from .errors import ObjectExists, StorageError, Transient
from .inflight import Requests
from .xrootd_errors import told
from .xrootd_links import Link
from .xrootd_listing import info_of
from .xrootd_tree import MARKER, STAGING, Tree

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .base import Chunk

BLOCK = 1 << 21  # bytes in one request
IN_FLIGHT = 8  # of them, per transfer: measured, half as many are half as fast
_MODE = AccessMode.UR | AccessMode.UW | AccessMode.GR | AccessMode.OR


class RemoteFile:
    """One file. `close` it whatever happens, also after an `open` that failed or was cancelled."""

    def __init__(self, link: Link, path: str, pfn: str) -> None:
        self._link = link
        self._path = path
        self._pfn = pfn
        self._file = File()
        # It would open a lost file again by itself, for as long as its timeouts allow.
        for recovery in ("ReadRecovery", "WriteRecovery"):
            done = self._file.set_property(recovery, "false")
            # The client (6.2.1) hands out True without a reference of its own: after some thousand files Python 3.11
            # would free True, and die. One too many, should that be mended, does no harm.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(done))
        self._asked: set[asyncio.Task[Any]] = set()

    async def open(self, flags: int) -> None:
        mode = _MODE if flags & OpenFlags.NEW else 0
        await self._ask(self._file.open, self._link.url(self._path), flags, mode)

    def size(self) -> int:
        """As the answer to `open` told: nobody is asked."""
        status, stat = self._file.stat(False)
        if not status.ok:
            raise told(status, self._pfn)
        return int(stat.size)

    async def stat(self) -> ObjectInfo:
        """As the server says now."""
        return info_of(await self._ask(self._file.stat, True))

    async def read(self, start: int, size: int) -> bytes:
        """Raises Transient for fewer bytes than `size`."""
        data = cast("bytes", await self._ask(self._file.read, start, size, here=True))
        if len(data) != size:
            raise Transient("the object became shorter while it was read", pfn=self._pfn)
        return data

    async def write(self, data: bytes, start: int) -> None:
        await self._ask(self._file.write, data, start, here=True)

    async def sync(self) -> None:
        await self._ask(self._file.sync, patient=True)

    async def _ask(self, start: Any, *arguments: Any, **more: Any) -> Any:
        """The request ends by itself, when nobody waits for it any more too: `close` has to wait for that."""
        task = asyncio.create_task(self._link.ask(start, *arguments, pfn=self._pfn, **more))
        self._asked.add(task)
        task.add_done_callback(self._answered)
        return await asyncio.shield(task)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # seen, though nobody may wait

    async def close(self) -> None:
        """Raises nothing when the file or its connection is gone. The client has no file closed while requests are
        under way."""
        if self._asked:
            await asyncio.wait(self._asked)
        if self._file.is_open():
            with suppress(StorageError):
                await self._link.ask(self._file.close)


async def mark(tree: Tree, link: Link) -> None:
    """Make the element's marker. Safe to repeat."""
    file = RemoteFile(link, tree.path(MARKER), MARKER)
    try:
        await file.open(OpenFlags.NEW)
        await file.write(b"A storage element of lading. Without this file it counts as not mounted.\n", 0)
    except ObjectExists:
        pass
    finally:
        await file.close()


async def blocks(file: RemoteFile, start: int, end: int) -> AsyncGenerator[bytes, None]:
    requests: Requests[bytes] = Requests(IN_FLIGHT)
    try:
        while start < end or requests:
            while start < end and len(requests) < requests.limit:
                requests.add(file.read(start, min(BLOCK, end - start)))
                start += BLOCK
            yield await requests.next()
    finally:
        await requests.cancel()


class Staged:
    """A write in two steps: a file in the staging folder, then one step that shows it. After an error, `discard`."""

    def __init__(self, tree: Tree, link: Link, pfn: str, *, overwrite: bool, fsync: bool) -> None:
        self.path = tree.path(STAGING, secrets.token_hex(16))
        self._tree = tree
        self._pfn = pfn
        self._overwrite = overwrite
        self._fsync = fsync
        self._file = RemoteFile(link, self.path, pfn)
        self._requests: Requests[None] = Requests(IN_FLIGHT)
        self._at = 0

    async def start(self, *, fetched: bool = False) -> None:
        """Raises ObjectExists when it is sure already. When the bytes are `fetched` by the server, it makes the
        file."""
        # The former although the file may be opened well: a server makes the folders of one, in a bare mount point too.
        await asyncio.gather(self._tree.check_present(), self._tree.check_free(self._pfn, overwrite=self._overwrite))
        if fetched:
            await self._tree.prepare()
        else:
            await self._tree.staging(lambda: self._file.open(OpenFlags.NEW))

    async def append(self, chunks: Sequence[Chunk]) -> None:
        """Send them; returns when little enough is under way. Raises NoSpace."""
        data = chunks[0] if len(chunks) == 1 and isinstance(chunks[0], bytes) else b"".join(chunks)
        for start in range(0, len(data), 2 * BLOCK):
            block = data[start : start + 2 * BLOCK]  # itself, nearly always
            while len(self._requests) >= self._requests.limit:
                await self._requests.next()
            self._requests.add(self._file.write(block, self._at))
            self._at += len(block)

    async def commit(self) -> ObjectInfo:
        """Show the object. Raises ObjectExists when another was first."""
        while self._requests:
            await self._requests.next()
        if self._fsync:
            await self._file.sync()
        info = await self._file.stat()
        if info.size != self._at:
            raise Transient(f"{self._at} bytes were sent and {info.size} have arrived", pfn=self._pfn)
        await self._file.close()
        await self._tree.show(self.path, self._pfn, replace=self._overwrite)
        return info

    async def show(self, size: int) -> ObjectInfo:
        """As `commit`, for what the server has fetched."""
        info = await self._tree.staged(self.path)
        if info.size != size:
            raise Transient(f"{size} bytes were to be copied and {info.size} have arrived", pfn=self._pfn)
        await self._tree.show(self.path, self._pfn, replace=self._overwrite)
        return info

    async def discard(self) -> None:
        """Forget it. With the server gone the file stays, for `clean_staging`."""
        await self._requests.cancel()
        await self._file.close()
        await self._tree.forget(self.path)
