"""Data connections: plain, or secured as the session says (DCAU A and PROT P of GFD.20). Every wait has an end."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from .errors import Denied, StorageError, Transient
from .gridftp_control import keep_alive
from .gridftp_gsi import Tls
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .base import Chunk
    from .gridftp_control import Control

_PIECE = 1 << 18  # bytes to receive at most, or to send within one time limit
_RECORD = 1 << 14  # bytes that a TLS record holds
_LONGEST_RECORD = _RECORD + 2048
_PASSIVE = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_EXTENDED = re.compile(r"\((.)\1\1(\d{1,5})\1\)")


class Channel:
    """A plain connection. All raise Transient when it is lost, or when nothing moves for `patience` seconds."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self._sock = sock
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)

    async def receive(self, limit: int = _PIECE) -> bytes:
        """Up to `limit` bytes; none at the end."""
        try:
            return self._sock.recv(limit)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise _lost(error) from None
        try:
            async with asyncio.timeout(self._patience):
                return await self._loop.sock_recv(self._sock, limit)
        except TimeoutError:
            raise Transient(f"no data within {self._patience:g} s") from None
        except OSError as error:
            raise _lost(error) from None

    async def fill(self, view: memoryview) -> bool:
        """All of `view`; False when the connection ended in place of its first byte."""
        at = 0
        while at < len(view):
            try:
                got = self._sock.recv_into(view[at:])
            except (BlockingIOError, InterruptedError):
                got = await self._wait_into(view[at:])
            except OSError as error:
                raise _lost(error) from None
            if not got:
                if not at:
                    return False
                raise Transient("a data connection ended in the middle of a block")
            at += got
        return True

    async def send(self, data: Chunk) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            try:
                async with asyncio.timeout(self._patience):
                    await self._loop.sock_sendall(self._sock, view[start : start + _PIECE])
            except TimeoutError:
                raise Transient(f"the server took no data within {self._patience:g} s") from None
            except OSError as error:
                raise _lost(error) from None

    def close(self) -> None:
        self._sock.close()

    async def _wait_into(self, view: memoryview) -> int:
        try:
            async with asyncio.timeout(self._patience):
                return await self._loop.sock_recv_into(self._sock, view)
        except TimeoutError:
            raise Transient(f"no data within {self._patience:g} s") from None
        except OSError as error:
            raise _lost(error) from None


class PrivateChannel(Channel):
    """What passes is in TLS records."""

    def __init__(self, inner: Channel, tls: Tls) -> None:
        self._inner = inner
        self._tls = tls
        self._left = memoryview(b"")

    async def receive(self, limit: int = _PIECE) -> bytes:
        if not self._left:
            self._left = memoryview(await self._next())
        data, self._left = bytes(self._left[:limit]), self._left[limit:]
        return data

    async def fill(self, view: memoryview) -> bool:
        at = 0
        while at < len(view):
            piece = await self.receive(len(view) - at)
            if not piece:
                if not at:
                    return False
                raise Transient("a data connection ended in the middle of a block")
            view[at : at + len(piece)] = piece
            at += len(piece)
        return True

    async def send(self, data: Chunk) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            await self._inner.send(self._tls.seal(view[start : start + _PIECE]))

    def close(self) -> None:
        self._inner.close()

    async def _next(self) -> bytes:
        while record := await _record(self._inner):
            if data := self._tls.open(record):
                return data
        return b""


async def secured(channel: Channel, control: Control, *, ours: bool) -> Channel:
    """The same connection when both ends have shown who they are, where the session asks for it. `ours`: we made it.

    Raises Denied when the other end has not the proxy that we gave to the server of this session.
    """
    setting = control.initiating if ours else control.accepting
    if not control.delegated or setting is None:
        return channel

    tls = Tls(setting, server_side=not ours)
    token, done = tls.handshake()
    while not done:
        if token:
            await channel.send(token)
        if not (record := await _record(channel)):
            raise Denied("the server ended a data connection while both ends showed who they are")
        token, done = tls.handshake(record)
    if token:
        await channel.send(token)
    if tls.peer != control.delegated:
        raise Denied("the other end of a data connection is not the server of this session")
    if control.private:  # then it is plain TLS, with nothing of GSI after the handshake
        return PrivateChannel(channel, tls)
    if not ours and tls.last_word_was_ours:
        await channel.send(tls.seal(b"\0"))
    if not ours or tls.last_word_was_ours:
        await _sealed_byte(channel, tls)
    if ours:
        await channel.send(tls.seal(b"0"))
    return channel


