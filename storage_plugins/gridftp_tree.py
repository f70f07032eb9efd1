"""A folder tree on a GridFTP server, by way of one session. Errors are the contract's.

What is a symbolic link itself is no object, where the server tells of links (Globus does); those among the folders are
followed as the server does.
"""

from __future__ import annotations

import datetime
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from .base import RESERVED, ObjectInfo, ScanEntry
from .chunks import batches, chunked
from .errors import InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable, Unsupported
from .gridftp_replies import refused
from .paths import components, shown, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .gridftp_control import Control
    from .gridftp_transfers import Transfers

MARKER = ".lading-element"
STAGING = ".lading-staging"
_ATTEMPTS = 20


class Entry(Struct, frozen=True):
    """What MLST and MLSD tell (RFC 3659, section 7). `kind` is `file`, `dir` or something else."""

    name: str
    kind: str
    size: int
    mtime_us: int | None

    @property
    def folder(self) -> bool:
        return self.kind == "dir"


def entry_of(line: str) -> Entry:
    """Raises Transient for a line that is none."""
    told, blank, name = line.lstrip(" ").partition(" ")
    facts = {key.lower(): value for key, _, value in (fact.partition("=") for fact in told.split(";"))}
    kind = facts.get("type", "").lower()
    size = facts.get("size", "" if kind == "file" else "0")
    if not blank or not name or not kind or not (size.isascii() and size.isdigit()):
        raise Transient(f"the server's listing cannot be read: {shown(line)}")
    if "unix.slink" in facts:
        kind = "link"
    return Entry(name, kind, int(size), _moment_us(facts.get("modify", "")))


def split(pfn: str) -> list[str]:
    """The PFN's components. Raises InvalidPath, also for the element's own files."""
    parts = [text(part) for part in components(pfn)]
    if parts[0] in (MARKER, STAGING):
        raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
    return parts


def info_of(entry: Entry) -> ObjectInfo:
    return ObjectInfo(entry.size, entry.mtime_us)


