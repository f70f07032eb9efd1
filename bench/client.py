"""The measuring client: typed bulk calls through aiohttp, and single small ones by a bare protocol.

One small request costs aiohttp's client more than the server, so many of them would measure the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import msgspec

from lading.model.outcome import Outcomes

T = TypeVar("T")


class Client:
    """One user's calls. A refusal, of the call or of one of its items, raises RuntimeError."""

    def __init__(self, url: str, token: str, connections: int = 1) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            read_bufsize=1 << 20,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        async with self._session.request(method, self._url + path, data=data) as response:
            raw = await response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {raw[:500]!r}")
            return raw

    async def bulk(self, path: str, body: Any, decoder: msgspec.json.Decoder[Outcomes[T]]) -> Outcomes[T]:
        answer = decoder.decode(await self.call("POST", path, body))
        if answer.failed:
            first = next(o for o in answer.outcomes if o.error)
            raise RuntimeError(f"{path}: {answer.failed} failed, first {first.item}: {first.error}")
        return answer

    async def lines(self, path: str, decoder: msgspec.json.Decoder[T]) -> int:
        """Read an NDJSON answer and decode every line of it; how many there were."""
        count, rest = 0, b""
        headers = {"Accept": "application/x-ndjson"}
        async with self._session.get(self._url + path, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {await response.text()}")
            async for chunk in response.content.iter_any():
                whole, newline, tail = chunk.rpartition(b"\n")
                if newline:
                    count += len(decoder.decode_lines(rest + whole))
                    rest = tail
                else:
                    rest += tail
        if rest:
            raise RuntimeError(f"{path}: cut after {count} lines: {rest[:200]!r}")
        return count


def requests(url: str, path: str, token: str, bodies: Sequence[Any]) -> list[bytes]:
    """Complete POST requests, ready to be written."""
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    made = []
    for body in bodies:
        data = msgspec.json.encode(body)
        made.append(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return made


class _Connection(asyncio.Protocol):
    """Writes the next request when the answer to the last one is complete."""

    def __init__(self, left: Iterator[bytes], done: asyncio.Future[None], must_hold: bytes) -> None:
        self._left = left
        self._done = done
        self._must_hold = must_hold
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._next()

    def _next(self) -> None:
        request = next(self._left, None)
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = buffer.find(b"Content-Length: ", 0, end) + 16
        stop = buffer.find(b"\r\n", at)
        if len(buffer) < end + 4 + int(buffer[at:stop]):
            return
        if not buffer.startswith(b"HTTP/1.1 200") or self._must_hold not in buffer:
            self._fail(f"refused: {buffer[:1000]!r}")
            return
        self._buffer = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection broke: {error}")

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(why))


async def blast(url: str, connections: int, requests: Sequence[bytes], must_hold: bytes) -> float:
    """Seconds that many connections take for all requests, each one at a time; every answer is a 200 that holds a text."""
    loop = asyncio.get_running_loop()
    place = urlsplit(url)
    left = iter(requests)
    done = [loop.create_future() for _ in range(connections)]
    begun = loop.time()
    for one in done:
        make = partial(_Connection, left, one, must_hold)
        await loop.create_connection(make, place.hostname or "", place.port or 80)
    await asyncio.gather(*done)
    return loop.time() - begun