async def _sealed_byte(channel: Channel, tls: Tls) -> None:
    while record := await _record(channel):
        if tls.open(record):
            return
    raise Transient("a data connection ended before its use")


async def _record(channel: Channel) -> bytes:
    """One TLS record, not a byte more. Nothing at the end."""
    head = bytearray(5)
    if not await channel.fill(memoryview(head)):
        return b""
    size = int.from_bytes(head[3:], "big")
    if size > _LONGEST_RECORD:
        raise StorageError("what comes over a data connection is no TLS")
    record = bytearray(5 + size)
    record[:5] = head
    if size and not await channel.fill(memoryview(record)[5:]):
        raise Transient("a data connection ended in the middle of a record")
    return bytes(record)


async def connected(host: str, port: int, patience: float) -> Channel:
    """A connection that we make. Raises Transient."""
    loop = asyncio.get_running_loop()
    sock = _socket(host)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(patience):
            await loop.sock_connect(sock, (host, port))
        return Channel(sock, patience)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            why = f"within {patience:g} s" if isinstance(error, TimeoutError) else f": {error.strerror}"
            raise Transient(f"no data connection to {host}, port {port} {why}") from None
        raise


class Listener:
    """Where the server connects to."""

    def __init__(self, host: str, ports: Iterable[int]) -> None:
        """Raises Transient when none of the ports is free."""
        for port in ports:
            self._sock = _socket(host)
            try:
                self._sock.setblocking(False)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections from before may linger
                self._sock.bind((host, port))
                self._sock.listen(64)
            except OSError:
                self._sock.close()
                continue
            self.address: tuple[str, int] = self._sock.getsockname()[:2]
            return
        raise Transient(f"no port to wait at for the server's connections is free at {host}")

    async def accept(self, control: Control, *, patience: float, other_hosts: bool) -> Channel:
        """The next connection, from the server."""
        while True:
            try:
                sock, peer = await asyncio.get_running_loop().sock_accept(self._sock)
            except OSError as error:
                raise _lost(error) from None
            if peer[0] == control.there or other_hosts:
                return Channel(sock, patience)
            sock.close()

    def close(self) -> None:
        self._sock.close()


def port_command(host: str, port: int) -> str:
    if ":" in host:
        return f"EPRT |2|{host}|{port}|"
    return f"PORT {host.replace('.', ',')},{port >> 8},{port & 255}"


async def passive(control: Control, *, other_hosts: bool) -> tuple[str, int]:
    """Where the server waits for data connections. Raises StorageError for a place that we shall not connect to."""
    if ":" in control.there:
        reply = await control.do("EPSV")
        found = _EXTENDED.search(reply.text)
        host, port = control.there, int(found[2]) if found else 0
    else:
        reply = await control.do("PASV")
        found = _PASSIVE.search(reply.text)
        numbers = [int(number) for number in found.groups()] if found else []
        if not found or max(numbers) > 255:
            raise StorageError(f"the server does not say where it waits: {shown(reply.text)}")
        host, port = ".".join(map(str, numbers[:4])), numbers[4] << 8 | numbers[5]
    if not 0 < port < 1 << 16:
        raise StorageError(f"the server does not say where it waits: {shown(reply.text)}")
    if ipaddress.ip_address(host) != ipaddress.ip_address(control.there) and not other_hosts:
        raise StorageError(f"the server sends us to {host} for data: option 'other_hosts' allows it")
    return host, port


def _socket(host: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:  # too many open files
        raise _lost(error) from None


def _lost(error: OSError) -> Transient:
    return Transient(f"a data connection was lost: {error.strerror or type(error).__name__}")
