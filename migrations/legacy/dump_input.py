"""Where a dump's bytes come from: a file, a compressed file, or a pipe."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from .rows import BadSource

_CHUNK = 1 << 20
_OPENERS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda raw: cast("BinaryIO", gzip.GzipFile(fileobj=raw)),
    b"BZh": lambda raw: cast("BinaryIO", bz2.BZ2File(raw)),
    b"\xfd7zXZ": lambda raw: cast("BinaryIO", lzma.LZMAFile(raw)),  # noqa: SIM115 - it is read to its end
}
_NOT_DUMPS = {
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd: run `zstd -dc FILE | lading-server import lfc -`",
    b"PK\x03\x04": "it is a zip archive: unpack it first",
    b"SQLite format 3": "it is an SQLite database",
    b"PGDMP": "it is a PostgreSQL dump",
    b"<?xml": "it is XML: take the dump again without --xml",
}


class _Counted(io.RawIOBase):
    """Passes reads on and counts the bytes; the first ones, read to recognise the format, are given out again."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.head = raw.read(512)
        self.count = 0
        self._left = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # the stubs want any writable buffer
        data = self._left[: len(buffer)]
        if data:
            self._left = self._left[len(data) :]
        else:
            data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


class DumpInput:
    """Iterating gives the plain bytes in chunks of about 1 MB, once. `name` '-' is the standard input.

    `total` is the size on disk (None for a pipe) and `done` how much of it was read: progress in compressed bytes.
    Raises BadSource for a file that can't be read, isn't a dump or is cut short.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            raw = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115 - closed after the last chunk
            self.total = None if name == "-" or not raw.seekable() else raw.seek(0, 2)
            if self.total is not None:
                raw.seek(0)
            self._counted = _Counted(raw)
        except OSError as e:
            raise BadSource(f"{name}: cannot be read: {e.strerror}", file=name) from None
        head = self._counted.head
        for magic, why in _NOT_DUMPS.items():
            if head.startswith(magic):
                raise BadSource(f"{name} is not a mysqldump: {why}", file=name)
        if head[257:262] == b"ustar":
            raise BadSource(f"{name} is not a mysqldump: it is a tar archive, unpack it first", file=name)
        buffered = cast("BinaryIO", io.BufferedReader(self._counted, _CHUNK))
        opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), None)
        self._stream = opener(buffered) if opener else buffered
        self._raw = raw

    @property
    def done(self) -> int:
        return self._counted.count

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._stream.read(_CHUNK):
                yield chunk
        except EOFError:
            raise BadSource(
                f"{self.name}: the compressed file is cut short after {self.done} bytes: copy it again",
                file=self.name,
                byte=self.done,
            ) from None
        except (OSError, zlib.error, lzma.LZMAError) as e:
            raise BadSource(
                f"{self.name}: cannot be read after {self.done} bytes: {e}", file=self.name, byte=self.done
            ) from None
        finally:
            if self.name != "-":
                self._raw.close()
