"""Replies of an FTP server (RFC 959, section 4.2), read from whatever brings their lines; and what they mean.

A server may be hostile: lines, their number and the size of a reply are bounded, and what is no reply is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

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
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LONGEST_LINE = 1 << 17  # bytes; a wrapped line holds a TLS record or a chain of certificates in base64
_LARGEST = 1 << 20  # bytes of one reply

_HEAD = re.compile(r"([1-6]\d\d)(?:([ -])(.*))?", re.DOTALL)
_ERRNO = re.compile(r"GridFTP-Errno: (\d+)")  # as Globus tells it: Linux' numbers
_ERRNOS: dict[int, type[StorageError]] = {
    1: Denied,
    2: ObjectNotFound,
    13: Denied,
    17: ObjectExists,
    20: ObjectNotFound,  # a file where a folder should be
    21: InvalidPath,
    22: InvalidPath,
    27: NoSpace,
    28: NoSpace,
    30: Denied,
    36: InvalidPath,
    40: InvalidPath,
    122: NoSpace,
}
_WORDS: tuple[tuple[re.Pattern[str], type[StorageError]], ...] = tuple(
    (re.compile(words, re.IGNORECASE), kind)
    for words, kind in (
        (r"no such file|not found|does ?n.t exist|does not exist|not a directory", ObjectNotFound),
        (r"permission denied|not permitted|not authori[sz]ed|access denied|read-only", Denied),
        (r"file exists|already exists", ObjectExists),
        (r"no space|disk full|quota", NoSpace),
        (r"is a directory|name too long", InvalidPath),
        (r"unknown checksum|not (supported|implemented|understood|recogni[sz]ed)|unknown command", Unsupported),
        (r"command failed|globus_xio|timed? ?out|connection", Transient),
    )
)
_CODES: dict[int, type[StorageError]] = {
    421: Unavailable,
    452: NoSpace,
    502: Unsupported,
    504: Unsupported,
    530: Denied,
    532: Denied,
    534: Denied,
    535: Denied,
    552: NoSpace,
    553: InvalidPath,
}


class Reply(Struct, frozen=True):
    """`lines` are without codes and line ends."""

    code: int
    lines: tuple[str, ...]

    @property
    def preliminary(self) -> bool:
        return self.code < 200

    @property
    def good(self) -> bool:
        return self.code < 400

    @property
    def text(self) -> str:
        return " ".join(line.strip() for line in self.lines)


class Replies:
    """Replies from `readline`, which gives a line as bytes, with or without its end. A reply that was half read when
    somebody stopped waiting is gone on with."""

    def __init__(self, readline: Callable[[], Awaitable[bytes]]) -> None:
        self._readline = readline
        self._code = 0
        self._lines: list[str] = []
        self._size = 0

    async def next(self) -> Reply:
        """Raises StorageError for what is no reply."""
        while True:
            raw = await self._readline()
            line = raw.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            self._size += len(line) + 1
            if self._size > _LARGEST:
                raise StorageError(f"the server's reply is longer than {_LARGEST} bytes")
            head = _HEAD.fullmatch(line)
            if not self._code:
                if not head:
                    raise StorageError(f"that is no FTP server's reply: {shown(line, 60)!r}")
                self._code = int(head[1])
            same = head is not None and int(head[1]) == self._code
            self._lines.append((head[3] or "") if head and same else line)
            if head and same and head[2] != "-":
                reply = Reply(self._code, tuple(self._lines))
                self._code, self._lines, self._size = 0, [], 0
                return reply


def refused(reply: Reply, doing: str, pfn: str | None = None) -> StorageError:
    """The contract's error for a reply that says no. `doing` is a command's name."""
    errno = _ERRNO.search(reply.text)
    kind = _ERRNOS.get(int(errno[1])) if errno else None
    if kind is None:
        kind = next((kind for words, kind in _WORDS if words.search(reply.text)), None)
    if kind is None:
        kind = _CODES.get(reply.code, Transient if reply.code < 500 or errno else StorageError)
    about = f": '{shown(pfn)}'" if pfn else ""
    return kind(f"GridFTP, {doing}: {reply.code} {shown(reply.text, 300)}{about}", pfn=pfn)
