"""The measuring client: typed calls through aiohttp, and the ones that are counted by a bare protocol.

A request costs aiohttp's client as much as the server, and client, server and PostgreSQL share the machine: measured with
it, a figure would be the client's. Requests are made before the clock starts; the answers are read whole and decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import msgspec

from lading.model.outcome import Outcomes

from .timing import drive

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
        return granted(decoder.decode(await self.call("POST", path, body)))

    async def chunks(self, path: str, body: Any = None) -> AsyncIterator[bytes]:
        """An NDJSON answer as it comes, cut behind whole lines. With a body it is a POST."""
        rest = b""
        headers = {"Accept": "application/x-ndjson"}
        method, data = ("GET", None) if body is None else ("POST", msgspec.json.encode(body))
        async with self._session.request(method, self._url + path, data=data, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {await response.text()}")
            async for chunk in response.content.iter_any():
                whole, newline, tail = chunk.rpartition(b"\n")
                if newline:
                    yield rest + whole
                    rest = tail
                else:
                    rest += tail
        if rest:
            raise RuntimeError(f"{path}: cut before its end: {rest[:200]!r}")

    async def lines(self, path: str, decoder: msgspec.json.Decoder[T]) -> int:
        """Read an NDJSON answer and decode every line of it; how many there were."""
        count = 0
        async for lines in self.chunks(path):
            count += len(decoder.decode_lines(lines))
        return count


def granted(answer: Outcomes[T]) -> Outcomes[T]:
    """The same. Raises RuntimeError when an item of it was refused."""
    if answer.failed:
        first = next(o for o in answer.outcomes if o.error)
        raise RuntimeError(f"{answer.failed} failed, first {first.item}: {first.error}")
    return answer


def requests(url: str, path: str, token: str, bodies: Sequence[Any], accept: str = "application/json") -> list[bytes]:
    """Complete POST requests, ready to be written."""
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAccept: {accept}\r\n"
    head += "Content-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    made = []
    for body in bodies:
        data = msgspec.json.encode(body)
        made.append(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return made


_LAST = b"\r\n0\r\n\r\n"  # no JSON has a bare line end of this kind in it


def _joined(got: bytearray, at: int) -> bytes:
    """The chunks from there on, as one."""
    parts = []
    while size := int(got[at : (data := got.index(b"\r\n", at) + 2)], 16):
        parts.append(memoryview(got)[data : data + size])
        at = data + size + 2
    return b"".join(parts)


class Wire(asyncio.Protocol):
    """One connection to a server, one request at a time; knows answers that tell their length, and JSON in chunks."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._body = self._end = 0  # where the body begins (0: not known yet) and ends (0: with the last chunk)
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    async def send(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for any other than 200."""
        if self._transport is None:
            raise RuntimeError("not connected")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        got = self._got
        got += data
        if not self._body:
            end = got.find(b"\r\n\r\n")
            if end < 0:
                return
            at = got.find(b"Content-Length: ", 0, end) + 16
            self._body = end + 4
            self._end = end + 4 + int(got[at : got.find(b"\r\n", at)]) if at >= 16 else 0
        ended = len(got) >= self._end if self._end else got.endswith(_LAST)
        if not ended or self._answer is None:
            return
        body = bytes(memoryview(got)[self._body : self._end]) if self._end else _joined(got, self._body)
        if got.startswith(b"HTTP/1.1 200"):
            self._answer.set_result(body)
        else:
            self._fail(f"refused: {body[:1000]!r}")
        self._got = bytearray()
        self._body = 0

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection broke: {error}")

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RuntimeError(why))


@asynccontextmanager
async def wires(url: str, count: int) -> AsyncIterator[list[Wire]]:
    """So many connections to a server."""
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Wire, place.hostname or "", place.port or 80))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for wire in opened:
            wire.close()


async def blast(url: str, connections: int, requests: Sequence[bytes], must_hold: bytes) -> float:
    """Seconds that many connections take for all requests, each one at a time; every answer is a 200 that holds a text."""
    async with wires(url, connections) as opened:

        def sender(wire: Wire) -> Callable[[bytes], Awaitable[None]]:
            async def send(request: bytes) -> None:
                answer = await wire.send(request)
                if must_hold not in answer:
                    raise RuntimeError(f"refused: {answer[:1000]!r}")

            return send

        return await drive([sender(w) for w in opened], requests)
