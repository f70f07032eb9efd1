"""Elements held against the catalogue, and what lies on them taken in: answers of one JSON object a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from aiohttp import web

from doors.http import stream
from doors.http.routes import Call, Route
from lading.model.scan import Adopt, DumpScan, Scan

_PIECE = 1 << 18


async def scan(call: Call[Scan]) -> Any:
    return await stream.stream(call, call.services.scans.scan(call.caller, call.params["name"], call.body))


async def scan_dump(call: Call[None, DumpScan]) -> Any:
    pieces = _body(call.request)
    return await stream.stream(
        call, call.services.scans.scan_dump(call.caller, call.params["name"], call.query, pieces)
    )


async def adopt(call: Call[Adopt]) -> Any:
    return await stream.stream(call, call.services.adopter.adopt(call.caller, call.params["name"], call.body))


async def _body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces; a client that leaves before its end is an error."""
    while piece := await request.content.read(_PIECE):
        yield piece


_LINES = (
    "Lines of JSON, each with its `kind`: `progress`, the findings `lost`, `dark` and `mismatch`, `fixed` or `kept` for "
    "what was done about them, and at the end one `summary`."
)
_ADOPTED = "Lines of JSON, each with its `kind`: `progress`, `adopted`, `skipped`, and at the end one `summary`."
ROUTES = [
    Route(
        "POST", "/v1/elements/{name}/scan", scan, "admin", "Hold a storage element against the catalogue", body=Scan,
        gives=stream.MEDIA_TYPE, tag="Elements", description=_LINES,
    ),
    Route(
        "POST", "/v1/elements/{name}/scan/dump", scan_dump, "admin", "Hold a list of a storage's objects against the catalogue",
        query=DumpScan, takes="application/octet-stream", gives=stream.MEDIA_TYPE, tag="Elements", description=_LINES,
    ),
    Route(
        "POST", "/v1/elements/{name}/adopt", adopt, "admin", "Register what lies on a storage element", body=Adopt,
        gives=stream.MEDIA_TYPE, tag="Elements", description=_ADOPTED,
    ),
]  # fmt: skip
