"""Bodies taken from their sockets: whole, in order, and with a clear end whatever the other side does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from hashlib import sha256
from random import Random

import aiohttp
import pytest
import uvloop

from lading import wire

SIZE = 5 * wire.PIECE + 12345
BYTES = Random(7).randbytes(SIZE)
Sender = Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@asynccontextmanager
async def answer(send: Sender, size: int = SIZE) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of a server that says that `size` bytes follow, and then does as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(ConnectionError):  # some of the readers leave
            await send(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as response:
        yield response


async def pieces_of(response: aiohttp.ClientResponse, patience: float | None = None) -> AsyncIterator[memoryview]:
    transport = wire.bare(response.connection and response.connection.transport)
    assert transport
    async with aclosing(wire.body(transport, response.content, SIZE, patience=patience)) as chunks:
        async for chunk in chunks:
            yield chunk


async def into(came: bytearray, response: aiohttp.ClientResponse, patience: float | None = None) -> None:
    async for chunk in pieces_of(response, patience):
        came += chunk


def test_every_byte_comes_in_order_and_stays(run: Callable[..., None]) -> None:
    async def whole(writer: asyncio.StreamWriter) -> None:
        writer.write(BYTES)
        await writer.drain()

    async def main() -> None:
        async with answer(whole) as response:
            pieces = [piece async for piece in pieces_of(response)]
        assert max(map(len, pieces)) <= wire.PIECE + (1 << 20)
        assert b"".join(pieces) == BYTES  # all are held: none was written over

    run(main())


def test_the_memory_of_a_piece_is_used_again_when_nobody_has_it(run: Callable[..., None]) -> None:
    async def whole(writer: asyncio.StreamWriter) -> None:
        writer.write(BYTES)
        await writer.drain()

    async def main() -> None:
        digest, buffers = sha256(), set()
        async with answer(whole) as response:
            async for chunk in pieces_of(response):
                digest.update(chunk)
                if isinstance(chunk.obj, bytearray):
                    buffers.add(id(chunk.obj))
        assert digest.digest() == sha256(BYTES).digest()
        assert len(buffers) <= 2  # the one in the reader's hand, and the next

    run(main())


@pytest.mark.parametrize("sent", [0, 1000, 2 * wire.PIECE + 100])
def test_an_early_end_is_an_error_after_what_came(run: Callable[..., None], sent: int) -> None:
    async def part(writer: asyncio.StreamWriter) -> None:
        writer.write(BYTES[:sent])
        await writer.drain()

    async def main() -> None:
        came = bytearray()
        async with answer(part) as response:
            with pytest.raises(ConnectionResetError, match="in the middle"):
                await into(came, response)
        assert came == BYTES[:sent]

    run(main())


def test_silence_is_an_error_after_a_while_and_slowness_is_not(run: Callable[..., None]) -> None:
    slow = BYTES[: 3 * 1000]

    async def drops(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(slow), 1000):  # far fewer than what one waits for at a time
            writer.write(slow[start : start + 1000])
            await writer.drain()
            await asyncio.sleep(0.15)
        await asyncio.sleep(60)

    async def main() -> None:
        came = bytearray()
        async with answer(drops) as response:
            with pytest.raises(TimeoutError):
                await into(came, response, patience=0.5)
        assert came == slow

    run(main())


def test_a_body_under_tls_is_left_to_aiohttp() -> None:
    class Transport(asyncio.Transport):
        def __init__(self, **extra: object) -> None:
            super().__init__(extra)

    assert wire.bare(Transport(socket=object()))
    assert not wire.bare(Transport(socket=object(), sslcontext=object()))
    assert not wire.bare(Transport())
    assert not wire.bare(None)
