"""A GridFTP server that answers what a test tells it to, right or wrong, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

EOF, MARKER, EOD = 64, 16, 8
Data = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FEATURES = ("MLST", "SIZE", "CKSM", "ERET", "PARALLEL")


def block(flags: int, offset: int = 0, payload: bytes = b"", *, count: int | None = None) -> bytes:
    return struct.pack(">BQQ", flags, len(payload) if count is None else count, offset) + payload


class FtpLiar:
    """It holds one folder, `/`, with `files` of which it only knows the sizes. A test overrides:

    banner     what it says first; None: nothing
    features   of FEAT
    answers    {verb: lines to send in place of the usual}; None: it falls silent
    data       what it does with a connection for data that we make (STOR, RETR and MLSD in MODE S; STOR in MODE E)
    senders    RETR in MODE E: the bytes that it sends, one item a connection
    """

    def __init__(self) -> None:
        self.banner: bytes | None = b"220 liar ready.\r\n"
        self.features: tuple[str, ...] = FEATURES
        self.answers: dict[str, str | None] = {}
        self.files: dict[str, int] = {}
        self.data: Data = swallow
        self.senders: list[list[bytes]] = []
        self.passive_host = "127,0,0,1"
        self.commands: list[str] = []
        self._ports: asyncio.Queue[int] = asyncio.Queue()

    async def start(self, data_host: str) -> None:
        self._server = await asyncio.start_server(self._session, "127.0.0.1", 0)
        self._data = await asyncio.start_server(self._connected, data_host, 0)
        self._session_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.data_port: int = self._data.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self._data.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self.data(reader, writer)
        writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self.banner is not None:
                writer.write(self.banner)
            while line := await reader.readline():
                command = line.decode().strip()
                self.commands.append(command)
                verb, _, argument = command.partition(" ")
                answer = self.answers[verb] if verb in self.answers else await self._answer(verb, argument, writer)
                if answer is not None:
                    writer.write(answer.encode() + b"\r\n")
                    await writer.drain()
        writer.close()

    async def _answer(self, verb: str, argument: str, writer: asyncio.StreamWriter) -> str | None:
        if verb == "USER":
            return "331 Password?"
        if verb == "PASS":
            return "230 Welcome."
        if verb == "FEAT":
            return "\r\n".join(("211-Extensions", *(f" {name}" for name in self.features), "211 End"))
        if verb == "MLST":
            kind, size = ("dir", 0) if argument == "/" else ("file", self.files.get(argument))
            known = size is not None
            return f"250-\r\n Type={kind};Size={size}; {argument}\r\n250 End" if known else "550 No such file"
        if verb == "PASV":
            return f"227 Passive ({self.passive_host},{self.data_port >> 8},{self.data_port & 255})"
        if verb in ("PORT", "RETR") and self.senders:
            return await self._send(verb, argument, writer)
        if verb == "RNFR":
            return "350 And?"
        if verb == "RNTO":
            self.files[argument] = self.files.pop(self._last("RNFR"))
        if verb == "DELE":
            self.files.pop(argument, None)
        return "226 Done." if verb in ("RETR", "STOR", "MLSD", "ERET", "ABOR") else "200 Done."

    async def _send(self, verb: str, argument: str, writer: asyncio.StreamWriter) -> str:
        if verb == "PORT":
            numbers = argument.split(",")
            await self._ports.put(int(numbers[4]) * 256 + int(numbers[5]))
            return "200 Noted."
        port = await self._ports.get()
        writer.write(b"150 It begins.\r\n")
        with contextlib.suppress(OSError):
            await asyncio.gather(*(_sent(port, blocks) for blocks in self.senders))
        return "226 Done."

    def _last(self, verb: str) -> str:
        return next(c for c in reversed(self.commands) if c.startswith(f"{verb} ")).partition(" ")[2]


async def _sent(port: int, blocks: list[bytes]) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for one in blocks:
        writer.write(one)
        await writer.drain()
    writer.close()


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 20):
        pass


def tells(content: bytes) -> Data:
    """Sends this and ends the connection."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return tell


@contextlib.asynccontextmanager
async def ftp_liar(data_host: str = "127.0.0.1") -> AsyncIterator[FtpLiar]:
    server = FtpLiar()
    server.passive_host = data_host.replace(".", ",")
    await server.start(data_host)
    try:
        yield server
    finally:
        await server.stop()
