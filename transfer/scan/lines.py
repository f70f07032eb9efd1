"""What is known of a PFN from one side, as a line of bytes that sorts by the PFN.

    key NUL tag [fields] LF

`key` is the PFN's bytes with NUL to LF escaped so that keys sort as the PFNs do. The tags: `a` a replica before the
storage was looked at, `b` one afterwards, `d` an open deletion, `s` an object on storage, `u` an upload under way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BEFORE, AFTER, DELETION, OBJECT, UPLOAD = b"a", b"b", b"d", b"s", b"u"
_LOW = re.compile(rb"[\x00-\x0a]")
_ESCAPED = re.compile(rb"\x01([\x10-\x1a])")
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


def replica(pfn: str, facts: str) -> bytes:
    """`facts` as `ScanStore.replicas` gives them."""
    return b"%b\0b%b\n" % (key(pfn.encode()), facts.encode())


def object_line(pfn: bytes, size: int, mtime: int | None, checksums: str = "") -> bytes:
    return b"%b\0s%d,%b,%b\n" % (key(pfn), size, b"" if mtime is None else b"%d" % mtime, checksums.encode())


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


def places(lines: Iterable[bytes]) -> Iterator[Place]:
    """Lines in order, put together by their keys."""
    current: bytes | None = None
    facts: list[bytes] = []
    for line in lines:
        name, _, fact = line.partition(b"\0")
        if name != current:
            if current is not None:
                yield _place(current, facts)
            current, facts = name, []
        facts.append(fact)
    if current is not None:
        yield _place(current, facts)


def _place(name: bytes, facts: list[bytes]) -> Place:
    before = uploading = deleting = False
    replicas: list[Replica] = []
    objects: list[Object] = []
    for fact in facts:
        tag = fact[:1]
        if tag == BEFORE:
            before = True
        elif tag == OBJECT:
            size, mtime, sums = fact[1:-1].split(b",", 2)
            objects.append(Object(int(size), int(mtime) if mtime else None, _sums(sums)))
        elif tag == AFTER:
            number, length, adler32, state, ctime, more = fact[1:-1].split(b",", 5)
            known = _sums(more)
            if adler32:
                known["adler32"] = adler32.decode()
            replicas.append(Replica(int(number), int(length) if length else None, int(state), int(ctime), known))
        elif tag == UPLOAD:
            uploading = True
        else:
            deleting = True
    return Place(name, before, replicas, objects, uploading, deleting)


def _sums(text: bytes) -> dict[str, str]:
    """`md5:hex,sha256:hex`."""
    return dict(part.split(":", 1) for part in text.decode().split(",")) if text else {}


def told(pfn: bytes) -> tuple[str, str | None]:
    """(a PFN as JSON can have it, its bytes percent-encoded where that is not the same)."""
    try:
        return pfn.decode(), None
    except UnicodeDecodeError:
        return pfn.decode("utf-8", "backslashreplace"), quote_from_bytes(pfn)
