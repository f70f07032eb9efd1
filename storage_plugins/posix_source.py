"""An object being read. Blocking; one call at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .chunks import BATCH
from .errors import Transient

if TYPE_CHECKING:
    from lading.model.checksum import Digest

    from .posix_tree import Tree

_HASH_STEP = 1 << 27  # bytes between two looks at whether anybody still wants to know


class Source:
    """The bytes from `start` to `stop` of an object, opened by the first call and closed at the end or by `close`."""

    def __init__(self, tree: Tree, pfn: str, start: int = 0, stop: int | None = None) -> None:
        self._tree = tree
        self._pfn = pfn
        self._at = start
        self._stop = stop
        self._fd = -1
        self.at_end = False

    def next(self) -> bytes:
        """The next chunk, empty at the end. Raises ObjectNotFound, Transient when the object became shorter."""
        self._open()
        data = b"" if self.at_end else os.pread(self._fd, min(BATCH, self._end - self._at), self._at)
        self._advance(len(data))
        return data

    def hash_small(self, digest: Digest, most: int) -> bool:
        """Add all of an object of at most `most` bytes to `digest`; False: it is larger, and nothing was done. Leaves
        nothing open, so that nobody need wait for it."""
        try:
            self._open()
            if not self.at_end and self._end - self._at > most:
                return False
            self.hash_some(digest, bytearray(most))
            return True
        finally:
            self.close()

    def hash_some(self, digest: Digest, buffer: bytearray) -> bool:
        """Add the next 128 MiB to `digest` by way of `buffer`; False at the end."""
        self._open()
        view = memoryview(buffer)
        goal = min(self._end, self._at + _HASH_STEP)
        while self._at < goal:
            got = os.preadv(self._fd, [view[: goal - self._at]], self._at)
            digest.update(view[:got])
            self._advance(got)
        return not self.at_end

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd < 0 and not self.at_end:
            self._fd, info = self._tree.open(self._pfn)
            self._end = info.st_size if self._stop is None else min(self._stop, info.st_size)
            self.at_end = self._at >= self._end

    def _advance(self, size: int) -> None:
        if not size and not self.at_end:
            raise Transient("the object became shorter while it was read", pfn=self._pfn)
        self._at += size
        self.at_end = self._at >= self._end
        if self.at_end:
            self.close()
