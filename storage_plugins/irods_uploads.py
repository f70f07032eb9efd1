"""Writes in two steps: a data object in the staging collection, then what shows it. Everything here blocks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from irods.keywords import REG_CHKSUM_KW

from lading.model.checksum import differing

from .chunks import mismatch
from .errors import ObjectNotFound, StorageError, Transient
from .irods_session import Stream
from .irods_show import show
from .irods_sums import read_checksum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .base import Chunk
    from .irods_catalog import Found
    from .irods_session import Session
    from .irods_tree import Tree


class Upload:
    """One object on its way. Errors are the contract's. After an error, `discard`."""

    def __init__(self, tree: Tree, pfn: str, *, overwrite: bool, long_timeout: float) -> None:
        self._tree = tree
        self._pfn = pfn
        self._overwrite = overwrite
        self._long = long_timeout
        self._path = tree.staged(pfn)
        self._stream: Stream | None = None
        self._begun = False

    def append(self, session: Session, chunks: Sequence[Chunk]) -> None:
        if self._stream is None:
            self._open(session)
        assert self._stream, "opened"
        first = chunks[0] if chunks else b""
        data = first if len(chunks) == 1 and isinstance(first, bytes) else b"".join(chunks)
        if data:
            self._stream.write(data)

    def commit(self, session: Session, size: int, checksums: Mapping[str, str]) -> Found:
        """Compare what the server tells of it, and show it. Raises ChecksumMismatch, ObjectExists."""
        if self._stream is None:
            self._open(session)
        assert self._stream, "opened"
        self._stream.close(seconds=self._long if self._tree.hashed else None)
        return self._shown(session, size, checksums)

    def copy(self, session: Session, source: Found) -> Found:
        """Made of another object of the zone, in place of `append` and `commit`. The source's checksums are compared,
        as far as both have them."""
        self._begun = True
        try:
            self._tree.copy(session, source.path, self._path, self._pfn)
        except ObjectNotFound:
            self._prepared(session)
            self._tree.copy(session, source.path, self._path, self._pfn)
        return self._shown(session, source.size, source.checksums)

    def discard(self, session: Session) -> None:
        """Forget it. What cannot be removed now is for `clean_staging`."""
        if self._stream is not None:
            self._stream.forget()
        if self._begun:
            with suppress(StorageError):
                self._tree.unlink_soon(session, self._path)

    def _open(self, session: Session) -> None:
        self._begun = True
        options = {**self._tree.target, **({REG_CHKSUM_KW: ""} if self._tree.hashed else {})}
        try:
            self._stream = Stream(session, self._path, "w", self._pfn, **options)
        except ObjectNotFound:
            self._prepared(session)
            self._stream = Stream(session, self._path, "w", self._pfn, **options)

    def _prepared(self, session: Session) -> None:
        """The staging collection is not there. Nor may the whole root be: that is not made anew."""
        self._tree.check_root(session)
        self._tree.make(session, self._tree.staging)

    def _shown(self, session: Session, size: int, checksums: Mapping[str, str]) -> Found:
        made, olds = self._tree.uploaded(session, self._path, self._pfn)
        if made.size != size:
            raise Transient(f"{size} bytes were sent and {made.size} have arrived", pfn=self._pfn)
        told = made.checksums
        if self._tree.hashed and not told and size:  # some servers do not hash what was copied, or what is compound
            told = read_checksum(
                session.call(lambda irods: irods.data_objects.chksum(self._path), self._pfn, seconds=self._long)
            )
        if differing(checksums, told):
            raise mismatch(checksums, told, self._pfn)
        try:
            show(session, self._tree, made, self._pfn, olds, overwrite=self._overwrite)
        except ObjectNotFound as error:
            raise Transient(error.message, pfn=self._pfn) from None
        return made
