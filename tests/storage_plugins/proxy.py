"""A TCP relay that can fall silent, lose its connections, or be away: what networks do to a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Proxy:
    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._left: int | None = None
        self.cuts = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.resume()
        self.drop()

    def drop(self) -> None:
        """Every connection is reset."""
        for writer in self._writers:
            writer.transport.abort()

    def cut(self, after: int) -> None:
        """Every connection is reset once `after` more bytes have passed."""
        self._left = after

    def stall(self) -> None:
        """Not a byte passes, and nobody is told."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, forth}
            await asyncio.gather(self._pass(reader, forth), self._pass(back, writer))
        writer.close()  # at once where nobody answers behind us

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                if self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self._left = None
                        self.cuts += 1
                        self.drop()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    relay = Proxy(target)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
