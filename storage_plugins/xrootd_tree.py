"""A folder tree on an XRootD server. Errors are the contract's.

XRootD 5 tells a path below a file, and a folder that is not empty, by text alone: see `xrootd_errors.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from XRootD.client.flags import HostTypes, MkDirFlags, QueryCode, StatInfoFlags

from .base import RESERVED, ObjectInfo, ScanEntry
from .errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Transient, Unavailable, Unsupported
from .paths import components, shown
from .powers import SpaceUsage
from .xrootd_links import Link
from .xrootd_listing import LONGEST, Entry, info_of, listing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

MARKER = ".lading-element"
STAGING = ".lading-staging"
_ATTEMPTS = 20


def checked(pfn: str) -> str:
    """The PFN. Raises InvalidPath, also for the element's own files and for what the protocol takes for something
    else."""
    parts = components(pfn)
    if pfn.split("/", 1)[0] in (MARKER, STAGING):
        raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
    if any(len(part) > LONGEST for part in parts):
        raise InvalidPath(f"'{shown(pfn)}' has a component longer than {LONGEST}", pfn=pfn)
    if "?" in pfn or "\n" in pfn:
        raise InvalidPath(f"'{shown(pfn)}': XRootD takes no question mark and no line break in a name", pfn=pfn)
    try:
        pfn.encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"'{shown(pfn)}': XRootD's client takes names in UTF-8 alone", pfn=pfn) from None
    return pfn


class Tree:
    """The tree below `root`, by way of one connection."""

    def __init__(self, link: Link, root: str, locks: WeakValueDictionary[str, asyncio.Lock], *, marker: bool) -> None:
        self._link = link
        self._root = root
        self._locks = locks
        self._marker = marker

    def path(self, *parts: str) -> str:
        return "/".join((self._root, *parts)) or "/"

    async def check_present(self) -> None:
        """Raises Unavailable when the root, or its marker, is not there."""
        try:
            await self._link.path("stat", self.path(MARKER) if self._marker else self.path())
        except ObjectNotFound:
            what = f"no file {MARKER} in the element's root folder" if self._marker else "no root folder"
            raise Unavailable(f"there is {what}: is the disk mounted? If all is well, probe with prepare") from None

    async def missing(self, pfn: str) -> ObjectNotFound:
        """The error for an object that is not there. Raises Unavailable where nothing is."""
        await self.check_present()
        return ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn)

    async def prepare(self) -> None:
        """Make the root and the staging folder. Safe to repeat."""
        await self._make(self.path(STAGING))

    async def stat(self, pfn: str) -> ObjectInfo:
        """Raises ObjectNotFound for a folder, InvalidPath for what is no regular file."""
        try:
            stat = await self._link.path("stat", self.path(checked(pfn)), pfn=pfn)
        except ObjectNotFound:
            raise await self.missing(pfn) from None
        if stat.flags & StatInfoFlags.IS_DIR:
            raise ObjectNotFound(f"'{shown(pfn)}' is a folder, not an object", pfn=pfn)
        if stat.flags & StatInfoFlags.OTHER:
            raise InvalidPath(f"'{shown(pfn)}' is a device: only regular files are objects", pfn=pfn)
        return info_of(stat)

    async def check_free(self, pfn: str, *, overwrite: bool) -> None:
        """Raises ObjectExists when anything is there, or a folder that nothing can replace: InvalidPath."""
        with suppress(ObjectNotFound):
            stat = await self._link.path("stat", self.path(checked(pfn)), pfn=pfn)
            if not overwrite:
                raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)
            if stat.flags & StatInfoFlags.IS_DIR:
                raise InvalidPath(f"'{shown(pfn)}' is a folder", pfn=pfn)

    async def staging(self, opened: Callable[[], Awaitable[None]]) -> None:
        """Open something in the staging folder, which is made when it is not there."""
        try:
            await opened()
        except ObjectNotFound:
            await self._make(self.path(STAGING))
            await opened()

    async def staged(self, path: str) -> ObjectInfo:
        return info_of(await self._link.path("stat", path))

    async def show(self, source: str, pfn: str, *, replace: bool) -> None:
        """Move a file to its place, making folders on the way. Raises ObjectExists, InvalidPath for a name that cannot
        be had.

        XRootD's own rename replaces what is there. Within the process nobody comes between the look and the move. With
        `replace` the caller has looked whether there is a folder.
        """
        target = self.path(checked(pfn))
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            for attempt in range(_ATTEMPTS):
                if not replace:
                    await self.check_free(pfn, overwrite=False)
                try:
                    if attempt:
                        await self._make(target.rpartition("/")[0])
                    await self._link.path("mv", source, target, pfn=pfn)
                    return
                except ObjectNotFound:
                    # A folder is missing, or was removed as empty just now. Or the source is: this tells.
                    await self._link.path("stat", source, pfn=pfn)
                    above = pfn.rpartition("/")[0]
                    while above:
                        with suppress(ObjectNotFound):
                            if not (await self._link.path("stat", self.path(above))).flags & StatInfoFlags.IS_DIR:
                                raise InvalidPath(f"'{shown(above)}' on the way is no folder", pfn=pfn) from None
                            break
                        above = above.rpartition("/")[0]
        raise Transient("folders were removed as fast as they were made", pfn=pfn)

    async def _make(self, folder: str) -> None:
        """And those above it. What is there already is not an error."""
        with suppress(ObjectExists, ObjectNotFound):  # the latter was taken away again, or is an object: the move tells
            await self._link.ask(self._link.fs.mkdir, self._link.signed(folder), MkDirFlags.MAKEPATH, 0o755)

    async def remove(self, pfn: str) -> None:
        await self.stat(pfn)
        try:
            await self._link.path("rm", self.path(pfn), pfn=pfn)
        except ObjectNotFound:
            raise await self.missing(pfn) from None
        await self.prune(pfn)

    async def prune(self, pfn: str) -> None:
        """Remove empty folders upwards. A writer that comes between finds its folder gone, and makes it again."""
        with suppress(StorageError):
            while pfn := pfn.rpartition("/")[0]:
                await self._link.path("rmdir", self.path(pfn))

    async def forget(self, path: str) -> None:
        with suppress(StorageError):
            await self._link.path("rm", path)

    async def usage(self) -> SpaceUsage:
        answer = await self._link.ask(self._link.fs.query, QueryCode.SPACE, self._link.signed(self.path()))
        told = dict(pair.split("=", 1) for pair in _text(answer).split("&") if "=" in pair)
        total, free, used = (_number(told.get(f"oss.{name}")) for name in ("space", "free", "used"))
        return SpaceUsage(total, free, used)

    async def checksum(self, pfn: str, kind: str) -> str | None:
        """As the server computes it, None when it cannot."""
        path = self._link.signed(self.path(checked(pfn)))
        asked = f"{path}{'&' if '?' in path else '?'}cks.type={kind}"
        try:
            answer = await self._link.ask(self._link.fs.query, QueryCode.CHECKSUM, asked, pfn=pfn, patient=True)
        except ObjectNotFound:
            raise await self.missing(pfn) from None
        name, _, value = _text(answer).partition(" ")
        return value if name == kind else None

    async def checksum_kinds(self) -> set[str]:
        answer = await self._link.ask(self._link.fs.query, QueryCode.CONFIG, "chksum")
        return {name.rpartition(":")[2] for name in _text(answer).split(",")}

    async def objects(self, prefix: str) -> AsyncGenerator[ScanEntry, None]:
        """Regular files whose path begins with `prefix`, sorted. What is no file or folder is passed over; a folder
        that cannot be read is an error. One folder of each depth is in memory."""
        above, _, start = prefix.rpartition("/")
        if above:
            checked(above + "/x")
        await self.check_present()
        await self._check_alone()
        levels = [(above and above + "/", await self._listing(above, start.encode("utf-8", "surrogateescape")))]
        while levels:
            folder, entries = levels[-1]
            if not entries:
                levels.pop()
                continue
            entry = entries.pop()
            pfn = folder + entry.name.decode()
            if entry.name.endswith(b"/"):
                levels.append((pfn, await self._listing(pfn[:-1])))
                continue
            if entry.info:
                yield ScanEntry(pfn, entry.info.size, entry.info.mtime_us)

    async def _listing(self, folder: str, start: bytes = b"") -> list[Entry]:
        """What begins with `start`, the last first. Nothing when the folder is gone."""
        found: list[Entry] = []
        with suppress(ObjectNotFound):
            found = await listing(self._link, self.path(folder) if folder else self.path(), folder, start)
        if not folder:
            found = [entry for entry in found if not entry.name.startswith(RESERVED.encode())]
        found.sort(reverse=True)
        return found

    async def _check_alone(self) -> None:
        """Raises Unsupported for a redirector: it would pass the question to one of its servers, which knows a part."""
        about = await self._link.ask(self._link.fs.protocol)
        if not about.hostinfo & HostTypes.IS_SERVER:
            raise Unsupported("a redirector lists only one of its servers: scan those")

    async def leftovers(self) -> AsyncGenerator[ScanEntry, None]:
        """The files in the staging folder."""
        await self.check_present()
        for name, info in await self._listing(STAGING):
            if info:
                yield ScanEntry(f"{STAGING}/{name.decode()}", info.size, info.mtime_us)


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "replace").strip("\0\n ")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
