"""Lists of a storage's objects that somebody else made, read as they come: plain text, or SynCat-style XML.

    PFN size [adler32]                 separated by blanks, or by TABs where a name has blanks

    <dump recorded="2026-11-24T03:00:00"><entry-set><entry name="PFN"><size>12</size>
    <checksum algorithm="AD">0a1b2c3d</checksum><last-modified>…</last-modified></entry>…

A list that is not whole must not pass for one, or all that is missing would count as lost: every fault is refused, by
its line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lading.model import checksum
from lading.model.errors import InvalidRequest
from storage_plugins.base import RESERVED

from .dump_xml import XmlDump
from .lines import key, object_line
from .unpack import Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 16_384  # bytes of a line, and of a name
MOST = 2**63 - 1
_SIZE = re.compile(rb"[0-9]{1,19}")
_ADLER32 = re.compile(rb"[0-9A-Fa-f]{1,8}")
_OWN = RESERVED.encode()

Take = "Callable[[bytes, int, int | None, dict[str, str]], None]"


class Dump:
    """`feed` every piece, then `finish`; both return lines of objects (`lines.py`). They block: call them in a thread.

    Names without `strip` in front or, with `prepend`, not below `under` are counted in `left_out`. `recorded` is what
    the dump itself says. Both raise InvalidRequest with the number of the line that is wrong.
    """

    def __init__(self, *, strip: str = "", prepend: str = "", under: str = "") -> None:
        self.left_out = 0
        self._strip, self._prepend, self._under = strip.encode(), prepend.encode(), under.encode()
        self._unpacker = Unpacker()
        self._format: _Text | XmlDump | None = None
        self._head = b""
        self._lines: list[bytes] = []
        self._pattern = _plain_lines(self._strip, self._prepend, self._under)

    @property
    def recorded(self) -> int | None:
        return self._format.recorded if isinstance(self._format, XmlDump) else None

    def feed(self, data: bytes) -> list[bytes]:
        for piece in self._unpacker.feed(data):
            self._feed(piece)
        return self._taken()

    def finish(self) -> list[bytes]:
        self._feed(self._unpacker.finish())
        if self._format is None:
            raise InvalidRequest("the dump is empty: is it the right file?")
        self._format.finish()
        return self._taken()

    def _taken(self) -> list[bytes]:
        lines, self._lines = self._lines, []
        return lines

    def _feed(self, piece: bytes) -> None:
        if self._format is None:
            self._head += piece
            start = self._head.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not start:
                if len(self._head) > LONGEST:
                    raise InvalidRequest("line 1: the dump begins with nothing but blanks")
                return
            self._format = XmlDump(self._take) if start.startswith(b"<") else _Text(self._take, self._plain)
            piece, self._head = self._head, b""
        self._format.feed(piece)

    def _plain(self, text: bytes) -> bool:
        """Take whole lines in at once; False when one is not plain, or not wanted, and each has to be looked at."""
        if self._pattern is None:
            return False
        found, count = self._pattern.subn(rb"%b\1\0s\3,\4,,\n" % self._prepend.replace(b"\\", b"\\\\"), text)
        if count < text.count(b"\n") or found.startswith(_OWN) or b"\n" + _OWN in found:
            return False
        self._lines += found.splitlines(keepends=True)
        return True

    def _take(self, name: bytes, size: int, mtime: int | None, sums: dict[str, str]) -> None:
        if not name.startswith(self._strip):
            self.left_out += 1
            return
        pfn = self._prepend + name[len(self._strip) :]
        if not pfn.startswith(self._under) or not pfn:
            self.left_out += 1
        elif not pfn.startswith(_OWN):
            self._lines.append(object_line(pfn, size, mtime, sums))


def _plain_lines(strip: bytes, prepend: bytes, under: bytes) -> re.Pattern[bytes] | None:
    """For lines as nearly all are; None where it can't tell whether they are wanted."""
    if key(prepend) != prepend or not (prepend.startswith(under) or under.startswith(prepend)):
        return None
    more = under[len(prepend) :]
    return re.compile(
        rb"(?m)^%b(%b[!-~\x80-\xff]{1,4096})([\t ])(0|[1-9][0-9]{0,17})(?:\2([0-9a-f]{8}))?\n"
        % (re.escape(strip), re.escape(more))
    )


class _Text:
    def __init__(
        self, take: Callable[[bytes, int, int | None, dict[str, str]], None], plain: Callable[[bytes], bool]
    ) -> None:
        self._take, self._plain = take, plain
        self._rest = b""
        self._number = 0

    def feed(self, piece: bytes) -> None:
        whole, newline, rest = piece.rpartition(b"\n")
        if not newline:
            self._rest += piece
        else:
            text = self._rest + whole + newline
            if self._plain(text):
                self._number += text.count(b"\n")
            else:
                for line in text.split(b"\n")[:-1]:
                    self._line(line)
            self._rest = rest
        if len(self._rest) > LONGEST:
            raise InvalidRequest(f"line {self._number + 1}: it is longer than {LONGEST} bytes")

    def finish(self) -> None:
        if self._rest:
            raise InvalidRequest(f"line {self._number + 1}: it has no end: is the dump whole?")

    def _line(self, line: bytes) -> None:
        self._number += 1
        parts = line.rstrip(b"\r").split(b"\t") if b"\t" in line else line.split()
        if not parts:
            return
        if len(line) > LONGEST:
            raise InvalidRequest(f"line {self._number}: it is longer than {LONGEST} bytes")
        if not 2 <= len(parts) <= 3 or not parts[0]:
            raise InvalidRequest(
                f"line {self._number}: it must be 'PFN size' or 'PFN size adler32', with TABs where a name has blanks"
            )
        if not _SIZE.fullmatch(parts[1]) or (size := int(parts[1])) > MOST:
            raise InvalidRequest(f"line {self._number}: {parts[1][:40]!r} is no size in bytes")
        sums = {}
        if len(parts) == 3 and parts[2] not in (b"", b"-"):
            if not _ADLER32.fullmatch(parts[2]):
                raise InvalidRequest(f"line {self._number}: {parts[2][:40]!r} is no adler32")
            sums["adler32"] = checksum.normalise("adler32", parts[2].decode())
        self._take(parts[0], size, None, sums)
