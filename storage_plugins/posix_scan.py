"""What is below a root: its objects, and the leftovers of writes. Blocking generators, in constant memory."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from .base import RESERVED, ScanEntry
from .paths import components, text
from .posix_tree import STAGING, Tree, descriptor

if TYPE_CHECKING:
    from collections.abc import Generator

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def objects(tree: Tree, prefix: str) -> Generator[ScanEntry, None, None]:
    """Regular files whose path begins with `prefix`, in the order of the disk. What is no file or folder is passed
    over.

    Raises OSError for a folder that cannot be read: its objects must not look lost.
    """
    above, _, start = prefix.rpartition("/")
    with tree.root(certain=True) as root:
        try:
            top = tree.folder(root, components(above) if above else [])
        except (FileNotFoundError, NotADirectoryError):
            return
    with descriptor(top), contextlib.ExitStack() as stack:
        level = _Level(stack, top, b".", f"{above}/".encode("utf-8", "surrogateescape") if above else b"")
        levels = [level]
        wanted = start.encode("utf-8", "surrogateescape")
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop().close()
                continue
            name = os.fsencode(entry.name)
            if (len(levels) == 1 and not name.startswith(wanted)) or (
                not level.path and name.startswith(RESERVED.encode())
            ):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    levels.append(_Level(stack, level.fd, name, level.path + name + b"/"))
                elif entry.is_file(follow_symlinks=False):
                    info = entry.stat(follow_symlinks=False)
                    yield ScanEntry(text(level.path + name), info.st_size, info.st_mtime_ns // 1000)
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed or replaced since it was listed


class _Level:
    """A folder being listed."""

    def __init__(self, stack: contextlib.ExitStack, parent: int, name: bytes, path: bytes) -> None:
        self.path = path
        self._exit = contextlib.ExitStack()
        self.fd = self._exit.enter_context(descriptor(os.open(name, _LIST, dir_fd=parent)))
        self.entries = self._exit.enter_context(os.scandir(self.fd))
        stack.callback(self.close)

    def close(self) -> None:
        self._exit.close()


def leftovers(tree: Tree, older_than_us: int | None = None) -> Generator[ScanEntry, None, None]:
    """The files in the staging folder. With `older_than_us`, those untouched for so long, each removed before it is
    told."""
    with tree.root(certain=True) as root:
        try:
            staging = tree.folder(root, [STAGING])
        except FileNotFoundError:
            return
    with descriptor(staging), contextlib.ExitStack() as stack:
        for entry in _Level(stack, staging, b".", STAGING + b"/").entries:
            with contextlib.suppress(FileNotFoundError):
                info = entry.stat(follow_symlinks=False)
                mtime_us = info.st_mtime_ns // 1000
                if older_than_us is not None:
                    if time.time_ns() // 1000 - mtime_us < older_than_us:
                        continue
                    os.unlink(entry.name, dir_fd=staging)
                yield ScanEntry(text(STAGING + b"/" + os.fsencode(entry.name)), info.st_size, mtime_us)
