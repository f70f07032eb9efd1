"""Whole transfers between us and a server: which commands, which connections, which verdict."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from .errors import StorageError, Transient
from .gridftp_blocks import Count, Ordered, receive, send, together
from .gridftp_channels import Channel, Listener, connected, passive, port_command, secured
from .gridftp_replies import LONGEST_LINE, Reply, refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from typing import Any

    from .base import Chunk
    from .gridftp import GridftpOptions
    from .gridftp_control import Control

_PER_STREAM = 1 << 22  # bytes that are worth one more connection
_WHY = 5.0  # seconds for the server to say why a data connection broke


@asynccontextmanager
async def under_way(
    control: Control, line: str, pfn: str | None, *, on_reply: Callable[[Reply], None] | None = None
) -> AsyncGenerator[asyncio.Task[None], None]:
    """Inside, the server does the command `line`, and a task waits for its word; a no of it ends what is done inside,
    and is raised. Returns when it has said that all is well. `on_reply` gets what it says before."""
    await control.send(line)

    async def verdict() -> None:
        while (reply := await control.reply()).preliminary:
            if on_reply:
                on_reply(reply)
        if not reply.good:
            raise refused(reply, line.partition(" ")[0], pfn)

    async with together() as group:
        said = group.create_task(verdict())
        try:
            yield said
        except Transient:
            # A no of the server tells more than a broken connection.
            await asyncio.wait({said}, timeout=min(_WHY, control.patience))
            raise
        await asyncio.wait({said}, timeout=control.patience)
        if not said.done():
            raise Transient("the server does not say whether it has all", pfn=pfn)
    control.restarting = False


class Transfers:
    """As the options have it: over how many connections, made by whom."""

    def __init__(self, options: GridftpOptions) -> None:
        self._options = options

    def streams(self, control: Control, size: int | None) -> int:
        """Connections for so many bytes; 0: the server has no MODE E."""
        if "PARALLEL" not in control.features:
            return 0
        return self._options.streams if size is None else min(self._options.streams, 1 + size // _PER_STREAM)

    async def retrieve(self, control: Control, path: str, into: Ordered, *, start: int, end: int, size: int) -> None:
        """Bytes `start` to `end` of a file of `size` bytes."""
        streams = self.streams(control, end - start)
        whole = (start, end) == (0, size)
        part = not whole and "ERET" in control.features
        line = control.command("RETR", path) if not part else control.command(f"ERET P {start} {end - start}", path)
        if streams and whole and not self._options.passive:  # of a part, servers differ in what they count offsets from
            await self._retrieve_blocks(control, line, into, streams)
        else:
            await self._retrieve_stream(control, line, into, 0 if part else start)

    async def _retrieve_blocks(self, control: Control, line: str, into: Ordered, streams: int) -> None:
        await control.set("MODE E")
        await control.set(f"OPTS RETR Parallelism={streams},{streams},{streams};")
        listener = Listener(control.here, self._options.listening)
        try:
            await control.do(port_command(*listener.address))
            async with under_way(control, line, None):
                await self._incoming(control, listener, into)
        finally:
            listener.close()

    async def _incoming(self, control: Control, listener: Listener, into: Ordered) -> None:
        """Take blocks over the connections that the server makes, until it has said that it was all."""
        options = self._options
        count = Count()

        async def accept() -> Channel:
            return await listener.accept(control, patience=options.timeout, other_hosts=options.other_hosts)

        async def take(channel: Channel) -> None:
            try:
                await receive(await secured(channel, control, ours=False), into, count)
            finally:
                channel.close()

        accepting = asyncio.create_task(accept())
        taking: set[asyncio.Task[None]] = set()
        try:
            while not count.complete:
                wait = None if taking else options.timeout
                done, _ = await asyncio.wait({accepting, *taking}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    host, port = listener.address
                    raise Transient(
                        f"the server did not connect to {host}, port {port}, for data: set the option 'passive' if it"
                        " cannot"
                    )
                if accepting in done:
                    taking.add(asyncio.create_task(take(accepting.result())))
                    accepting = asyncio.create_task(accept())
                for task in done & taking:
                    taking.discard(task)
                    task.result()
        finally:
            for task in (accepting, *taking):
                task.cancel()
            await asyncio.gather(accepting, *taking, return_exceptions=True)
            if accepting.done() and not accepting.cancelled() and not accepting.exception():
                accepting.result().close()

    async def _retrieve_stream(self, control: Control, line: str, into: Ordered, skip: int) -> None:
        """Over one connection that we make. Its end is the end of the data, and what was not asked for is left."""
        await control.set("MODE S")
        host, port = await passive(control, other_hosts=self._options.other_hosts)
        channel = await connected(host, port, self._options.timeout)
        try:
            if skip:
                await control.restart(str(skip))
            with suppress(_Enough):
                async with under_way(control, line, None):
                    await _flow(await secured(channel, control, ours=True), into)
        finally:
            channel.close()

    async def store(
        self, control: Control, path: str, batches: AsyncGenerator[list[Chunk], None], *, size: int | None
    ) -> int:
        """A new file; returns how many bytes were sent."""
        streams = self.streams(control, size)
        await control.set("MODE E" if streams else "MODE S")
        host, port = await passive(control, other_hosts=self._options.other_hosts)
        channels: list[Channel] = []

        async def connect() -> Channel:
            channel = await connected(host, port, self._options.timeout)
            channels.append(channel)
            return await secured(channel, control, ours=True)

        try:
            async with under_way(control, control.command("STOR", path), None):
                async with together() as group:
                    made = [group.create_task(connect()) for _ in range(streams or 1)]
                secure = [task.result() for task in made]
                if streams:
                    return await send(secure, batches)
                sent = 0
                async for batch in batches:
                    for chunk in batch:
                        await secure[0].send(chunk)
                        sent += len(chunk)
                channels[0].close()
                return sent
        finally:
            for channel in channels:
                channel.close()

    async def lines(self, control: Control, line: str) -> AsyncGenerator[bytes, None]:
        """What a command such as MLSD tells over a data connection, in whole lines."""
        into = Ordered(0, None, control.patience)
        left = b""
        async with aclosing(drawn(into, self._retrieve_stream(control, line, into, 0))) as pieces:
            async for piece in pieces:
                *whole, left = (left + bytes(piece)).split(b"\r\n")
                for one in whole:
                    yield one
                if len(left) > LONGEST_LINE:
                    raise StorageError("the server's listing has no lines")
        if left:
            yield left


async def _flow(channel: Channel, into: Ordered) -> None:
    """What comes over a connection until its end. Raises _Enough when more comes than was asked for."""
    at = into.head
    into.open = 1
    while data := await channel.receive():
        await into.room(at)
        wanted = data if into.end is None else data[: into.end - at]
        if wanted:
            into.put(at, wanted)
            at += len(wanted)
        if len(wanted) < len(data):
            raise _Enough


async def drawn(into: Ordered, work: Coroutine[Any, Any, None]) -> AsyncGenerator[Chunk, None]:
    """The pieces in their order while `work` brings them in a task of its own. Raises what `work` raises, and Transient
    when it brought less than all."""
    bringing = asyncio.create_task(work)
    bringing.add_done_callback(lambda _: into.wake())
    try:
        while True:
            if (piece := into.next()) is not None:
                yield piece
            elif not bringing.done():
                await into.changed()
            else:
                bringing.result()
                break
    finally:
        bringing.cancel()
        await asyncio.gather(bringing, return_exceptions=True)
    if not into.complete:
        raise Transient("some bytes of the object did not come")


class _Enough(Exception):
    """All that was asked for has come."""
