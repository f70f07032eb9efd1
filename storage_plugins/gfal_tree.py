"""A folder tree of a grid storage, by way of a process that has gfal2. Errors are the contract's."""

from __future__ import annotations

import asyncio
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from lading.model.checksum import normalise

from .base import RESERVED, ObjectInfo, ScanEntry
from .chunks import CheckedChunks, mismatch
from .errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Transient, Unavailable
from .paths import components, shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from weakref import WeakValueDictionary

    from .gfal_pool import Worker

MARKER = ".lading-element"
STAGING = ".lading-staging"
BLOCK = 1 << 21  # bytes of a read
KINDS = ("adler32", "md5")  # of checksums: crc32 is decimal with some of gfal2's plug-ins, hexadecimal with others
_ATTEMPTS = 20


class Entry(NamedTuple):
    name: str  # of a folder with a slash at its end
    info: ObjectInfo | None  # None for what is no regular file


def checked(pfn: str) -> str:
    """The PFN. Raises InvalidPath, also for the element's own files and what a URL or a line of GridFTP cannot
    carry."""
    components(pfn)
    if pfn.split("/", 1)[0] in (MARKER, STAGING):
        raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
    if "\n" in pfn or "\r" in pfn or " /" in pfn or pfn.endswith(" "):
        raise InvalidPath(
            f"'{shown(pfn)}': gfal2 lists no name right that has a line break or ends in a space", pfn=pfn
        )
    try:
        pfn.encode()
    except UnicodeEncodeError:
        raise InvalidPath(f"'{shown(pfn)}': gfal2's Python takes names in UTF-8 alone", pfn=pfn) from None
    return pfn


