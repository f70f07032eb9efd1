"""Objects that are written in parts, over days and restarts: a file of the staging folder with each part at its place,
and beside it a list of those that are complete. Blocking.

The upload id is the file's name and the size of its parts. Whoever does not go on for a day is swept up with the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING

from lading.model.checksum import adler32_of_parts, differing, kind, normalise

from .base import ObjectInfo
from .chunks import mismatch
from .errors import InvalidPath, NoSpace, ObjectExists, ObjectNotFound, Transient
from .paths import shown
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
_LINE = re.compile(rb"([0-9]{1,6}) ([0-9]{1,18}) ([0-9a-f]{8})\n")
_IOV_MAX = 1024


def begin(tree: Tree, pfn: str, part_size: int, size: int | None, options: WriteOptions) -> str:
    """A new upload id. Raises NoSpace for what can't fit."""
    tree.split(pfn)
    name = f"parts-{secrets.token_hex(16)}"
    with tree.root(certain=True) as root:
        space = os.fstatvfs(root)
        if size is not None and size > space.f_bavail * space.f_frsize:
            raise NoSpace(f"{size} bytes do not fit", pfn=pfn)
        with descriptor(tree.folder(root, [STAGING], make=True)) as staging:
            for file in (name.encode(), name.encode() + _LIST):
                fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666, dir_fd=staging)
                with descriptor(fd):
                    if options.mode is not None:
                        os.fchmod(fd, options.mode)
            tree.sync(staging)
    return f"{name}.{part_size}"


class PartFile:
    """One part on its way to its place in the file."""

    def __init__(self, tree: Tree, upload: str, number: int, size: int) -> None:
        """Raises InvalidPath, ObjectNotFound (the upload is gone), ValueError for a part that is too large."""
        self._tree = tree
        self._name, part_size = _parsed(upload)
        if size > part_size or number < 1:
            raise ValueError(f"parts of this upload have {part_size} bytes, from number 1")
        self._at = (number - 1) * part_size
        with _staging(tree) as staging:
            self._fd = os.open(self._name, os.O_WRONLY | _FLAGS, dir_fd=staging)

    def append(self, chunks: Sequence[Chunk]) -> None:
        views = [memoryview(chunk) for chunk in chunks]
        while views:
            written = os.pwritev(self._fd, views[:_IOV_MAX], self._at)
            self._at += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if views:
                views[0] = views[0][written:]

    def finish(self, part: Part, options: WriteOptions) -> None:
        """It is complete, and stays so over a power cut."""
        if options.fsync:
            os.fdatasync(self._fd)
        flags = os.O_WRONLY | os.O_APPEND | _FLAGS
        with (
            _staging(self._tree) as staging,
            descriptor(os.open(self._name + _LIST, flags, dir_fd=staging)) as fd,
        ):
            os.write(fd, f"{part.number} {part.size} {part.tag}\n".encode())
            if options.fsync:
                os.fdatasync(fd)

    def close(self) -> None:
        os.close(self._fd)


def listed(tree: Tree, upload: str) -> list[Part]:
    """The complete parts, by number. Raises ObjectNotFound."""
    name, _ = _parsed(upload)
    with _staging(tree) as staging, open(os.open(name + _LIST, os.O_RDONLY | _FLAGS, dir_fd=staging), "rb") as file:
        lines = [_LINE.fullmatch(line) for line in file]
    # The last word counts; half a line is of a write that a crash cut short.
    found = {int(m[1]): Part(int(m[1]), int(m[2]), m[3].decode()) for m in lines if m}
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
    """Show the object. Raises ChecksumMismatch, ObjectExists; Transient for parts that are not all there."""
    folders, last = tree.split(pfn)
    name, part_size = _parsed(upload)
    wanted = {kind(k): normalise(k, value) for k, value in checksums.items()}
    size = sum(part.size for part in parts)
    if [p.number for p in parts] != list(range(1, len(parts) + 1)) or any(p.size != part_size for p in parts[:-1]):
        raise Transient("there are parts missing", pfn=pfn)
    with tree.root(certain=True) as root, _staging(tree) as staging:
        with descriptor(os.open(name, os.O_RDWR | _FLAGS, dir_fd=staging)) as fd:
            if not overwrite and tree.exists(root, folders, last):
                raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)
            if os.fstat(fd).st_size < size:
                raise Transient("there are parts missing", pfn=pfn)
            os.ftruncate(fd, size)
            told = adler32_of_parts((part.tag, part.size) for part in parts)
            sums = {"adler32": told} if told else {}
            sums |= sums_of(fd, wanted.keys() - sums.keys())
            if differing(wanted, sums):
                raise mismatch(wanted, sums, pfn)
            if options.fsync:
                os.fsync(fd)
            tree.show(root, name, staging, folders, last, replace=overwrite)
            info = os.fstat(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name + _LIST, dir_fd=staging)
    return ObjectInfo(size, info.st_mtime_ns // 1000, {k: v for k, v in sums.items() if k in wanted})


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


@contextlib.contextmanager
def _staging(tree: Tree) -> Generator[int, None, None]:
    try:
        with tree.root(certain=True) as root, descriptor(tree.folder(root, [STAGING])) as staging:
            yield staging
    except FileNotFoundError:
        raise ObjectNotFound("the upload is gone") from None
