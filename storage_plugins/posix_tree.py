"""A folder tree entered by nobody's leave but its root's: every step is an openat(2) that follows no symbolic link.

All functions here block: they run in the element's threads. They raise OSError, which `told` turns into the contract's
errors, or those errors themselves. A PFN is only ever resolved relative to a descriptor of the root, one component at a
time, so that nobody can lead a path out of it, not even by swapping folders for links while we look.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from typing import TYPE_CHECKING

from .errors import (
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .paths import components, shown, text
from .powers import SpaceUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = b".lading-element"
STAGING = b".lading-staging"
_ATTEMPTS = 20
_MAX_DEPTH = 255  # a scan holds two descriptors a level
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
_STEP = _FOLDER | os.O_PATH | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # NONBLOCK: a FIFO must not hang us

_KINDS: dict[int, type[StorageError]] = {
    errno.ENOENT: ObjectNotFound,
    errno.EEXIST: ObjectExists,
    errno.EXDEV: Unsupported,  # another file system is mounted inside the root
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), Denied),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NoSpace),
    **dict.fromkeys(
        (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EILSEQ, errno.EINVAL), InvalidPath
    ),
    **dict.fromkeys((errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV, errno.ENXIO), Unavailable),
}


def told(error: OSError, pfn: str | None) -> StorageError:
    """The contract's error for what the operating system said; what is not known is a fault of the moment."""
    kind = _KINDS.get(error.errno or 0, Transient)
    return kind(f"{os.strerror(error.errno or 0)}" + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn)