class Tree:
    """The tree below `root`, a URL without a slash at its end."""

    def __init__(
        self, worker: Worker, root: str, locks: WeakValueDictionary[str, asyncio.Lock], *, marker: bool
    ) -> None:
        self.worker = worker
        self._root = root
        self._locks = locks
        self._marker = marker

    def url(self, *parts: str) -> str:
        """gfal2 decodes those of GridFTP, and takes others as they are."""
        if self._root.startswith(("gsiftp:", "ftp:")):
            parts = tuple(map(quote, parts))
        return "/".join((self._root, *parts))

    async def check_present(self) -> None:
        """Raises Unavailable when the root, or its marker, is not there."""
        try:
            await self.worker.ask("stat", self.url(MARKER) if self._marker else self.url())
        except ObjectNotFound:
            what = f"no file {MARKER} in the element's root folder" if self._marker else "no root folder"
            raise Unavailable(f"there is {what}: is this the right place? If all is well, probe with prepare") from None

    async def missing(self, pfn: str) -> ObjectNotFound:
        """The error for an object that is not there. Raises Unavailable where nothing is."""
        await self.check_present()
        return ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn)

    async def prepare(self) -> None:
        """Make the root, the staging folder and the marker. Safe to repeat."""
        await self._make(self.url(STAGING))
        if self._marker:
            with suppress(ObjectNotFound):
                await self.worker.ask("stat", self.url(MARKER))
                return
            await self.worker.ask("open", self.url(MARKER), "w")
            await self.worker.write(b"A storage element of lading. Without this file it counts as away.\n", MARKER)
            await self.worker.ask("close")

    async def stat(self, pfn: str) -> ObjectInfo:
        """Raises ObjectNotFound for a folder, InvalidPath for what is no regular file."""
        checked(pfn)
        try:
            told = await self._stat(pfn)
        except (ObjectNotFound, InvalidPath):  # the latter: something on the way is no folder
            raise await self.missing(pfn) from None
        if stat.S_ISDIR(told[2]):
            raise ObjectNotFound(f"'{shown(pfn)}' is a folder, not an object", pfn=pfn)
        if not _regular(told[2]):
            raise InvalidPath(f"'{shown(pfn)}' is no regular file", pfn=pfn)
        return _info(told)

    async def _stat(self, pfn: str) -> list[int]:
        told: list[int] = await self.worker.ask("stat", self.url(checked(pfn)), pfn=pfn)
        return told

    async def check_free(self, pfn: str, *, overwrite: bool) -> None:
        """Raises ObjectExists when anything is there, or a folder that nothing can replace: InvalidPath."""
        with suppress(ObjectNotFound):
            told = await self._stat(pfn)
            if not overwrite:
                raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)
            if stat.S_ISDIR(told[2]):
                raise InvalidPath(f"'{shown(pfn)}' is a folder", pfn=pfn)

    async def create(self) -> str:
        """A new file in the staging folder, open for writing; its URL."""
        url = self.url(STAGING, secrets.token_hex(16))
        try:
            await self.worker.ask("open", url, "w")
        except ObjectNotFound:
            await self._make(self.url(STAGING))
            await self.worker.ask("open", url, "w")
        return url

    async def blocks(self, url: str, start: int, end: int, pfn: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file between the two. The next block is read while the last one is worked on."""
        if start >= end:
            return
        await self.worker.ask("open", url, "r", pfn=pfn)
        if start:
            await self.worker.ask("seek", start, pfn=pfn)
        reading: asyncio.Task[bytes] | None = None
        try:
            while start < end:
                block = await (reading or self.worker.read(min(BLOCK, end - start), pfn))
                if not block:
                    raise Transient("the object became shorter while it was read", pfn=pfn)
                start += len(block)
                reading = None
                if start < end:
                    reading = asyncio.create_task(self.worker.read(min(BLOCK, end - start), pfn))
                yield block
        finally:
            if reading:
                reading.cancel()  # the process is in the midst of it, and is not used again
                await asyncio.wait([reading])
        await self.worker.ask("close")

    async def staged(self, url: str) -> ObjectInfo:
        return _info(await self.worker.ask("stat", url))

    async def stored(self, url: str, sent: CheckedChunks, pfn: str) -> ObjectInfo:
        """What arrived of a write, compared: gfal2 has been seen to write blocks out of order. Raises Transient."""
        info = _info(await self.worker.ask("stat", url))
        expected = {"adler32": sent.checksums["adler32"]}
        if info.size != sent.size:
            raise Transient(f"{sent.size} bytes were sent and {info.size} have arrived", pfn=pfn)
        expected = {"adler32": sent.checksums["adler32"]}
        actual = await self.checksums(url, expected)
        if not actual:
            back = CheckedChunks(self.blocks(url, 0, info.size, pfn), expected)
            async for _ in back:
                pass
            actual = back.checksums
        if actual != expected:
            raise Transient(mismatch(expected, actual, pfn).message, pfn=pfn)
        return info

    async def checksums(self, url: str, kinds: Iterable[str]) -> dict[str, str]:
        """Those of KINDS that the storage computes."""
        found = {}
        for kind in KINDS:
            if kind in kinds and (value := await self.worker.ask("checksum", url, kind.upper(), patient=True)):
                found[kind] = normalise(kind, value)
        return found

    async def show(self, source: str, pfn: str, *, replace: bool) -> None:
        """Move a file to its place, making folders on the way. Raises ObjectExists, InvalidPath for a name that cannot
        be had.

        Most storages' rename replaces what is there: within the process nobody comes between the look and the move.
        SRM's refuses, and what is to be replaced is taken away first.
        """
        target = self.url(checked(pfn))
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            await self.check_free(pfn, overwrite=replace)
            for _ in range(_ATTEMPTS):
                try:
                    await self.worker.ask("rename", source, target, pfn=pfn)
                    return
                except ObjectExists:
                    if not replace:
                        raise
                    with suppress(ObjectNotFound):
                        await self.worker.ask("unlink", target, pfn=pfn)
                except ObjectNotFound:
                    # A folder is missing, or was removed as empty just now. Or the source is: this tells.
                    await self.worker.ask("stat", source, pfn=pfn)
                    await self._make(target.rpartition("/")[0], pfn)
        raise Transient("folders were removed as fast as they were made", pfn=pfn)

    async def _make(self, folder: str, pfn: str | None = None) -> None:
        """And those above it. What is there already is not an error, and what is removed meanwhile neither."""
        with suppress(ObjectExists, ObjectNotFound):
            await self.worker.ask("mkdir", folder, pfn=pfn)

    async def remove(self, pfn: str) -> None:
        await self.stat(pfn)
        try:
            await self.worker.ask("unlink", self.url(pfn), pfn=pfn)
        except ObjectNotFound:
            raise await self.missing(pfn) from None
        await self.prune(pfn)

    async def prune(self, pfn: str) -> None:
        """Remove empty folders upwards. A writer that comes between finds its folder gone, and makes it again."""
        with suppress(StorageError):
            while pfn := pfn.rpartition("/")[0]:
                await self.worker.ask("rmdir", self.url(pfn))

    async def forget(self, url: str) -> None:
        with suppress(StorageError):
            await self.worker.ask("unlink", url)

    async def objects(self, prefix: str) -> AsyncGenerator[ScanEntry, None]:
        """Regular files whose path begins with `prefix`, sorted. What is no file or folder is passed over; a folder
        that cannot be read is an error. One folder of each depth is in memory."""
        above, _, start = prefix.rpartition("/")
        if above:
            checked(above + "/x")
        await self.check_present()
        levels = [(above and above + "/", await self._listing(above, start))]
        while levels:
            folder, entries = levels[-1]
            if not entries:
                levels.pop()
                continue
            entry = entries.pop()
            pfn = folder + entry.name
            if entry.name.endswith("/"):
                levels.append((pfn, await self._listing(pfn[:-1])))
            elif entry.info:
                yield ScanEntry(pfn, entry.info.size, entry.info.mtime_us)

    async def leftovers(self) -> AsyncGenerator[ScanEntry, None]:
        """The files in the staging folder."""
        await self.check_present()
        for name, info in await self._listing(STAGING):
            if info:
                yield ScanEntry(f"{STAGING}/{name}", info.size, info.mtime_us)

    async def _listing(self, folder: str, start: str = "") -> list[Entry]:
        """What begins with `start`, the last first. Nothing when the folder is gone."""
        found: list[Entry] = []
        try:
            page: dict[str, Any] = await self.worker.ask("list", self.url(folder) if folder else self.url())
        except (ObjectNotFound, InvalidPath):  # the latter: it is no folder
            return found
        while True:
            found += [_entry(name, told) for name, told in page["entries"] if name.startswith(start)]
            if not page["more"]:
                break
            page = await self.worker.ask("more")
        if not folder:
            found = [entry for entry in found if not entry.name.startswith(RESERVED)]
        found.sort(key=lambda entry: entry.name.encode(), reverse=True)
        return found


def _entry(name: str, told: list[int]) -> Entry:
    if stat.S_ISDIR(told[2]):
        return Entry(name + "/", None)
    return Entry(name, _info(told) if _regular(told[2]) else None)


def _regular(mode: int) -> bool:
    return stat.S_ISREG(mode) or not stat.S_IFMT(mode)  # of which some storages tell the permissions alone


def _info(told: list[int]) -> ObjectInfo:
    return ObjectInfo(told[0], told[1] * 1_000_000)
