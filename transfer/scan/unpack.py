"""Bytes that may be gzipped, unpacked as they come, however much they unpack to."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from lading.model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 18
_MAGIC = b"\x1f\x8b"


class Unpacker:
    """`feed` every piece, then `finish`. Concatenated gzip members (RFC 1952, 2.2) are one text."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._gzip: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of at most 256 KiB. Raises InvalidRequest for a broken gzip stream."""
        if self._head is not None:
            self._head += data
            if len(self._head) < len(_MAGIC):
                return
            data, self._head = self._head, None
            if data.startswith(_MAGIC):
                self._gzip = _opened()
        if self._gzip is None:
            for at in range(0, len(data), PIECE):
                yield data[at : at + PIECE]
            return
        try:
            while data:
                if self._gzip.eof:
                    self._gzip = _opened()
                yield self._gzip.decompress(data, PIECE)
                data = self._gzip.unconsumed_tail or self._gzip.unused_data
        except zlib.error as error:
            raise InvalidRequest(f"the dump begins as gzip and is none: {error}") from None

    def finish(self) -> bytes:
        """What is left of a very short text. Raises InvalidRequest when gzip ends in the middle."""
        if self._gzip is not None and not self._gzip.eof:
            raise InvalidRequest("the dump's gzip ends in the middle: copy it again")
        rest, self._head = self._head or b"", None
        return rest


def _opened() -> zlib._Decompress:
    return zlib.decompressobj(wbits=31)
