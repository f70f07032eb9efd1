"""MODE E of GridFTP (GFD.20, section 3): blocks with their place in the file, over several connections at once.

A block's header is a byte of flags, the count of bytes that follow, and their offset. Each connection ends with a block
flagged EOD. One block flagged EOF says, in place of an offset, over how many connections EODs come: the file is
complete when so many have come.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .errors import StorageError, Transient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .base import Chunk
    from .gridftp_channels import Channel

_HEADER = struct.Struct(">BQQ")
_EOF, _ERROR, _MARKER, _EOD, _LAST = 64, 32, 16, 8, 4
_PIECE = 1 << 18  # bytes of a block that are passed on at once
_WINDOW = 1 << 23  # bytes that may come ahead of what is wanted next
_WIDEST = 1 << 25  # the same, when nothing else comes


class Ordered:
    """Bytes `start` to `end` that come in any order; `next` gives them in theirs. Memory is bounded: a connection that
    is far ahead has to wait, unless all are: then the window grows, up to a limit."""

    def __init__(self, start: int, end: int | None, patience: float) -> None:
        """`end` is None when nobody knows it before; `patience` is for the bytes that are wanted next, in seconds."""
        self.head = start
        self.end = end
        self._patience = patience
        self._window = _WINDOW
        self._waiting = 0
        self._pieces: dict[int, Chunk] = {}
        self._changed = asyncio.Event()
        self.open = 0  # connections that bring something

    def expect(self, offset: int, size: int) -> None:
        """Raises Transient for bytes that were not asked for, or came before."""
        if offset < self.head or (self.end is not None and offset + size > self.end):
            raise Transient("the server sent bytes that are not of what was asked for, or sent them twice")

    async def room(self, offset: int) -> None:
        """Returns when a piece with this offset may come. Raises Transient when those before it do not come."""
        self._waiting += 1
        try:
            while offset >= self.head + self._window:
                if self.head in self._pieces:
                    await self._changed.wait()  # it is the reader who lets us wait
                elif self._waiting == self.open and self._window < _WIDEST:
                    self._window *= 2
                    self.wake()
                else:
                    async with asyncio.timeout(self._patience):
                        await self._changed.wait()
        except TimeoutError:
            raise Transient("the server sends bytes too far from their turn") from None
        finally:
            self._waiting -= 1

    def put(self, offset: int, piece: Chunk) -> None:
        """Errors as `expect`."""
        self.expect(offset, len(piece))
        if offset in self._pieces:
            raise Transient("the server sent bytes twice")
        self._pieces[offset] = piece
        self.wake()

    def next(self) -> Chunk | None:
        """The piece whose turn it is, None when it has not come."""
        piece = self._pieces.pop(self.head, None)
        if piece is not None:
            self.head += len(piece)
            self.wake()
        return piece

    @property
    def complete(self) -> bool:
        return self.end is None or self.head == self.end

    async def changed(self) -> None:
        await self._changed.wait()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Count:
    """Of connections: EODs that have come, and how many there will be."""

    def __init__(self) -> None:
        self.ended = 0
        self.expected: int | None = None

    @property
    def complete(self) -> bool:
        return self.ended == self.expected


async def receive(channel: Channel, into: Ordered, count: Count) -> None:
    """Take what comes over one connection until its EOD. Raises Transient when it ends before."""
    header = bytearray(_HEADER.size)
    into.open += 1
    try:
        while True:
            if not await channel.fill(memoryview(header)):
                raise Transient("a data connection ended before the server said that it was all")
            flags, size, offset = _HEADER.unpack(header)
            if flags & _ERROR:
                raise Transient("the server marked what it sent as faulty")
            if flags & _EOF:
                if not 0 < offset <= 1 << 16 or count.expected is not None:
                    raise StorageError("the server says nonsense about the end of the data")
                count.expected = offset
            elif size and flags & _MARKER:
                await _skip(channel, size)
            elif size:
                await _take(channel, into, size, offset)
            if flags & _EOD:
                count.ended += 1
                return
    finally:
        into.open -= 1


async def _take(channel: Channel, into: Ordered, size: int, offset: int) -> None:
    into.expect(offset, size)
    while size:
        await into.room(offset)
        piece = bytearray(min(size, _PIECE))
        if not await channel.fill(memoryview(piece)):
            raise Transient("a data connection ended in the middle of a block")
        into.put(offset, piece)
        size -= len(piece)
        offset += len(piece)
        await asyncio.sleep(0)  # others have their turn even if the network is faster than we are


async def _skip(channel: Channel, size: int) -> None:
    while size:
        got = await channel.receive(min(size, _PIECE))
        if not got:
            raise Transient("a data connection ended in the middle of a block")
        size -= len(got)


async def send(channels: Sequence[Channel], batches: AsyncGenerator[list[Chunk], None]) -> int:
    """Send a file from its start over all connections, whichever is free; returns its size. What `batches` raises goes
    through."""
    queue: asyncio.Queue[tuple[int, list[Chunk]] | None] = asyncio.Queue(1)

    async def sender(channel: Channel) -> None:
        while (block := await queue.get()) is not None:
            offset, chunks = block
            await channel.send(_HEADER.pack(0, sum(map(len, chunks)), offset))
            for chunk in chunks:
                await channel.send(chunk)
        if channel is channels[0]:
            await channel.send(_HEADER.pack(_EOF, 0, len(channels)))
        await channel.send(_HEADER.pack(_EOD | _LAST, 0, 0))

    offset = 0
    async with together() as group:
        for channel in channels:
            group.create_task(sender(channel))
        async for batch in batches:
            await queue.put((offset, batch))
            offset += sum(map(len, batch))
        for _ in channels:
            await queue.put(None)
    return offset


@asynccontextmanager
async def together() -> AsyncGenerator[asyncio.TaskGroup, None]:
    """A group of tasks; the first error of one, or inside, ends all and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
