"""The bytes of a file by its name: `curl -L -H "Authorization: Bearer $TOKEN" URL/v1/data/vo/file`."""

from __future__ import annotations

import asyncio
import email.utils
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from doors.http.door import last
from doors.http.routes import Answer, Call, Route
from doors.http.sendfile import sendfile
from lading import wire
from lading.model import checksum
from lading.model.api import Complete, NewUpload, Upload
from lading.model.errors import InvalidRequest
from lading.model.file import Entry, Metadata, Registered
from lading.model.lfn import split
from lading.model.replica import Resolved
from storage_plugins.base import Chunk
from storage_plugins.errors import StorageError
from transfer.data import Reading
from transfer.uploads import storage_fault

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class DataQuery(Struct, forbid_unknown_fields=True):
    """`se` picks an element; `site` is where the reader is."""

    se: str | None = None
    site: str | None = None


async def get(call: Call[None, DataQuery]) -> web.StreamResponse:
    """200 with the whole file, 206 with one range of it; 304, 412 and 416 as RFC 9110 has them."""
    request = call.request
    reading = await call.services.data.open(
        call.caller, "/" + call.params["lfn"], site=call.query.site, element=call.query.se
    )
    try:
        tag = etag(reading.file)
        headers = _headers(reading, tag)
        if "If-Match" in request.headers and not _names(request.headers["If-Match"], tag):
            raise web.HTTPPreconditionFailed(text="the file there now is another one", headers={"ETag": tag})
        if _names(request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers={"ETag": tag})
        fresh = request.headers.get("If-Range", tag) == tag
        span = _span(request.headers.get("Range") if fresh else None, reading.size)
        if span is None:
            raise web.HTTPRequestRangeNotSatisfiable(
                text=f"the file has {reading.size} bytes, and none of those asked for",
                headers={"Content-Range": f"bytes */{reading.size}"},
            )
        start, stop, partial = span
        if partial:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{reading.size}"
        response = web.StreamResponse(status=206 if partial else 200, headers=headers)
        response.content_length = stop - start
        writer = await response.prepare(request)
        if request.method != "HEAD" and reading.local is not None and writer is not None:
            await sendfile(request, writer, reading.local, start, stop)
        elif request.method != "HEAD":
            async with aclosing(reading.chunks(start, stop)) as chunks:
                async for chunk in chunks:
                    await response.write(chunk)
        await response.write_eof()
        return response
    except StorageError as error:
        raise storage_fault(error, reading.source.se) from error
    finally:
        if reading.local is not None:
            await asyncio.to_thread(reading.local.close)


def etag(file: Resolved) -> str:
    """A strong one: content never changes, so the best checksum (or the GUID) names it."""
    for kind in ("sha512", "sha256", "md5", "adler32"):
        if kind in file.checksums:
            return f'"{kind}:{file.checksums[kind]}"'
    return f'"guid:{file.guid}"'


def _names(header: str, tag: str) -> bool:
    """Whether a list of entity tags has this one; `*` has every one."""
    return "*" in (tags := [t.strip().removeprefix("W/") for t in header.split(",")]) or tag in tags


def _headers(reading: Reading, tag: str) -> dict[str, str]:
    name = split(reading.lfn)[1]
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "_", name)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{plain}"; filename*={email.utils.encode_rfc2231(name, "utf-8")}',
        "X-Content-Type-Options": "nosniff",
        "X-Lading-Guid": reading.file.guid or "",
        "X-Lading-Element": reading.source.se,
    }
    if reading.file.checksums:
        headers["X-Lading-Checksums"] = ",".join(f"{k}:{v}" for k, v in sorted(reading.file.checksums.items()))
    if "adler32" in reading.file.checksums:
        headers["Digest"] = f"adler32={reading.file.checksums['adler32']}"  # RFC 3230, as grid storage has it
    return headers


