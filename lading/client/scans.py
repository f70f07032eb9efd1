"""Answers of scans, a line at a time as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..model.errors import Fault, Unavailable, from_fault
from ..model.scan import AdoptSummary, ScanSummary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .http import Http

_SILENT = 900.0  # seconds; a scan tells every second that it lives, but not while it makes up its mind to delete


class _Cut(msgspec.Struct):
    error: Fault


async def lines(
    http: Http, path: str, kind: Any, params: dict[str, Any] | None = None, data: object = None
) -> AsyncIterator[Any]:
    """Every line, a `kind` each, the summary last; `data` is JSON or the pieces of a dump. Nothing is tried again.

    Raises the CatalogError that the answer was cut for, Unavailable when it ended before its end.
    """
    decode = msgspec.json.Decoder(kind).decode
    headers = {
        "Accept": "application/x-ndjson, application/json",
        "Content-Type": "application/json" if isinstance(data, bytes) else "application/octet-stream",
    }
    rest, line = b"", None
    async with http.stream("POST", path, params=params, headers=headers, data=data, wait=_SILENT) as response:
        while part := await response.content.readany():
            *whole, rest = (rest + part).split(b"\n")
            for text in whole:
                if text.startswith(b'{"error"'):
                    raise from_fault(msgspec.json.decode(text, type=_Cut).error)
                line = decode(text)
                yield line
    if rest or not isinstance(line, ScanSummary | AdoptSummary):
        raise Unavailable("the answer ended before its end: run it again")
