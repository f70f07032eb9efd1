"""The probe that suits most elements: use it a little."""

from __future__ import annotations

import secrets
import time
from contextlib import aclosing

from lading.model.checksum import Digest

from .base import RESERVED, Element, ProbeReport
from .chunks import chunked
from .errors import ObjectNotFound, StorageError, Transient
from .powers import ReportsUsage, SpaceUsage, supports


async def probe_by_use(element: Element, *, write: bool = True) -> ProbeReport:
    """Write, read back, compare and remove `.lading-probe/…`; without `write` only ask for it. Never raises a
    StorageError."""
    began = time.perf_counter()
    pfn = f"{RESERVED}probe/{secrets.token_hex(8)}"
    done = {"read": False, "write": False, "delete": False}
    space = SpaceUsage()
    error: str | None = None
    try:
        try:
            await element.stat(pfn)
        except ObjectNotFound:
            done["read"] = True
        if write:
            await _round_trip(element, pfn, done)
        if supports(element, ReportsUsage):
            space = await element.usage()
    except StorageError as fault:
        error = fault.message
    return ProbeReport(
        ok=error is None,
        **done,
        milliseconds=round((time.perf_counter() - began) * 1e3, 3),
        free_bytes=space.free_bytes,
        total_bytes=space.total_bytes,
        error=error,
    )


async def _round_trip(element: Element, pfn: str, done: dict[str, bool]) -> None:
    data = secrets.token_bytes(4096)
    digest = Digest(["adler32"])
    digest.update(data)
    await element.write(pfn, chunked(data), size=len(data), checksums=digest.result())
    done["write"], done["read"] = True, False
    try:
        async with aclosing(element.read(pfn)) as chunks:
            back = b"".join([bytes(chunk) async for chunk in chunks])
        if back != data:
            raise Transient("a probe object came back with other bytes than were written", pfn=pfn)
        done["read"] = True
    finally:
        await element.remove(pfn)
    done["delete"] = True
