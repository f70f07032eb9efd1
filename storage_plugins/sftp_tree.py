"""A folder tree on an SFTP server. Errors are SFTP's own, which `Tree.told` makes ours, unless a method names others.

The server resolves paths: a symbolic link among the folders is followed as far as it lets its user go. What is a
symbolic link itself is no object.

SFTP 3 knows few errors: most are a bare "Failure". What it was is asked for afterwards.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR, FILEXFER_TYPE_UNKNOWN

from .base import RESERVED, ObjectInfo, ScanEntry
from .errors import InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable
from .paths import components, shown, text
from .powers import SpaceUsage
from .sftp_links import told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MARKER = b".lading-element"
STAGING = b".lading-staging"
_ATTEMPTS = 20
_MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


def split(pfn: str) -> list[bytes]:
    """The PFN's components. Raises InvalidPath, also for the element's own files."""
    parts = components(pfn)
    if parts[0] in (MARKER, STAGING):
        raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
    return parts


def info_of(attrs: asyncssh.SFTPAttrs) -> ObjectInfo:
    return ObjectInfo(attrs.size or 0, None if attrs.mtime is None else attrs.mtime * 10**6)


class Tree:
    """The tree below `root`, by way of one connection."""

    def __init__(self, client: asyncssh.SFTPClient, root: bytes, *, marker: bool) -> None:
        self.client = client
        self._root = root.rstrip(b"/")
        self._marker = marker

    def path(self, *parts: bytes) -> bytes:
        return b"/".join((self._root, *parts)) or b"/"

    @asynccontextmanager
    async def told(self, pfn: str | None) -> AsyncGenerator[None, None]:
        """Inside, SFTP's errors become the contract's. A missing file counts as missing only where the root is
        there."""
        try:
            yield
        except _MISSING:
            await self.check_present()
            raise ObjectNotFound("no such object" + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn) from None
        except (asyncssh.Error, OSError) as error:
            raise told(error, pfn) from error

    async def check_present(self) -> None:
        """Raises Unavailable when the root, or its marker, is not there."""
        try:
            await self.client.lstat(self.path(MARKER) if self._marker else self.path())
        except _MISSING:
            what = f"no file {MARKER.decode()} in the element's root folder" if self._marker else "no root folder"
            raise Unavailable(f"there is {what}: is the disk mounted? If all is well, probe with prepare") from None
        except (asyncssh.Error, OSError) as error:
            raise told(error, None) from error

    async def prepare(self) -> None:
        """Make the root, its marker and the staging folder. Safe to repeat."""
        await self.client.makedirs(self.path(), exist_ok=True)
        await self.client.makedirs(self.path(STAGING), exist_ok=True)
        if self._marker:
            with suppress(asyncssh.SFTPFailure):  # there already
                async with await self.client.open(self.path(MARKER), "xb") as file:
                    await file.write(b"A storage element of lading. Without this file it counts as not mounted.\n")

    async def stat(self, pfn: str) -> asyncssh.SFTPAttrs:
        """Raises ObjectNotFound for a folder, InvalidPath for what is no regular file."""
        attrs = await self.client.lstat(self.path(*split(pfn)))
        if attrs.type == FILEXFER_TYPE_DIRECTORY:
            raise ObjectNotFound(f"'{shown(pfn)}' is a folder, not an object", pfn=pfn)
        if attrs.type not in (FILEXFER_TYPE_REGULAR, FILEXFER_TYPE_UNKNOWN):
            raise InvalidPath(f"'{shown(pfn)}' is a link or a device: only regular files are objects", pfn=pfn)
        return attrs

    async def check_free(self, pfn: str) -> None:
        """Raises ObjectExists when anything at all is there."""
        with suppress(*_MISSING):
            await self.client.lstat(self.path(*split(pfn)))
            raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)

    async def show(self, source: bytes, pfn: str, *, replace: bool) -> None:
        """Move a file to its place, making folders on the way. Raises ObjectExists, InvalidPath for a name that cannot
        be had."""
        parts = split(pfn)
        target = self.path(*parts)
        for attempt in range(_ATTEMPTS):
            try:
                if attempt:
                    await self._make(parts[:-1])
                await (self._replace if replace else self._move)(source, target, pfn)
                return
            except _MISSING:
                # A folder is missing, or was removed as empty just now. Or the source is: this tells.
                await self.client.lstat(source)
        raise Transient("folders were removed as fast as they were made", pfn=pfn)

    async def _replace(self, source: bytes, target: bytes, pfn: str) -> None:
        try:
            await self.client.posix_rename(source, target)
        except asyncssh.SFTPFailure:
            if (await self.client.lstat(target)).type == FILEXFER_TYPE_DIRECTORY:
                raise InvalidPath(f"'{shown(pfn)}' is a folder", pfn=pfn) from None
            raise

    async def _move(self, source: bytes, target: bytes, pfn: str) -> None:
        """Never over something: of two who come at once, link(2) lets one pass."""
        try:
            await self.client.link(source, target)
        except (asyncssh.SFTPFailure, asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied):
            await self.check_free(pfn)
            # No links on that server or disk. Its own rename must not replace either, and may be less strict about it.
            try:
                await self.client.rename(source, target)
            except asyncssh.SFTPFailure:
                await self.check_free(pfn)
                raise
            return
        try:
            await self.client.remove(source)
        except _MISSING:  # somebody else has moved or removed the source meanwhile: it is not ours to show
            await self.client.remove(target)
            raise

    async def _make(self, folders: list[bytes]) -> None:
        """Make what is missing of these folders. Raises InvalidPath where something else has the name."""
        depth = len(folders)
        while depth:
            try:
                await self.client.mkdir(self.path(*folders[:depth]))
                break
            except _MISSING:
                depth -= 1
            except asyncssh.SFTPFailure:
                if (await self.client.stat(self.path(*folders[:depth]))).type != FILEXFER_TYPE_DIRECTORY:
                    raise InvalidPath(f"'{shown(text(folders[depth - 1]))}' on the way is no folder") from None
                break
        else:
            await self.check_present()
        for below in range(depth + 1, len(folders) + 1):
            with suppress(asyncssh.SFTPFailure):
                await self.client.mkdir(self.path(*folders[:below]))

    async def remove(self, pfn: str) -> None:
        await self.stat(pfn)
        parts = split(pfn)
        await self.client.remove(self.path(*parts))
        await self.prune(parts[:-1])

    async def prune(self, folders: list[bytes]) -> None:
        """Remove empty folders upwards. A writer that comes between finds its folder gone, and makes it again."""
        with suppress(asyncssh.Error, OSError):
            for depth in range(len(folders), 0, -1):
                await self.client.rmdir(self.path(*folders[:depth]))

    async def usage(self) -> SpaceUsage:
        try:
            space = await self.client.statvfs(self.path())
        except asyncssh.SFTPOpUnsupported:
            return SpaceUsage()
        unit = space.frsize
        return SpaceUsage(space.blocks * unit, space.bavail * unit, (space.blocks - space.bfree) * unit)

    async def objects(self, prefix: str) -> AsyncGenerator[ScanEntry, None]:
        """Regular files whose path begins with `prefix`, in the order of the disk. What is no file or folder is passed
        over; a folder that cannot be read is an error."""
        above, _, start = prefix.rpartition("/")
        wanted = start.encode("utf-8", "surrogateescape")
        await self.check_present()
        parts = components(above) if above else []
        top = len(parts)
        levels = [(parts, self._listing(parts))]
        try:
            while levels:
                parts, entries = levels[-1]
                try:
                    entry = await anext(entries, None)
                except _MISSING:  # removed since it was listed
                    entry = None
                if entry is None:
                    levels.pop()
                    continue
                name = cast("bytes", entry.filename)
                if name in (b".", b"..") or (not parts and name.startswith(RESERVED.encode())):
                    continue
                if len(parts) == top and not name.startswith(wanted):
                    continue
                if entry.attrs.type == FILEXFER_TYPE_DIRECTORY:
                    levels.append(([*parts, name], self._listing([*parts, name])))
                elif entry.attrs.type in (FILEXFER_TYPE_REGULAR, FILEXFER_TYPE_UNKNOWN):
                    info = info_of(entry.attrs)
                    yield ScanEntry(text(b"/".join((*parts, name))), info.size, info.mtime_us)
        finally:
            for _, entries in levels:
                await entries.aclose()

    def _listing(self, folder: list[bytes]) -> AsyncGenerator[asyncssh.SFTPName, None]:
        # more than asyncssh's annotation says: it has to be closed, or the server keeps a handle
        return cast("AsyncGenerator[asyncssh.SFTPName, None]", self.client.scandir(self.path(*folder)))

    async def leftovers(self) -> AsyncGenerator[ScanEntry, None]:
        """The files in the staging folder."""
        await self.check_present()
        with suppress(*_MISSING):
            for entry in await self.client.readdir(self.path(STAGING)):
                name = cast("bytes", entry.filename)
                if name not in (b".", b".."):
                    info = info_of(entry.attrs)
                    yield ScanEntry(text(STAGING + b"/" + name), info.size, info.mtime_us)
