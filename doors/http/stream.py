"""Long answers, a line at a time (NDJSON), at the pace of the reader and in constant memory."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web

from lading.model.errors import CatalogError

from . import problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .routes import Call

MEDIA_TYPE = "application/x-ndjson"
_ENCODER = msgspec.json.Encoder()
_log = structlog.get_logger("lading.http")


def wanted(call: Call[Any, Any]) -> bool:
    """True when the caller asked for NDJSON."""
    return MEDIA_TYPE in call.request.headers.get("Accept", "")


async def stream(call: Call[Any, Any], batches: AsyncGenerator[bytes | Sequence[Any], None]) -> web.StreamResponse:
    """Send batches (whole lines as bytes, or values to be one line each) as they come.

    An error before the first batch is the caller's plain problem document. After it the last line is `{"error": Fault}`
    and the connection is cut without the end mark of HTTP, so that nobody takes a cut list for a whole one.
    """
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    async with aclosing(batches):
        first = await anext(batches, b"")
        await response.prepare(call.request)
        if call.request.method == "HEAD":
            return response
        try:
            await response.write(_lines(first))
            async for batch in batches:
                await response.write(_lines(batch))
            await response.write_eof()
        except ConnectionError:
            raise  # the reader left
        except Exception as error:
            await _cut(call, response, error)
            raise
    return response


async def _cut(call: Call[Any, Any], response: web.StreamResponse, error: Exception) -> None:
    fault = problems.fault(error)
    if not isinstance(error, CatalogError):
        fault = msgspec.structs.replace(fault, details={"request_id": call.caller.request_id})
    await response.write(msgspec.json.encode({"error": fault}) + b"\n")


def _lines(batch: bytes | Sequence[Any]) -> bytes:
    return batch if isinstance(batch, bytes) else _ENCODER.encode_lines(batch)
