"""Bytes of one file over HTTP: a response from one source, and a stream that survives its sources."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..model import errors
from ..model.checksum import WIDTH, Digest, differing
from ..model.lfn import parse, shown
from .retry import FIRST, MOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from ..model.file import Checksums
    from ..model.replica import Resolved
    from .http import Http

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Mismatch(errors.CatalogError):
    """A source gave other bytes than the catalogue knows."""

    code = "checksum_mismatch"


def data_path(lfn: str) -> str:
    """Raises InvalidRequest for what is no LFN."""
    return "/v1/data" + quote(parse(lfn), safe="/")


@asynccontextmanager
async def opened(
    http: Http, lfn: str, se: str | None, guid: str | None, start: int = 0, end: int | None = None
) -> AsyncIterator[tuple[aiohttp.ClientResponse, int]]:
    """(response, where its body begins): `start`, or 0 when the server gives the whole. `end` is exclusive. One
    attempt."""
    last = "" if end is None else str(end - 1)
    headers = {"Range": f"bytes={start}-{last}"} if start or last else {}
    async with http.stream("GET", data_path(lfn), params={"se": se}, headers=headers, elsewhere=True) as response:
        there = response.headers.get("X-Lading-Guid")
        if guid and there and there != guid:
            raise errors.Conflict(f"'{shown(lfn)}' is another file now than when it was looked up", lfn=lfn)
        if "Content-Encoding" in response.headers and str(response.url).startswith(http.credentials.url):
            raise errors.CatalogError(f"a proxy before {http.credentials.url} changes the bytes (Content-Encoding)")
        if response.status != 206:
            yield response, 0
            return
        part = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not headers or not part or int(part[1]) != start or (end is not None and int(part[2]) >= end):
            raise errors.CatalogError("another range of bytes came than was asked for")
        yield response, start


async def whole(http: Http, lfn: str, file: Resolved) -> AsyncIterator[bytes]:
    """The bytes of a file from its best source; when one fails the next continues where it stopped.

    Raises Mismatch at the end when the whole has another checksum than the catalogue knows: what came is then
    worthless.
    """
    if not file.sources:
        raise errors.Unavailable(f"'{shown(lfn)}' cannot be read: {file.why or 'it has no replica'}", lfn=lfn)
    digest = Digest(verifiable(file.checksums))
    offset = idle = 0
    while True:
        for source in file.sources:
            before = offset
            try:
                async with opened(http, lfn, source.se, file.guid, offset) as (response, start):
                    at = start
                    while chunk := await response.content.readany():
                        fresh = chunk[max(0, offset - at) :]
                        at += len(chunk)
                        if fresh:
                            offset += len(fresh)
                            digest.update(fresh)
                            yield fresh
                check(file, digest.result(), offset)
                return
            except Mismatch:
                raise
            except errors.CatalogError as error:
                fault = error
            idle = 0 if offset > before else idle
        idle += 1
        if idle >= http.tries or not fault.retryable:
            raise fault
        await asyncio.sleep(min(MOST, FIRST * 2**idle))


def verifiable(checksums: Checksums) -> list[str]:
    """The kinds among `checksums` that can be computed here."""
    return [kind for kind in checksums if kind in WIDTH]


def check(file: Resolved, sums: Checksums, size: int) -> None:
    """Raises Mismatch unless size and checksums are those of the catalogue."""
    if file.size is not None and size != file.size:
        raise Mismatch(f"{size} bytes came, the catalogue says {file.size}")
    for kind in differing(file.checksums, sums):
        raise Mismatch(f"its {kind} is {sums[kind]}, the catalogue says {file.checksums[kind]}")
