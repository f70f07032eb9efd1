"""A cache of files on a node, shared by the jobs there: each file once, under its content's name, up to so many bytes.

A file's name is its strongest checksum (SHA-2), else its GUID, whose content never changes. What is given out was
compared with the catalogue's checksums just then. Files are read-only: jobs may have hard links to them. Locks are
those of the file system, and go with the dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..model import errors
from .get import get
from .local import hashed, open_regular, threaded

if TYPE_CHECKING:
    from ..model.file import Checksums
    from ..model.replica import Resolved
    from .get import Reading
    from .meter import Meter
    from .transfer import Transfers

_STRONG = ("sha512", "sha256")
_PATIENCE = 60.0  # seconds for another process to bring the next bytes, then it is not waited for
_ABANDONED = 86_400  # seconds after which a part of a file that nobody finished goes
_PAUSE = 0.3


class Cache:
    """The cache in `folder`, which is made. `limit` is in bytes."""

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        self.limit = limit
        self._folder = Path(folder)
        self._objects = self._folder / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)

    def place(self, file: Resolved, wanted: Checksums) -> Path | None:
        """Where a file is kept; None for one that is not: too large, or nothing to compare it by."""
        if not wanted or file.size is None or file.size > self.limit:
            return None
        key = next((f"{kind}-{file.checksums[kind]}" for kind in _STRONG if kind in file.checksums), None)
        key = key or (file.guid and f"guid-{file.guid}")
        return self._objects / key.rpartition("-")[2][-2:] / key if key else None

    async def bring(
        self, client: Transfers, lfn: str, how: Reading, file: Resolved, wanted: Checksums, meter: Meter, place: Path
    ) -> str | None:
        """Have the file at `place`, compared just now; the element that it came from, None when it was there.

        Of many processes one brings it, and the others wait as long as bytes come. Raises a CatalogError; Conflict when
        nothing came from the other for a minute: then do without the cache. Safe to repeat.
        """
        held, since = -1, time.monotonic()
        while True:
            if await self._good(place, file, wanted):
                meter.add(file.size or 0)
                return None
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                got = await get(client, lfn, str(place), how, file, meter)
            except errors.Conflict:  # another process brings it, or has just brought it
                size = _size(place.with_name(f"{place.name}.lading-part"))
                if size != held:
                    held, since = size, time.monotonic()
                elif time.monotonic() - since > _PATIENCE:
                    raise
                await asyncio.sleep(_PAUSE)
                continue
            os.chmod(place, 0o444)
            return got.se

    async def _good(self, place: Path, file: Resolved, wanted: Checksums) -> bool:
        """Is it there, with the right bytes? What is there with wrong ones goes."""
        try:
            fd, facts = open_regular(place)
        except OSError:
            return False
        try:
            if facts.st_size == file.size and await hashed(fd, wanted, facts.st_size) == wanted:
                with contextlib.suppress(OSError):  # another user's: then it counts as not used
                    os.utime(fd)
                return True
        finally:
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        return False

    async def trim(self, incoming: int = 0) -> int:
        """Take away what was not used for longest, until `incoming` bytes more have room; the bytes that went.

        Another process that is at it is left to it: 0 then. What jobs have links to stays theirs.
        """
        return await threaded(self._trim, incoming)

    def _trim(self, incoming: int) -> int:
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return self._take_away(max(self.limit - incoming, 0))
        finally:
            os.close(lock)

    def _take_away(self, room: int) -> int:
        found: list[tuple[float, int, Path]] = []
        for path in self._objects.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if ".lading-part" not in path.name:
                    found.append((facts.st_mtime, facts.st_size, path))
                elif time.time() - facts.st_mtime > _ABANDONED:
                    path.unlink()
        gone, total = 0, sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total - gone <= room:
                break
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                gone += size
        return gone


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
