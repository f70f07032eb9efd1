"""Reading a data object, and asking the server to. Everything here blocks."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from irods.exception import USER_CHKSUM_MISMATCH
from irods.keywords import VERIFY_CHKSUM_KW
from irods.manager.data_object_manager import Server_Checksum_Warning
from irods.message import RErrorStack

from .errors import ChecksumMismatch, ObjectNotFound, Transient, Unsupported
from .irods_session import Stream
from .irods_sums import read_checksum

if TYPE_CHECKING:
    from .irods_catalog import Found
    from .irods_session import Session
    from .irods_tree import Tree

_ATTEMPTS = 3


class Reading:
    """One object that is read."""

    def __init__(self, tree: Tree, pfn: str) -> None:
        self._tree = tree
        self._pfn = pfn
        self._stream: Stream | None = None

    def open(self, session: Session, start: int, stop: int | None) -> Found:
        """What it is; open at `start`, unless there is nothing to read. Raises ObjectNotFound."""
        for _ in range(_ATTEMPTS):
            found = self._tree.find(session, self._pfn)
            if start >= (found.size if stop is None else min(stop, found.size)):
                return found
            with suppress(ObjectNotFound):  # replaced this very moment: then it is elsewhere
                stream = Stream(session, found.path, "r", self._pfn)
                # What was opened may be the object's successor, and it may be damaged: both can have another size.
                if stream.seek(0, os.SEEK_END) == found.size:
                    stream.seek(start)
                    self._stream = stream
                    return found
                stream.forget()
        raise Transient("its size is not the one the catalogue tells, or it is replaced all the time", pfn=self._pfn)

    def next(self, session: Session, size: int) -> memoryview:
        """Up to `size` bytes; there are some."""
        assert self._stream, "opened"
        return self._stream.read(size)

    def close(self, session: Session) -> None:
        if self._stream:
            self._stream.forget()


def checksum(session: Session, tree: Tree, pfn: str, seconds: float) -> dict[str, str]:
    """{kind: hex} that the server makes of the stored bytes. It keeps checksums: they are held against the bytes, not
    replaced, or damage would become the truth."""
    found = tree.find(session, pfn)
    if not found.checksums:
        text: str = session.call(lambda irods: irods.data_objects.chksum(found.path), pfn, seconds=seconds)
        return read_checksum(text)

    def verify(irods: Any) -> list[dict[str, Any]]:
        try:
            irods.data_objects.chksum(found.path, r_error=RErrorStack(), **{VERIFY_CHKSUM_KW: ""})
        except Server_Checksum_Warning as warning:
            return warning.response
        return []

    for problem in session.call(verify, pfn, seconds=seconds):
        if problem.get("error_code") == USER_CHKSUM_MISMATCH.code:
            raise ChecksumMismatch(
                f"the server finds other bytes than it once stored: {problem.get('message')}",
                pfn=pfn,
                expected=found.checksums,
            )
        raise Unsupported(f"the server does not compare: {problem.get('message')}", pfn=pfn)
    return found.checksums