class Tree:
    """The tree below `root`."""

    def __init__(self, control: Control, transfers: Transfers, root: str, *, marker: bool) -> None:
        self.control = control
        self._transfers = transfers
        self._root = root
        self._marker = marker

    def path(self, *parts: str) -> str:
        return "/".join((self._root, *parts)) or "/"

    def place(self, pfn: str) -> str:
        """The path of an object. Raises InvalidPath, also for what cannot be sent."""
        path = self.path(*split(pfn))
        self.control.command("", path, pfn)
        return path

    async def find(self, path: str, pfn: str | None = None) -> Entry | None:
        """What is at this path, None when nothing is."""
        reply = await self.control.ask(self.control.command("MLST", path, pfn))
        if reply.good:
            if len(reply.lines) < 2:
                raise Transient(f"the server's answer to MLST cannot be read: {shown(reply.text)}")
            return entry_of(reply.lines[1])
        error = refused(reply, "MLST", pfn)
        if isinstance(error, ObjectNotFound):
            return None
        raise error

    async def check_present(self) -> None:
        """Raises Unavailable when the root, or its marker, is not there."""
        if await self.find(self.path(MARKER) if self._marker else self.path()) is None:
            what = f"no file {MARKER} in the element's root folder" if self._marker else "no root folder"
            raise Unavailable(f"there is {what}: is the disk mounted? If all is well, probe with prepare")

    async def prepare(self) -> None:
        """Make the root, its marker and the staging folder. Safe to repeat."""
        if await self.find(self.path()) is None:
            await self._make(self._root, "")
        await self._mkdir(self.path(STAGING))
        if self._marker and await self.find(self.path(MARKER)) is None:
            about = b"A storage element of lading. Without this file it counts as not mounted.\n"
            await self._transfers.store(self.control, self.path(MARKER), batches(chunked(about)), size=len(about))

    async def make_staging(self) -> None:
        await self.check_present()
        await self._mkdir(self.path(STAGING))

    async def stat(self, pfn: str) -> Entry:
        """Raises ObjectNotFound for a folder, InvalidPath for what is no regular file."""
        entry = await self.find(self.place(pfn), pfn)
        if entry is None:
            await self.check_present()
            raise ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn)
        if entry.folder:
            raise ObjectNotFound(f"'{shown(pfn)}' is a folder, not an object", pfn=pfn)
        if entry.kind != "file":
            raise InvalidPath(f"'{shown(pfn)}' is a link or a device: only regular files are objects", pfn=pfn)
        return entry

    async def check_free(self, pfn: str, *, replace: bool) -> None:
        """Raises ObjectExists when something is there that may not be replaced, InvalidPath for a folder."""
        entry = await self.find(self.place(pfn), pfn)
        if entry and entry.folder and replace:
            raise InvalidPath(f"'{shown(pfn)}' is a folder", pfn=pfn)
        if entry and not replace:
            raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)

    async def show(self, source: str, pfn: str, *, replace: bool) -> None:
        """Move a file to its place, making folders on the way. Raises ObjectNotFound for the source, ObjectExists.

        The server's rename replaces what is there: between a look and the rename another process may be faster.
        """
        target = self.place(pfn)
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._make(target.rpartition("/")[0], self._root)
            await self.check_free(pfn, replace=replace)
            await self.control.do(self.control.command("RNFR", source), pfn)
            reply = await self.control.ask(self.control.command("RNTO", target))
            if reply.good:
                return
            error = refused(reply, "RNTO", pfn)
            if isinstance(error, ObjectExists) and replace:
                raise Unsupported("the server's rename replaces nothing", pfn=pfn)
            if not isinstance(error, ObjectNotFound):
                raise error
        raise Transient("folders were removed as fast as they were made", pfn=pfn)

    async def remove(self, pfn: str) -> None:
        await self.stat(pfn)
        await self.control.do(self.control.command("DELE", self.place(pfn)), pfn)

    async def objects(self, prefix: str) -> AsyncGenerator[ScanEntry, None]:
        """Regular files whose path begins with `prefix`, in the order of the disk. What is no file or folder is passed
        over; a folder that cannot be read is an error."""
        top = prefix.rpartition("/")[0]
        parts = [text(part) for part in components(top)] if top else []
        found = await self.find(self.path(*parts))
        await self.check_present()
        folders = [top] if found and found.folder else []
        while folders:
            folder = folders.pop()
            async with aclosing(self._children(folder)) as children:
                async for entry in children:
                    pfn = f"{folder}/{entry.name}" if folder else entry.name
                    if pfn.startswith(RESERVED):
                        continue
                    if entry.folder and (pfn.startswith(prefix) or folder != top):
                        folders.append(pfn)
                    elif entry.kind == "file" and pfn.startswith(prefix):
                        yield ScanEntry(pfn, entry.size, entry.mtime_us)

    async def leftovers(self) -> AsyncGenerator[ScanEntry, None]:
        """The files in the staging folder."""
        await self.check_present()
        if await self.find(self.path(STAGING)) is None:
            return
        async with aclosing(self._children(STAGING)) as children:
            async for entry in children:
                yield ScanEntry(f"{STAGING}/{entry.name}", entry.size, entry.mtime_us)

    async def _children(self, folder: str) -> AsyncGenerator[Entry, None]:
        """What is in a folder; nothing when it has just been removed."""
        path = self.path(*folder.split("/")) if folder else self.path()
        lines = self._transfers.lines(self.control, self.control.command("MLSD", path))
        try:
            async with aclosing(lines):
                async for line in lines:
                    entry = entry_of(text(line))
                    if entry.kind in ("cdir", "pdir"):
                        continue
                    if "/" in entry.name or entry.name in (".", ".."):
                        raise Transient(f"the listing of '{shown(folder)}' tells of something that is not in it")
                    yield entry
        except ObjectNotFound:
            await self.check_present()

    async def _make(self, path: str, above: str) -> None:
        """A folder, and those between `above` and it. Raises InvalidPath where something else has the name."""
        missing = []
        while len(path) > len(above) and not await self._mkdir(path):
            missing.append(path)
            path = path.rpartition("/")[0]
        for one in reversed(missing):
            await self._mkdir(one)

    async def _mkdir(self, path: str) -> bool:
        """Whether it is there now; False: the folder above is missing."""
        reply = await self.control.ask(self.control.command("MKD", path))
        if reply.good:
            return True
        entry = await self.find(path)
        if entry and not entry.folder:
            raise InvalidPath(f"'{shown(path.rpartition('/')[2])}' on the way is no folder")
        error = refused(reply, "MKD")
        if entry is None and not isinstance(error, ObjectNotFound):
            raise error
        return entry is not None


def _moment_us(told: str) -> int | None:
    """A time as RFC 3659 writes it, in UTC; None for what is none."""
    seconds, _, fraction = told.partition(".")
    with suppress(ValueError):
        moment = datetime.datetime.strptime(seconds, "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
        return int(moment.timestamp()) * 10**6 + int(f"{fraction:0<6.6}")
    return None