def _span(header: str | None, size: int) -> tuple[int, int, bool] | None:
    """(start, stop, is it a part) of one byte range; several ranges or another unit: the whole. None: not satisfiable."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return 0, size, False
    first, last = match.groups()
    if len(first) > 20 or len(last) > 20:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return 0, size, False
    return (start, stop, True) if start < stop else None


async def put(call: Call[None, DataQuery]) -> Any:
    """Store the body. 201 with the Entry; 200 when this element had the same file already. X-Lading-Element names it."""
    request = call.request
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidRequest("send the bytes as they are, without Content-Encoding: a file is what its checksum says")
    spec = NewUpload(
        "/" + call.params["lfn"],
        request.content_length if request.content_length is not None else -1,
        _promised(request.headers.get("X-Lading-Checksums", "")),
        call.query.se,
        request.headers.get("X-Lading-Guid"),
        _mode(request.headers.get("X-Lading-Mode")),
        _metadata(request.headers.get("X-Lading-Metadata")),
        call.query.site,
    )
    async with aclosing(_body(request)) as chunks:
        registered, new, element = await call.services.data.put(call.caller, spec, chunks)
    entry = (await call.services.names.stat_one(call.caller, spec.lfn)) or Entry(spec.lfn, guid=registered.guid)
    return Answer(entry, 201 if new else 200, {"X-Lading-Element": element})


async def _body(request: web.Request) -> AsyncGenerator[Chunk, None]:
    """The body in the pieces it arrives in. A client that leaves before its end is an error, never a short file."""
    size = request.content_length or 0
    transport = wire.bare(request.transport) if size >= wire.WORTH else None
    if transport is None:
        async for piece in request.content.iter_any():
            yield piece
        return
    last(request)
    try:
        async with aclosing(wire.body(transport, request.content, size)) as pieces:
            async for large in pieces:
                yield large
    except ConnectionError:
        transport.abort()  # aiohttp does not know yet that there is nobody to answer
        raise
    request.content.feed_eof()  # it waits for the rest of the body else


def _promised(header: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (p.strip() for p in header.split(","))):
        kind, _, value = part.partition(":")
        try:
            found[kind] = checksum.normalise(kind, value)
        except ValueError as error:
            raise InvalidRequest(f"X-Lading-Checksums: {error}") from None
    return found


def _mode(header: str | None) -> int | None:
    if header is None:
        return None
    if not re.fullmatch(r"0?[0-7]{3,4}", header):
        raise InvalidRequest("X-Lading-Mode is an octal mode such as 0640")
    return int(header, 8)


def _metadata(header: str | None) -> Metadata:
    if not header:
        return {}
    try:
        return msgspec.json.decode(header, type=dict[str, Any])
    except msgspec.DecodeError:
        raise InvalidRequest("X-Lading-Metadata is a JSON object") from None


async def begin(call: Call[NewUpload]) -> Upload:
    return await call.services.direct.begin(call.caller, call.body)


async def complete(call: Call[Complete]) -> Registered:
    return await call.services.direct.complete(call.caller, call.params["id"], call.body)


async def abort(call: Call[None]) -> None:
    await call.services.direct.abort(call.caller, call.params["id"])


ROUTES = [
    Route("GET", "/v1/data/{lfn:(?s:.+)}", get, "user", "Download a file", query=DataQuery, gives="application/octet-stream", also=(206,), tag="Data"),
    Route("PUT", "/v1/data/{lfn:(?s:.+)}", put, "user", "Upload a file", query=DataQuery, answer=Entry, takes="application/octet-stream", status=201, also=(200,), tag="Data"),
    Route("POST", "/v1/uploads", begin, "user", "Begin an upload straight to the element", body=NewUpload, answer=Upload, tag="Data"),
    Route("POST", "/v1/uploads/{id}/complete", complete, "user", "End an upload: verify and register", body=Complete, answer=Registered, tag="Data"),
    Route("DELETE", "/v1/uploads/{id}", abort, "user", "Give up an upload", status=204, tag="Data"),
]  # fmt: skip
