"""Files of this machine: opened with care, hashed and copied without holding up the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from ..model.checksum import Digest
from ..model.errors import CatalogError
from ..model.lfn import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..model.file import Checksums
    from .meter import Meter

T = TypeVar("T")

STEP = 8 << 20  # bytes copied and hashed at a time: cancelling waits for no more
BUFFER = 1 << 20


class LocalError(CatalogError):
    """Something about a file on this machine: absent, not readable, no space, changed meanwhile."""

    code = "local_error"


@contextmanager
def told(path: object) -> Iterator[None]:
    """Turn an OSError into a LocalError that names `path`."""
    try:
        yield
    except OSError as error:
        raise LocalError(f"'{shown(str(path))}': {error.strerror or error}", path=shown(str(path))) from None


def open_regular(path: str | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """A descriptor to read `path` and its facts. Raises OSError; what is no plain file is refused, a FIFO without a
    wait."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is not a plain file")
    return fd, facts


def size(path: str) -> int | None:
    """Bytes of a plain file; None for `-` and for what is none (its put will say so)."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_size if path != "-" and stat.S_ISREG(facts.st_mode) else None


def same(before: os.stat_result, after: os.stat_result) -> bool:
    """False when a file was written to between two looks at it."""
    return (before.st_size, before.st_mtime_ns, before.st_ino) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ino,
    )


def path_of(url: str | None) -> str | None:
    """The local path of a `file://` URL of this host; None for any other."""
    parts = urlsplit(url or "")
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        return None
    path = unquote(parts.path)
    return path if path.startswith("/") and "\0" not in path else None


def feed(fd: int, digest: Digest, offset: int, count: int) -> int:
    """Hash `count` bytes of `fd` from `offset`; how many there were."""
    buffer = memoryview(bytearray(min(BUFFER, max(count, 1))))
    done = 0
    while done < count:
        got = os.preadv(fd, [buffer[: min(len(buffer), count - done)]], offset + done)
        if not got:
            break
        digest.update(buffer[:got])
        done += got
    return done


async def threaded(function: Callable[..., T], *args: object) -> T:
    """`function(*args)` in a thread. When cancelled it waits for the thread's end: nobody may close its files
    before."""
    work = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


async def hashed(fd: int, kinds: Iterable[str], size: int) -> Checksums:
    """The checksums of the first `size` bytes of `fd`."""
    digest = Digest(kinds)
    for offset in range(0, size, STEP):
        await threaded(feed, fd, digest, offset, min(STEP, size - offset))
    return digest.result()


async def copy(source: int, target: int, offset: int, size: int, digest: Digest, meter: Meter) -> None:
    """Bytes `offset` to `size` of `source` to the same place in `target`, hashed as they stand in `target`.

    While one step is hashed the next is copied, in another thread. Raises OSError, EIO when `source` is short.
    """
    hashing: asyncio.Task[int] | None = None
    try:
        for start in range(offset, size, STEP):
            end = min(start + STEP, size)
            await threaded(_copy_span, source, target, start, end)
            if hashing:
                await hashing
            hashing = asyncio.create_task(threaded(feed, target, digest, start, end - start))
            meter.add(end - start)
    finally:
        if hashing:
            await asyncio.wait([hashing])
    if hashing:
        hashing.result()


def _copy_span(source: int, target: int, start: int, end: int) -> None:
    first = start
    while start < end:
        try:
            done = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in (
                errno.EXDEV,
                errno.EINVAL,
                errno.EOPNOTSUPP,
                errno.ENOSYS,
                errno.EBADF,
                errno.EPERM,
            ):
                raise
            done = _copy_buffer(source, target, start, min(end - start, BUFFER))
        if not done:
            raise OSError(errno.EIO, "it became shorter while it was read")
        start += done
    begin_writeback(target, first, end - first)


def _copy_buffer(source: int, target: int, start: int, count: int) -> int:
    data = os.pread(source, count, start)
    return write_all(target, [data], start)


def write_all(fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
    """Write every byte of `buffers` at `offset`; how many they are."""
    views = [memoryview(b) for b in buffers if b]
    total = sum(map(len, views))
    done = 0
    while views:
        wrote = os.pwritev(fd, views[:1000], offset + done)
        done += wrote
        while views and wrote >= len(views[0]):
            wrote -= len(views.pop(0))
        if views and wrote:
            views[0] = views[0][wrote:]
    return total


def begin_writeback(fd: int, start: int, count: int) -> None:
    """Have the kernel write these bytes out while more are made: the sync at the end of 1 GiB then takes 0.01 s, not
    0.3.

    Pages on their way to the disk are not dropped by this advice, so whoever reads them back finds them in memory.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, start, count, os.POSIX_FADV_DONTNEED)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make a new or changed name in the folder `path` outlive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
