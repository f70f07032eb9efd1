"""How much goes into a request to an SFTP server, and files that are closed whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncssh

_WINDOW = 1 << 22  # bytes asked for or sent and not answered yet, per transfer: 4 MiB do for 1 Gbit/s over 30 ms
_BLOCK = 1 << 18  # bytes at most in one request, whatever the server would take


def sizes(limit: int) -> tuple[int, int]:
    """(bytes per request, requests at once) for a server that takes `limit` bytes in one."""
    block = min(limit, _BLOCK)
    return block, max(16, min(128, _WINDOW // block))


async def opened(client: asyncssh.SFTPClient, path: bytes, mode: str) -> asyncssh.SFTPClientFile:
    """An open file whose reads and writes are one request each. A server has few handles: when nobody waits for the
    answer any more, what comes is closed."""
    opening = asyncio.ensure_future(client.open(path, mode, block_size=0))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_forsaken)
        raise


_closing: set[asyncio.Task[None]] = set()


def _forsaken(opening: asyncio.Future[asyncssh.SFTPClientFile]) -> None:
    if not opening.cancelled() and not opening.exception():
        task = asyncio.ensure_future(closed(opening.result()))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def closed(file: asyncssh.SFTPClientFile) -> None:
    """Close it, and do not mind if the connection is gone."""
    with suppress(asyncssh.Error, OSError):
        await file.close()