class Tree:
    """The tree below `root`. With `marker`, a root without the marker file counts as a disk that is not mounted."""

    def __init__(self, root: str, *, marker: bool, dir_mode: int | None, fsync: bool) -> None:
        self._root = os.fsencode(root)
        self._marker = marker
        self._dir_mode = dir_mode
        self._fsync = fsync

    @contextlib.contextmanager
    def root(self, *, certain: bool = False) -> Iterator[int]:
        """A descriptor of the root, opened for this one operation: nothing keeps a disk from being unmounted.

        `certain`: look for the marker first. Raises Unavailable, and turns a missing object into it where the whole
        disk is missing.
        """
        try:
            fd = os.open(self._root, os.O_RDONLY | _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise Unavailable("the element's root folder is not there: is the disk mounted?") from None
        try:
            if certain:
                self._check_marker(fd)
            yield fd
        except (FileNotFoundError, ObjectNotFound):
            self._check_marker(fd)
            raise
        finally:
            os.close(fd)

    def _check_marker(self, root: int) -> None:
        if not self._marker:
            return
        try:
            os.stat(MARKER, dir_fd=root, follow_symlinks=False)
        except FileNotFoundError:
            raise Unavailable(
                f"the element's root folder has no file {os.fsdecode(MARKER)}: is the disk mounted? If this is the"
                " right folder, make an empty file of that name there"
            ) from None

    def prepare(self) -> None:
        """Make the root, its marker and the staging folder. Safe to repeat."""
        os.makedirs(self._root, self._dir_mode or 0o777, exist_ok=True)
        root = os.open(self._root, os.O_RDONLY | _FOLDER)
        try:
            if self._marker:
                with contextlib.suppress(FileExistsError):
                    fd = os.open(MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=root)
                    with os.fdopen(fd, "wb") as file:
                        file.write(b"A storage element of lading. Without this file it counts as not mounted.\n")
            os.close(self.folder(root, [STAGING], make=True))
            os.fsync(root)
        finally:
            os.close(root)

    def split(self, pfn: str) -> tuple[list[bytes], bytes]:
        """(folders, name). Raises InvalidPath, also for the element's own files."""
        *folders, name = components(pfn)
        if (folders or [name])[0] in (MARKER, STAGING):
            raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
        if len(folders) > _MAX_DEPTH:
            raise InvalidPath(f"'{shown(pfn)}' lies more than {_MAX_DEPTH} folders deep", pfn=pfn)
        return folders, name

    def folder(self, root: int, folders: list[bytes], *, make: bool = False) -> int:
        """A descriptor (O_PATH) of the folder reached from `root`; the caller closes it. `make` adds what is
        missing."""
        fd = root
        for name in folders:
            try:
                below = self._step(fd, name, make=make)
            finally:
                if fd != root:
                    os.close(fd)
            fd = below
        return os.dup(root) if fd == root else fd

    def _step(self, parent: int, name: bytes, *, make: bool) -> int:
        try:
            return os.open(name, _STEP, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise InvalidPath(f"'{shown(text(name))}' on the way is a symbolic link: not followed") from None
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            if self._dir_mode is not None:
                with descriptor(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | _FOLDER, dir_fd=parent)) as fd:
                    os.fchmod(fd, self._dir_mode)
            self.sync(parent)
        return os.open(name, _STEP, dir_fd=parent)

    def sync(self, folder: int) -> None:
        """Make the names in a folder durable."""
        if self._fsync:
            with descriptor(os.open(b".", os.O_RDONLY | _FOLDER, dir_fd=folder)) as fd:
                os.fsync(fd)

    def stat(self, pfn: str) -> os.stat_result:
        folders, name = self.split(pfn)
        with self.root() as root, self._folder_of(root, folders, pfn) as folder:
            return _object(os.stat(name, dir_fd=folder, follow_symlinks=False), pfn)

    def open(self, pfn: str) -> tuple[int, os.stat_result]:
        """The object opened for reading."""
        folders, name = self.split(pfn)
        with self.root() as root, self._folder_of(root, folders, pfn) as folder:
            _object(os.stat(name, dir_fd=folder, follow_symlinks=False), pfn)  # opening a device can do things
            fd = os.open(name, _READ, dir_fd=folder)
            try:
                return fd, _object(os.fstat(fd), pfn)
            except BaseException:
                os.close(fd)
                raise

    def exists(self, root: int, folders: list[bytes], name: bytes) -> bool:
        """Is anything at all of this name there?"""
        with contextlib.suppress(FileNotFoundError), descriptor(self.folder(root, folders)) as folder:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            return True
        return False

    def check_free(self, root: int, folders: list[bytes], name: bytes, pfn: str) -> None:
        """Raises ObjectExists when anything of this name is there."""
        if self.exists(root, folders, name):
            raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)

    @staticmethod
    def check_room(root: int, size: int | None, pfn: str) -> None:
        """Raises NoSpace when so many bytes can't fit."""
        space = os.fstatvfs(root)
        if size is not None and size > space.f_bavail * space.f_frsize:
            raise NoSpace(f"{size} bytes do not fit", pfn=pfn)

    def remove(self, pfn: str, *, prune: bool) -> None:
        folders, name = self.split(pfn)
        with self.root() as root:
            with self._folder_of(root, folders, pfn) as folder:
                _object(os.stat(name, dir_fd=folder, follow_symlinks=False), pfn)
                os.unlink(name, dir_fd=folder)
            if prune:
                self._prune(root, folders)

    def rename(self, source: str, target: str, *, replace: bool, prune: bool) -> None:
        self.stat(source)
        if source == target:
            return
        folders, name = self.split(source)
        target_folders, target_name = self.split(target)
        with self.root(certain=True) as root:
            with self._folder_of(root, folders, source) as folder:
                self.show(root, name, folder, target_folders, target_name, replace=replace)
                self.sync(folder)
            if prune:
                self._prune(root, folders)

    def show(
        self, root: int, source: bytes, source_folder: int, folders: list[bytes], name: bytes, *, replace: bool
    ) -> None:
        """Move a file to its place, making folders on the way. Raises FileExistsError."""
        for _ in range(_ATTEMPTS):
            try:
                with descriptor(self.folder(root, folders, make=True)) as folder:
                    move(source, source_folder, name, folder, replace=replace)
                    self.sync(folder)
                    return
            except FileNotFoundError:
                # A remover pruned a folder just now: again. Or the source itself is gone: this stat says so.
                os.stat(source, dir_fd=source_folder, follow_symlinks=False)
        raise Transient("folders were removed as fast as they were made")

    def usage(self) -> SpaceUsage:
        with self.root() as root:
            space = os.fstatvfs(root)
        unit = space.f_frsize
        return SpaceUsage(space.f_blocks * unit, space.f_bavail * unit, (space.f_blocks - space.f_bfree) * unit)

    def local_path(self, pfn: str) -> str:
        self.stat(pfn)
        return os.path.join(os.fsdecode(self._root), pfn)

    def _prune(self, root: int, folders: list[bytes]) -> None:
        """Remove empty folders upwards. A writer that comes between finds its folder gone, and makes it again."""
        for depth in range(len(folders), 0, -1):
            try:
                with descriptor(self.folder(root, folders[: depth - 1])) as parent:
                    os.rmdir(folders[depth - 1], dir_fd=parent)
            except (OSError, InvalidPath):
                return

    @contextlib.contextmanager
    def _folder_of(self, root: int, folders: list[bytes], pfn: str) -> Iterator[int]:
        """The folder of an object that should exist: a file in the way means that it does not."""
        try:
            fd = self.folder(root, folders)
        except NotADirectoryError:
            raise ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn) from None
        with descriptor(fd):
            yield fd


@contextlib.contextmanager
def descriptor(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _object(info: os.stat_result, pfn: str) -> os.stat_result:
    if stat.S_ISREG(info.st_mode):
        return info
    if stat.S_ISDIR(info.st_mode):
        raise ObjectNotFound(f"'{shown(pfn)}' is a folder, not an object", pfn=pfn)
    raise InvalidPath(f"'{shown(pfn)}' is a symbolic link or a device: only regular files are objects", pfn=pfn)


_NOREPLACE = 1
_libc = ctypes.CDLL(None, use_errno=True)
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def move(source: bytes, source_folder: int, target: bytes, target_folder: int, *, replace: bool) -> None:
    """rename(2) within one file system, and without `replace` never over something: FileExistsError."""
    if replace:
        os.rename(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
        return
    rename = getattr(_libc, "renameat2", None)
    if rename and rename(source_folder, source, target_folder, target, _NOREPLACE) == 0:
        return
    number = ctypes.get_errno() if rename else errno.ENOSYS
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number))
    # NFS and old kernels: link(2) refuses to replace too. Killed between the two, both names hold the same bytes.
    os.link(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)
    os.unlink(source, dir_fd=source_folder)
