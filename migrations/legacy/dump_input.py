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
    b"\xfd7zXZ": lambda raw: cast("BinaryIO", lzma.LZMAFile(raw)),  # noqa: SIM115 - closed with its owner
}
_NOT_DUMPS = {
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd: run `zstd -dc FILE | lading-server import lfc -`",
    b"PK\x03\x04": "it is a zip archive, and those are not read from a pipe: unpack it first",
    b"7z\xbc\xaf\x27\x1c": "it is a 7z archive: unpack it first",
    b"SQLite format 3": "it is an SQLite database",
    b"PGDMP": "it is a PostgreSQL dump",
    b"\xff\xfe": "it is UTF-16, as PowerShell's > writes it: take it again with mysqldump --result-file=FILE",
    b"\xfe\xff": "it is UTF-16: take it again with mysqldump --result-file=FILE",
    b"## select": "it is the output of queries (mysql -B), where NULL and the word look alike: take it with mysqldump",
}
_BOM = b"\xef\xbb\xbf"


def _unpacked(stream: BinaryIO, head: bytes) -> BinaryIO:
    """The plain bytes of a stream that begins with `head`."""
    opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), None)
    return opener(stream) if opener else stream


def unpacked(file: BinaryIO) -> BinaryIO:
    """The plain bytes of a file that stands at its start."""
    head = file.read(8)
    file.seek(0)
    return _unpacked(file, head)


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
    """Iterating gives the plain bytes in chunks of about 1 MB, once. `name` '-' is the standard input, or `raw` is read.

    `head` is how the plain bytes begin, and `done` how many of the compressed ones were read. Raises BadSource for a file
    that can't be read, isn't a dump or is cut short.
    """

    def __init__(self, name: str, raw: BinaryIO | None = None) -> None:
        self.name = name
        try:
            self._raw = raw or (sys.stdin.buffer if name == "-" else open(name, "rb"))  # noqa: SIM115 - closed after the last chunk
            self._counted = _Counted(self._raw)
        except OSError as e:
            raise BadSource(f"{name!a}: cannot be read: {e.strerror}", file=name) from None
        self._refuse(self._counted.head)
        self._stream = _unpacked(cast("BinaryIO", io.BufferedReader(self._counted, _CHUNK)), self._counted.head)
        self._first = self._read().removeprefix(_BOM)
        self.head = self._first[:512]
        self._refuse(self.head)

    def _refuse(self, head: bytes) -> None:
        why = next((why for magic, why in _NOT_DUMPS.items() if head.startswith(magic)), None)
        if head[257:262] == b"ustar":
            why = "it is a tar archive, and those are not read from a pipe: unpack it first"
        if why is not None:
            self.close()
            raise BadSource(f"{self.name!a} is not a mysqldump: {why}", file=self.name)

    @property
    def done(self) -> int:
        return self._counted.count

    def _read(self) -> bytes:
        try:
            return self._stream.read(_CHUNK)
        except EOFError:
            why = f"the compressed file is cut short after {self.done} bytes: copy it again"
        except (OSError, zlib.error, lzma.LZMAError) as e:
            why = f"cannot be read after {self.done} bytes: {e}"
        self.close()
        raise BadSource(f"{self.name!a}: {why}", file=self.name, byte=self.done)

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunk = self._first
            self._first = b""
            while chunk:
                yield chunk
                chunk = self._read()
        finally:
            self.close()

    def close(self) -> None:
        if self.name != "-":
            self._raw.close()
