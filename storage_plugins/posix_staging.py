"""Writes in two steps: a file in the staging folder, then one rename(2) that shows it. What is killed between is swept
up."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
from typing import TYPE_CHECKING, NamedTuple

from .base import ObjectInfo
from .errors import Transient
from .posix_tree import STAGING, Tree, descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Chunk

_IOV_MAX = 1024
_COPY_STEP = 1 << 28
_NO_COPY_RANGE = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)


class WriteOptions(NamedTuple):
    mode: int | None
    fsync: bool


class Staged:
    """One object on its way. Blocking; `discard` may come from another thread at any moment."""

    def __init__(self, tree: Tree, pfn: str, *, size: int | None, overwrite: bool, options: WriteOptions) -> None:
        """Only checks the PFN (InvalidPath)."""
        self._tree = tree
        self._pfn = pfn
        self._folders, self._name = tree.split(pfn)
        self._size = size
        self._overwrite = overwrite
        self._options = options
        self._lock = threading.Lock()  # nobody closes the file under a write
        self._fd = -1
        self._at = 0
        self._temporary = b""
        self._over = False
        self._unwanted = False

    def append(self, chunks: Sequence[Chunk]) -> None:
        """Write behind what is there; the first call makes the file. Raises ObjectExists, NoSpace as soon as it is
        sure."""
        with self._lock:
            self._open()
            write_all(self._fd, chunks)
            if (
                self._options.fsync and chunks
            ):  # written out while more arrives: 1 GiB is synced in 0.01 s then, not 0.3
                os.posix_fadvise(self._fd, self._at, 0, os.POSIX_FADV_DONTNEED)
                self._at = os.lseek(self._fd, 0, os.SEEK_CUR)

    def copy(self, source: int, offset: int, size: int) -> int:
        """Take up to 256 MiB from another descriptor, in the kernel, sharing blocks where the file system can."""
        with self._lock:
            self._open()
            return _copy_range(source, self._fd, offset, min(size, _COPY_STEP))

    def commit(self, chunks: Sequence[Chunk] = ()) -> ObjectInfo:
        """Append the last chunks and show the object. Raises ObjectExists when another was first.

        Alone it stores a whole object: one look at the root, and no look at the name, which showing refuses itself.
        """
        with self._lock, self._tree.root(certain=True) as root:
            self._check_wanted()
            with descriptor(self._tree.folder(root, [STAGING], make=True)) as staging:
                if self._fd < 0:
                    self._make(staging)
                write_all(self._fd, chunks)
                if self._options.fsync:
                    os.fsync(self._fd)
                self._check_wanted()
                self._tree.show(root, self._temporary, staging, self._folders, self._name, replace=self._overwrite)
            self._over = True
            info = os.fstat(self._fd)
            os.close(self._fd)
            return ObjectInfo(info.st_size, info.st_mtime_ns // 1000)

    def discard(self) -> None:
        """Forget it. Safe to repeat, and after `commit`. Waits for what another thread is doing with it."""
        self._unwanted = True
        with self._lock:
            if not self._over:
                self._over = True
                if self._fd >= 0:
                    os.close(self._fd)
                    with contextlib.suppress(OSError), self._tree.root() as root:
                        os.unlink(STAGING + b"/" + self._temporary, dir_fd=root)

    def _open(self) -> None:
        self._check_wanted()
        if self._fd >= 0:
            return
        with self._tree.root(certain=True) as root:
            if not self._overwrite:
                self._tree.check_free(root, self._folders, self._name, self._pfn)
            self._tree.check_room(root, self._size, self._pfn)
            with descriptor(self._tree.folder(root, [STAGING], make=True)) as staging:
                self._make(staging)

    def _make(self, staging: int) -> None:
        name = secrets.token_hex(16).encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(name, flags, 0o666, dir_fd=staging)
        self._temporary = name
        if self._options.mode is not None:
            os.fchmod(self._fd, self._options.mode)

    def _check_wanted(self) -> None:
        if self._unwanted:
            raise Transient("the write was given up", pfn=self._pfn)


def write_all(fd: int, chunks: Sequence[Chunk]) -> None:
    """Write the chunks where the descriptor is at."""
    views = [memoryview(chunk) for chunk in chunks]
    while views:
        written = os.writev(fd, views[:_IOV_MAX])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views:
            views[0] = views[0][written:]


def _copy_range(source: int, target: int, offset: int, size: int) -> int:
    try:
        if copied := os.copy_file_range(source, target, size, offset):
            return copied
    except OSError as error:
        if error.errno not in _NO_COPY_RANGE:
            raise
    return os.sendfile(target, source, offset, size)
