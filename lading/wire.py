"""The body of an HTTP/1.1 message straight from its socket, in large pieces.

aiohttp hands a body over in pieces of 64 to 256 KiB that it copied twice: most of the CPU of a large transfer (see
docs/adr/0009-bodies-from-the-socket.md). The connection can carry no other message afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import StreamReader

PIECE = 2 << 20
_AT_ONCE = 1 << 20
WORTH = 8 << 20  # bytes from which a new connection for the next message is the smaller price


def bare(transport: asyncio.BaseTransport | None) -> asyncio.Transport | None:
    """The transport of a body that `body` can take: one over TCP without TLS. None for any other."""
    if transport is None or transport.get_extra_info("sslcontext") or not transport.get_extra_info("socket"):
        return None
    return transport  # type: ignore[return-value]  # uvloop's is no subclass of asyncio.Transport, but is one


async def body(
    transport: asyncio.Transport, content: StreamReader, size: int, *, patience: float | None = None
) -> AsyncGenerator[memoryview, None]:
    """The `size` bytes of a body that nobody has begun to read; every piece is the reader's to keep.

    Raises ConnectionResetError when the other side ends too early, TimeoutError after `patience` seconds without one.
    Given up before the end, `transport` goes on reading into `content`, which never comes to an end.
    """
    transport.pause_reading()
    came = []
    while some := content.read_nowait():
        came.append(some)
    transport.pause_reading()  # `content` had it go on reading, as it has room now
    # A descriptor of our own stays valid whatever becomes of the transport.
    with transport.get_extra_info("socket").dup() as connection:
        connection.setblocking(False)
        try:
            for some in came:
                size -= len(some)
                yield memoryview(some)
            buffers = _Buffers()
            while size:
                piece = buffers.free()[:size]
                count, fault = await _fill(connection, piece, patience)
                size -= count
                if count:
                    yield piece[:count]  # what came before a fault is good
                if fault:
                    raise fault
        finally:
            if size and not transport.is_closing():
                transport.resume_reading()


class _Buffers:
    """Memory for pieces, used again when nobody has the piece: fresh pages cost more than the copy into them."""

    def __init__(self) -> None:
        self._all: list[bytearray] = []

    def free(self) -> memoryview:
        for buffer in self._all:
            if sys.getrefcount(buffer) == _UNUSED:
                return memoryview(buffer)
        self._all.append(bytearray(PIECE))
        return memoryview(self._all[-1])


_UNUSED = 3  # references: the list's, the loop's, getrefcount's; every view of it is one more


async def _fill(connection: socket.socket, piece: memoryview, patience: float | None) -> tuple[int, OSError | None]:
    """(bytes that came, why they are not all)."""
    loop = asyncio.get_running_loop()
    filled = 0
    while filled < len(piece):
        # Woken for every 64 KiB, two processes on one host would mostly wait for each other.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(_AT_ONCE, len(piece) - filled))
        try:
            async with asyncio.timeout(patience):
                count = await loop.sock_recv_into(connection, piece[filled:])
        except TimeoutError as error:
            try:
                count = connection.recv_into(piece[filled:])  # fewer than it waited for
            except BlockingIOError:
                return filled, error
        except OSError as error:
            return filled, error
        if not count:
            return filled, ConnectionResetError("the other side left in the middle of a body")
        filled += count
    return filled, None
