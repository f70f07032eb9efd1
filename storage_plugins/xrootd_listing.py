"""Folders of an XRootD server, listed in such a way that the client survives what it is told.

The client (6.2) drops an answer that Python objects cannot be made of, as of a name that is not UTF-8, or that it
cannot parse, as of a name with a line break. Where it was to hand on the answer in parts (`DirListFlags.CHUNKED`), the
next part is then a segmentation fault; so that is never asked for. In one piece 100,000 files with their sizes take
350 MB, and half a second in which nothing else runs; their names alone 100 MB and a tenth of a second. So in a large
folder each file is asked for by itself, with many questions under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from XRootD.client.flags import DirListFlags, StatInfoFlags

from .base import ObjectInfo
from .errors import InvalidPath, ObjectNotFound, Transient
from .inflight import Requests
from .paths import shown
from .xrootd_links import Link, NoAnswer

if TYPE_CHECKING:
    pass

LONGEST = 254  # bytes of a name: of one of 255 a listing tells 254
_MANY = 10_000  # entries of a large folder
_QUESTIONS = 64  # under way


class Entry(NamedTuple):
    """A file in a folder; or a folder, whose name ends with a slash, so that names sort as what is below them does."""

    name: bytes
    info: ObjectInfo | None


async def listing(link: Link, path: str, pfn: str, start: bytes = b"") -> list[Entry]:
    """Files and folders in the folder at `path`, `pfn` to people, whose names begin with `start`, in no order. What is
    neither is passed over. Raises ObjectNotFound; InvalidPath for a name that is too long to be told, Transient for one
    that is not UTF-8 or has a line break."""
    try:
        names = await link.ask(link.fs.dirlist, link.signed(path), pfn=pfn, convert=_names)
        wanted = {name for name in names if name.startswith(start)}
        told: dict[bytes, Any] = dict.fromkeys(wanted)
        if wanted and len(names) <= _MANY:
            stats = await link.ask(link.fs.dirlist, link.signed(path), DirListFlags.STAT, pfn=pfn, convert=_stats)
            told = {name: stat for name, stat in stats.items() if name.startswith(start)}
    except NoAnswer:
        message = f"no answer about the folder '{shown(pfn)}': is there a name in it that is not UTF-8?"
        raise Transient(message, pfn=pfn) from None
    entries = [entry for name, stat in told.items() if stat and (entry := _entry(name, stat))]
    asked: Requests[Entry | None] = Requests(_QUESTIONS)
    try:
        names = (name for name, stat in told.items() if not stat)
        while (name := next(names, None)) or asked:
            if name:
                asked.add(_looked(link, path, pfn, name))
            if (not name or len(asked) == asked.limit) and (entry := await asked.next()):
                entries.append(entry)
    finally:
        await asked.cancel()
    return entries


async def _looked(link: Link, folder: str, pfn: str, name: bytes) -> Entry | None:
    """None for what is no file or folder, was removed since it was listed, or leads nowhere."""
    try:
        return _entry(name, await link.path("stat", f"{folder.rstrip('/')}/{name.decode()}"))
    except ObjectNotFound:
        if len(name) >= LONGEST:
            raise InvalidPath(f"there is a name longer than {LONGEST} bytes in '{shown(pfn)}'", pfn=pfn) from None
        return None


def _entry(name: bytes, stat: Any) -> Entry | None:
    if stat.flags & StatInfoFlags.IS_DIR:
        return Entry(name + b"/", None)
    return None if stat.flags & StatInfoFlags.OTHER else Entry(name, info_of(stat))


def info_of(stat: Any) -> ObjectInfo:
    return ObjectInfo(stat.size, stat.modtime * 10**6)


def _names(told: Any) -> list[bytes]:
    return [entry.name.encode() for entry in told or ()]


def _stats(told: Any) -> dict[bytes, Any]:
    """What was told about each name; None where that says nothing."""
    return dict(_stat(entry) for entry in told or ())


def _stat(told: Any) -> tuple[bytes, Any]:
    name, stat = told.name.encode(), told.statinfo
    # All zeros: the server could not look. And the name may be cut short.
    known = stat and len(name) < LONGEST and (stat.flags or stat.modtime or stat.size)
    return name, stat if known else None
