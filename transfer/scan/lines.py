"""What is known of a PFN from one side, as a line of bytes that sorts by the PFN.

    key NUL tag [fields] LF

`key` is the PFN's bytes with NUL to LF escaped so that keys sort as the PFNs do. The tags: `a` a replica before the
storage was looked at, `b` one afterwards, `d` an open deletion, `s` an object on storage, `u` an upload under way.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_from_bytes

from lading.model.errors import InvalidRequest
from storage_plugins.base import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BEFORE, AFTER, DELETION, OBJECT, UPLOAD = b"a", b"b", b"d", b"s", b"u"
_LOW = re.compile(rb"[\x00-\x0a]")
_ESCAPED = re.compile(rb"\x01([\x10-\x1a])")
_ODD = re.compile(rb"[\x00-\x08\x0b-\x1f\\\\]")  # what a row of COPY seldom has beside TAB and LF
_COPIED = re.compile(rb"\\(.)", re.S)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_OVER_AND_OVER = 100_000
_SHIFT = 0x10  # past LF: no escape holds what it escapes; and all begin with 01, the lowest byte left


def key(pfn: bytes) -> bytes:
    """A PFN's bytes as a key: free of NUL and LF, in the same order."""
    return _LOW.sub(lambda m: bytes((1, m[0][0] + _SHIFT)), pfn) if _LOW.search(pfn) else pfn


def unkey(text: bytes) -> bytes:
    """The PFN's bytes again."""
    return _ESCAPED.sub(lambda m: bytes((m[1][0] - _SHIFT,)), text) if b"\x01" in text else text


def mark(pfn: str, tag: bytes) -> bytes:
    """A line that says no more than its tag."""
    return b"%b\0%b\n" % (key(pfn.encode()), tag)


def copied(rows: bytes, tag: bytes) -> list[bytes]:
    """Whole rows of PostgreSQL's COPY, `PFN TAB fields LF`, as lines. COPY writes what would end either with a `\\`."""
    if _ODD.search(rows):
        return [_copied(row, tag) for row in rows.split(b"\n")[:-1]]
    return rows.replace(b"\t", b"\0" + tag).splitlines(keepends=True)


def _copied(row: bytes, tag: bytes) -> bytes:
    pfn, _, fields = row.partition(b"\t")
    plain = _COPIED.sub(lambda m: _LETTERS.get(m[1], m[1]), pfn)
    return b"%b\0%b%b\n" % (key(plain), tag, fields)


def object_line(pfn: bytes, size: int, mtime: int | None, checksums: Mapping[str, str] = NONE) -> bytes:
    known = dict(checksums)
    first, at = known.pop("adler32", ""), "" if mtime is None else mtime
    return b"%b\0s%b\n" % (key(pfn), f"{size},{first},{at},{','.join(f'{k}:{known[k]}' for k in known)}".encode())


class Replica(NamedTuple):
    """`state` is a position in `lading.model.replica.STATES`; `checksums` is {kind: hex}."""

    id: int
    size: int | None
    state: int
    ctime: int
    checksums: dict[str, str]


class Object(NamedTuple):
    size: int
    mtime: int | None
    checksums: dict[str, str]


class Place(NamedTuple):
    """All that is known of one PFN. `before`: the catalogue had it before the storage was looked at."""

    key: bytes
    before: bool
    replicas: list[Replica]
    objects: list[Object]
    uploading: bool
    deleting: bool


def groups(lines: Iterable[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Lines in order, put together by their keys: (key, what stands behind each NUL)."""
    current, facts = b"\n", [b""]  # no key holds a newline
    for line in lines:
        name, _, fact = line.partition(b"\0")
        if name == current:
            facts.append(fact)
        else:
            if current != b"\n":
                yield current, facts
            current, facts = name, [fact]
    if current != b"\n":
        yield current, facts


def whole(batches: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Batches of lines in order, cut where keys end. Raises InvalidRequest for a name that is told over and over."""
    rest: list[bytes] = []
    for batch in batches:
        lines = rest + batch
        at = bisect_left(lines, lines[-1].partition(b"\0")[0] + b"\0")
        rest = lines[at:]
        if len(rest) > _OVER_AND_OVER:
            name = told(unkey(rest[0].partition(b"\0")[0]))[0]
            raise InvalidRequest(f"the storage or its dump tells more than {_OVER_AND_OVER} times of '{name[:500]}'")
        if at:
            yield lines[:at]
    if rest:
        yield rest


def plain(facts: list[bytes]) -> int | None:
    """The size of what is the same on both sides, available, and nothing else known of it; as nearly all is."""
    if facts[-1][:1] != OBJECT or not (len(facts) == 2 or (len(facts) == 3 and facts[0][:1] == BEFORE)):
        return None
    size, adler32, _, sums = facts[-1].split(b",", 3)
    replica = facts[-2].split(b",", 5)
    if replica[0][:1] != AFTER or replica[0][1:] != size[1:] or replica[3] != b"0":
        return None
    if (adler32 and replica[1] and adler32 != replica[1]) or (len(sums) > 1 and len(replica[5]) > 1):
        return None
    return int(size[1:])


def place(name: bytes, facts: list[bytes]) -> Place:
    """All that the facts say."""
    before = uploading = deleting = False
    replicas: list[Replica] = []
    objects: list[Object] = []
    for fact in facts:
        tag = fact[:1]
        if tag == BEFORE:
            before = True
        elif tag == OBJECT:
            size, adler32, mtime, more = fact[1:-1].split(b",", 3)
            objects.append(Object(int(size), int(mtime) if mtime else None, _sums(adler32, more)))
        elif tag == AFTER:
            length, adler32, number, state, ctime, more = fact[1:-1].split(b",", 5)
            size_known = int(length) if length else None
            replicas.append(Replica(int(number), size_known, int(state), int(ctime), _sums(adler32, more)))
        elif tag == UPLOAD:
            uploading = True
        else:
            deleting = True
    return Place(name, before, replicas, objects, uploading, deleting)


def _sums(adler32: bytes, more: bytes) -> dict[str, str]:
    """`more` is `md5:hex,sha256:hex`."""
    known = dict(part.split(":", 1) for part in more.decode().split(",")) if more else {}
    return known | {"adler32": adler32.decode()} if adler32 else known


def told(pfn: bytes) -> tuple[str, str | None]:
    """(a PFN as JSON can have it, its bytes percent-encoded where that is not the same)."""
    try:
        return pfn.decode(), None
    except UnicodeDecodeError:
        return pfn.decode("utf-8", "backslashreplace"), quote_from_bytes(pfn)
