"""Writes in two steps: a file in the staging folder, then one step that shows it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import asyncssh

from .base import ObjectInfo
from .errors import NoSpace, Transient
from .inflight import Requests
from .paths import shown
from .sftp_requests import closed, opened, sizes
from .sftp_tree import STAGING, Tree, info_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Chunk

_COPY_STEP = 1 << 26  # bytes: a server does nothing else for the connection while it copies


class Staged:
    """One object on its way. Errors are the contract's. After an error, `discard`."""

    def __init__(self, tree: Tree, pfn: str, *, overwrite: bool, fsync: bool) -> None:
        self._tree = tree
        self._pfn = pfn
        self._overwrite = overwrite
        self._fsync = fsync
        self._temporary = tree.path(STAGING, secrets.token_hex(16).encode())
        self._file: asyncssh.SFTPClientFile | None = None
        self._at = 0
        self.block, limit = sizes(tree.client.limits.max_write_len)
        self._requests: Requests[int] = Requests(limit)

    async def start(self) -> None:
        """Raises ObjectExists when it is sure already."""
        tree = self._tree
        async with tree.told(self._pfn):
            if not self._overwrite:
                await tree.check_free(self._pfn)
            try:
                self._file = await opened(tree.client, self._temporary, "xb")
            except asyncssh.SFTPNoSuchFile:
                await tree.check_present()
                with suppress(asyncssh.SFTPFailure):  # somebody else has just made it
                    await tree.client.mkdir(tree.path(STAGING))
                self._file = await opened(tree.client, self._temporary, "xb")

    async def append(self, chunks: Sequence[Chunk]) -> None:
        """Send them; returns when little enough is under way. Raises NoSpace."""
        assert self._file, "started"
        view = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        async with self._tree.told(self._pfn):
            for start in range(0, len(view), self.block):
                if len(self._requests) >= self._requests.limit:
                    await self._written()
                # asyncssh takes anything that has a buffer: one copy less
                block = cast("bytes", view[start : start + self.block])
                self._requests.add(self._file.write(block, self._at))
                self._at += len(block)

    async def copy(self, source: asyncssh.SFTPClientFile, size: int) -> None:
        """Take `size` bytes from another file of the same server. Raises Unsupported, NoSpace."""
        assert self._file, "started"
        async with self._tree.told(self._pfn):
            while self._at < size:
                step = min(_COPY_STEP, size - self._at)
                self._requests.add(self._copied(source, step))
                await self._written()
                self._at += step

    async def _copied(self, source: asyncssh.SFTPClientFile, step: int) -> int:
        assert self._file, "started"
        await self._tree.client.remote_copy(source, self._file, self._at, step, self._at)
        return step

    async def _written(self) -> None:
        try:
            await self._requests.next()
        except asyncssh.SFTPFailure:
            # SFTP 3 has no word for a full disk, a quota or a file that is too large: it is one of them, or the disk is
            # broken.
            raise NoSpace(f"the server cannot write: is it full? '{shown(self._pfn)}'", pfn=self._pfn) from None

    async def commit(self) -> ObjectInfo:
        """Show the object. Raises ObjectExists when another was first."""
        assert self._file, "started"
        async with self._tree.told(self._pfn):
            while self._requests:
                await self._written()
            if self._fsync:
                with suppress(asyncssh.SFTPOpUnsupported):
                    await self._file.fsync()
            info = info_of(await self._file.stat())
            if info.size != self._at:
                raise Transient(f"{self._at} bytes were sent and {info.size} have arrived", pfn=self._pfn)
            await self._file.close()
            await self._tree.show(self._temporary, self._pfn, replace=self._overwrite)
            return info

    async def discard(self) -> None:
        """Forget it. With the connection gone the file stays, for `clean_staging`."""
        await self._requests.cancel()
        if self._file:
            await closed(self._file)
        with suppress(asyncssh.Error, OSError):
            await self._tree.client.remove(self._temporary)
