"""A part of a local file to a client by sendfile(2): the bytes never come into this process."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, BinaryIO

from storage_plugins.errors import StorageError

if TYPE_CHECKING:
    import socket

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web import BaseRequest

_BURST = 16 << 20  # bytes a thread sends at most before it looks whether anybody still wants them
_LINUX_MOST = 0x7FFFF000  # what one sendfile(2) moves at most


async def sendfile(request: BaseRequest, writer: AbstractStreamWriter, file: BinaryIO, start: int, stop: int) -> None:
    """Send the bytes from `start` to `stop` after the headers of a prepared response. No TLS: a proxy has that.

    A slow client holds no thread: a burst goes as far as the socket takes it, the wait for more room is the loop's.
    Raises StorageError when the file is shorter than that, ConnectionError when the client left.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client left")
    # Nothing of the headers may still wait in the transport when the kernel is handed the bytes behind them.
    low, high = transport.get_write_buffer_limits()
    transport.set_write_buffer_limits(0)
    writer.send_headers()
    await writer.drain()
    transport.set_write_buffer_limits(high, low)
    # A copy of the descriptor stays this connection's, whatever becomes of the transport.
    with transport.get_extra_info("socket").dup() as connection:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        while start < stop:
            burst = loop.run_in_executor(None, _burst, connection.fileno(), file.fileno(), start, stop)
            try:
                start = await asyncio.shield(burst)
            finally:
                await asyncio.wait([burst])  # cancelled: it is at the descriptors still
            if start < stop:
                await _writable(loop, connection)


def _burst(connection: int, file: int, start: int, stop: int) -> int:
    """How far it got before the socket was full. Blocks for the disk alone."""
    end = min(stop, start + _BURST)
    while start < end:
        try:
            sent = os.sendfile(connection, file, start, min(end - start, _LINUX_MOST))
        except BlockingIOError:
            break
        if not sent:
            raise StorageError("the object became shorter while it was read")
        start += sent
    return start


async def _writable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_writer(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(connection.fileno())
