"""Objects that are written in parts, over days and restarts: a file of the staging folder with each part at its place,
and beside it a list of those that are complete. Blocking.

The upload id is the file's name and the size of its parts. Whoever does not go on for a day is swept up with the rest.
What is shown was read back: a part may be written by two at once (one of them taken for dead), or lost in a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from typing import TYPE_CHECKING

from lading.model.checksum import differing, kind, normalise

from .base import ObjectInfo
from .chunks import mismatch
from .errors import InvalidPath, ObjectNotFound, Transient, Unsupported
from .posix_staging import write_all
from .posix_tree import STAGING, Tree, descriptor
from .posix_uploads import sums_of
from .powers import Part

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from .base import Chunk
    from .posix_staging import WriteOptions

_ID = re.compile(r"(parts-[0-9a-f]{32})\.([1-9][0-9]{0,17})")
_LIST = b".list"
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_LINE = re.compile(rb"([0-9]{1,6}) ([0-9]{1,18})\n")


def begin(tree: Tree, pfn: str, part_size: int, size: int | None, options: WriteOptions) -> str:
    """A new upload id. Raises NoSpace for what can't fit, Unsupported for a file system without locks."""
    tree.split(pfn)
    name = f"parts-{secrets.token_hex(16)}"
    with tree.root(certain=True) as root:
        tree.check_room(root, size, pfn)
        with descriptor(tree.folder(root, [STAGING], make=True)) as staging:
            for file in (name.encode(), name.encode() + _LIST):
                fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666, dir_fd=staging)
                with descriptor(fd):
                    if options.mode is not None:
                        os.fchmod(fd, options.mode)
                    try:
                        _lock(fd, fcntl.LOCK_EX)
                    except Unsupported:
                        os.unlink(file, dir_fd=staging)
                        raise
            tree.sync(staging)
    return f"{name}.{part_size}"


class PartFile:
    """One part on its way to its place in the file. `close` it, when no thread is at it any more."""

    def __init__(self, tree: Tree, upload: str, part: Part) -> None:
        """Opens nothing yet. Raises InvalidPath, ValueError for a part that is too large."""
        self._tree = tree
        self._part = part
        self._name, self._part_size = _parsed(upload)
        if part.size > self._part_size or part.number < 1:
            raise ValueError(f"parts of this upload have {self._part_size} bytes, from number 1")
        self._fd = -1

    def append(self, chunks: Sequence[Chunk]) -> None:
        """Raises ObjectNotFound (the upload is gone), Transient (the object is being shown)."""
        if self._fd < 0:
            with _staging(self._tree) as staging:
                self._fd = os.open(self._name, os.O_RDWR | _FLAGS, dir_fd=staging)
            _lock(self._fd, fcntl.LOCK_SH)  # nobody shows the object while it is held
            os.lseek(self._fd, (self._part.number - 1) * self._part_size, os.SEEK_SET)
        write_all(self._fd, chunks)

    def finish(self, options: WriteOptions) -> None:
        """It is complete, after one `append` at least."""
        if options.fsync:
            os.fdatasync(self._fd)
        flags = os.O_WRONLY | os.O_APPEND | _FLAGS
        with _staging(self._tree) as staging, descriptor(os.open(self._name + _LIST, flags, dir_fd=staging)) as fd:
            os.write(fd, f"{self._part.number} {self._part.size}\n".encode())

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def listed(tree: Tree, upload: str) -> list[Part]:
    """The complete parts, by number. Raises ObjectNotFound."""
    name, _ = _parsed(upload)
    with _staging(tree) as staging, open(os.open(name + _LIST, os.O_RDONLY | _FLAGS, dir_fd=staging), "rb") as file:
        lines = [_LINE.fullmatch(line) for line in file]  # half a line is of a write that a crash cut short
    found = {int(m[1]): Part(int(m[1]), int(m[2])) for m in lines if m}
    return [found[number] for number in sorted(found)]


def finish(
    tree: Tree,
    pfn: str,
    upload: str,
    parts: Sequence[Part],
    *,
    overwrite: bool,
    checksums: Mapping[str, str],
    options: WriteOptions,
) -> ObjectInfo:
    """Read it back, and show it. Raises ChecksumMismatch, ObjectExists; Transient for parts that are not all there, or
    that somebody still writes."""
    folders, last = tree.split(pfn)
    name, part_size = _parsed(upload)
    wanted = {kind(k): normalise(k, value) for k, value in checksums.items()}
    size = sum(part.size for part in parts)
    if [p.number for p in parts] != list(range(1, len(parts) + 1)) or any(p.size != part_size for p in parts[:-1]):
        raise Transient("there are parts missing", pfn=pfn)
    with tree.root(certain=True) as root, _staging(tree) as staging:
        with descriptor(os.open(name, os.O_RDWR | _FLAGS, dir_fd=staging)) as fd:
            _lock(fd, fcntl.LOCK_EX)
            if not overwrite:
                tree.check_free(root, folders, last, pfn)
            if os.fstat(fd).st_size < size:
                raise Transient("there are parts missing", pfn=pfn)
            os.ftruncate(fd, size)
            sums = sums_of(fd, wanted) if wanted else {}
            if differing(wanted, sums):
                raise mismatch(wanted, sums, pfn)
            if options.fsync:
                os.fsync(fd)
            tree.show(root, name, staging, folders, last, replace=overwrite)
            info = os.fstat(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name + _LIST, dir_fd=staging)
    return ObjectInfo(size, info.st_mtime_ns // 1000, sums)


def abort(tree: Tree, upload: str) -> None:
    """Take the parts away; none there is no error."""
    name, _ = _parsed(upload)
    with contextlib.suppress(ObjectNotFound), _staging(tree) as staging:
        for file in (name, name + _LIST):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file, dir_fd=staging)


def _parsed(upload: str) -> tuple[bytes, int]:
    match = _ID.fullmatch(upload)
    if match is None:
        raise InvalidPath("not an upload id")
    return match[1].encode(), int(match[2])


def _lock(fd: int, how: int) -> None:
    """Until it is closed, by whatever end of the process."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Transient("another writes to it now") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise Unsupported("the file system has no locks") from None


@contextlib.contextmanager
def _staging(tree: Tree) -> Generator[int, None, None]:
    try:
        with tree.root(certain=True) as root, descriptor(tree.folder(root, [STAGING])) as staging:
            yield staging
    except FileNotFoundError:
        raise ObjectNotFound("the upload is gone") from None
