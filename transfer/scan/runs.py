"""Sorting more lines than memory holds: sorted runs in temporary files, merged."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from itertools import chain
from typing import IO, TYPE_CHECKING

from lading.model.errors import QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LINES = 100_000  # of one run; sorting it holds the interpreter for some 60 ms at most
BYTES = 16 << 20
_BLOCK = 1 << 16  # bytes read of a file at once
FAN = 64  # files merged at once, so that a scan needs some hundred descriptors at any size


class Runs:
    """An external merge sort (Knuth 5.4): memory is one run and a buffer for each file, whatever the number of lines.

    Lines end in a newline and hold no other. What comes in order costs hardly a comparison: `list.sort` finds runs.
    The files have no name, so a process that is killed leaves nothing. All methods block: call them in a thread.
    """

    def __init__(self, *, lines: int = LINES, size: int = BYTES, fan: int = FAN) -> None:
        self._most, self._size, self._fan = lines, size, fan
        self._buffer: list[bytes] = []
        self._held = 0
        self._levels: list[list[IO[bytes]]] = []  # of level n: runs of about FAN ** n buffers each

    def add(self, lines: Sequence[bytes]) -> None:
        """Take lines in. Raises QuotaExceeded when the folder for temporary files is full."""
        self._buffer += lines
        self._held += sum(map(len, lines))
        if len(self._buffer) >= self._most or self._held >= self._size:
            self._buffer.sort()
            self._keep(self._buffer, 0)
            self._buffer, self._held = [], 0

    def merged(self) -> Iterator[list[bytes]]:
        """All lines in order of their bytes, some thousands at a time."""
        self._buffer.sort()
        return _merged([file for level in self._levels for file in level], self._buffer)

    def close(self) -> None:
        """Give the disk back. Safe to repeat."""
        for level in self._levels:
            for file in level:
                file.close()
        self._levels.clear()
        self._buffer.clear()

    def _keep(self, lines: Iterable[bytes], level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append([])
        self._levels[level].append(spool(lines))
        if len(self._levels[level]) >= self._fan:
            runs, self._levels[level] = self._levels[level], []
            try:
                self._keep(chain.from_iterable(_merged(runs, [])), level + 1)
            finally:
                for file in runs:
                    file.close()


def _merged(files: Sequence[IO[bytes]], more: list[bytes]) -> Iterator[list[bytes]]:
    """Files of lines in order, and a list of such, merged: what all have up to the first end of a block, sorted.

    `list.sort` merges runs ten times as fast as a heap of iterators.
    """
    blocks = [*(file.readlines(_BLOCK) for file in files), more]
    starts = [0] * len(blocks)
    while ends := [block[-1] for block in blocks if block]:
        bound = min(ends)
        lines: list[bytes] = []
        for i, block in enumerate(blocks):
            stop = bisect_right(block, bound, starts[i])
            lines += block[starts[i] : stop]
            starts[i] = stop
            if stop == len(block):
                blocks[i] = files[i].readlines(_BLOCK) if block and i < len(files) else []
                starts[i] = 0
        lines.sort()
        yield lines


def spool(lines: Iterable[bytes]) -> IO[bytes]:
    """A nameless temporary file of these lines, to be read from its start. Raises QuotaExceeded: no room for it."""
    file = tempfile.TemporaryFile(buffering=1 << 16)  # noqa: SIM115  (the caller's to close)
    try:
        file.writelines(lines)
        file.seek(0)
    except OSError as error:
        file.close()
        raise QuotaExceeded(
            f"the server has no room for temporary files in {tempfile.gettempdir()} ({error.strerror}): free some, or"
            " start it with TMPDIR on a larger disk"
        ) from error
    except BaseException:
        file.close()
        raise
    return file
