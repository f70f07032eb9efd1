"""A GridFTP control connection: commands and replies, plain or sealed by GSI (RFC 2228, GFD.20)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import datetime
import socket
from typing import TYPE_CHECKING

from .errors import Denied, InvalidPath, StorageError, Transient, Unavailable, Unsupported
from .gridftp_credentials import Credential
from .gridftp_gsi import Tls, initiate, peer_contexts, server_context
from .gridftp_replies import LONGEST_LINE, Replies, Reply, refused
from .paths import MAX_PATH, shown

if TYPE_CHECKING:
    import ssl

    from cryptography import x509

    from .gridftp import GridftpOptions

_FACTS = "OPTS MLST Type;Size;Modify;UNIX.slink;"
_NOTICES = 1.0  # seconds for a server to notice that data connections are closed
_ABORTED = 5.0  # seconds for it to give up what it does
_SPARE = datetime.timedelta(minutes=5)  # before a proxy's end from which on its connections are not used again


class Control:
    """A session of a user on a server. One command at a time; when waiting for an answer is broken off the session is
    `busy`, and of use again after `abort`."""

    def __init__(self, options: GridftpOptions, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._options = options
        self._reader, self._writer = reader, writer
        self._replies = Replies(self._readline)
        self._tls: Tls | None = None
        self._opened = b""
        self._said: dict[str, str] = {}
        self.busy = 0  # answers that are still to come
        self.restarting = False  # a REST was sent, and holds for the next transfer, whoever does it
        self.features: frozenset[str] = frozenset()
        self.expires: datetime.datetime | None = None
        self.initiating: ssl.SSLContext | None = None  # for data connections
        self.accepting: ssl.SSLContext | None = None
        self.identity: x509.Name | None = None  # of ours, on the grid
        self.delegated = b""  # the proxy that the server acts with for us
        self.patience = options.timeout
        self.private = options.data == "private"
        self.here: str = writer.get_extra_info("sockname")[0]
        self.there: str = writer.get_extra_info("peername")[0]

    @classmethod
    async def open(cls, options: GridftpOptions) -> Control:
        """Connect and log in. Raises Unavailable, Denied, InvalidOptions."""
        host, port = options.address
        where = f"{shown(host)}, port {port}"
        try:
            async with asyncio.timeout(options.timeout):
                reader, writer = await asyncio.open_connection(host, port, limit=LONGEST_LINE)
        except TimeoutError:
            raise Unavailable(f"no connection to {where} within {options.timeout:g} s") from None
        except OSError as error:
            raise Unavailable(f"no connection to {where}: {error.strerror or type(error).__name__}") from None
        keep_alive(writer.get_extra_info("socket"))
        control = cls(options, reader, writer)
        try:
            await control._log_in()
        except BaseException as error:
            control.close()
            if type(error) is Transient:
                raise Unavailable(f"{where}: {error.message}") from error
            raise
        return control

    @property
    def usable(self) -> bool:
        """Whether it can be used again, as far as one can see from here."""
        late = self.expires and self.expires - _SPARE < datetime.datetime.now(datetime.UTC)
        quiet = not (self._reader.at_eof() or self._writer.is_closing())
        return bool(not self.busy and not self.restarting and quiet and not late)

    def command(self, verb: str, path: str, pfn: str | None = None) -> str:
        """Raises InvalidPath for a path that the server would take for another: a line break ends the command, of what
        is not sealed Globus drops all that is not ASCII, and what is too long it cuts."""
        if any(character in path for character in "\r\n\0"):
            raise InvalidPath(f"'{shown(path)}' has a line break, which FTP cannot send", pfn=pfn)
        if not self._tls and not path.isascii():
            raise InvalidPath(f"'{shown(path)}' has more than ASCII, which ftp:// cannot send", pfn=pfn)
        if len(path.encode("utf-8", "surrogateescape")) >= MAX_PATH:
            raise InvalidPath(f"'{shown(path)}' has {MAX_PATH} bytes or more, with the root folder's", pfn=pfn)
        return f"{verb} {path}"

    async def ask(self, command: str, *, patience: float | None = None) -> Reply:
        """Send a command and wait for its last reply, whatever that says. Raises Transient when none comes within
        `patience`, or the usual time."""
        await self.send(command)
        return await self._last_reply(patience or self.patience)

    async def do(self, command: str, pfn: str | None = None) -> Reply:
        """As `ask`; raises what a reply means that says no."""
        reply = await self.ask(command)
        if not reply.good:
            raise refused(reply, command.partition(" ")[0], pfn)
        return reply

    async def set(self, command: str) -> None:
        """A setting that lasts, `command` being its name and value: sent when it is not as it was."""
        name, _, value = command.partition(" ")
        if self._said.get(name) != value:
            self._said.pop(name, None)
            await self.do(command)
            self._said[name] = value

    async def restart(self, marker: str) -> None:
        """Begin the next transfer there. The session is of no use to others before that has ended well: say so by
        `restarting`."""
        self.restarting = True
        await self.do(f"REST {marker}")

    async def send(self, command: str) -> None:
        """For commands with more replies than one: `reply` gives them."""
        line = command.encode("utf-8", "surrogateescape") + b"\r\n"
        if self._tls:
            line = b"ENC " + base64.b64encode(self._tls.seal(line)) + b"\r\n"
        self.busy += 1
        await self._write(line)

    async def reply(self) -> Reply:
        """The next reply, however long it takes. Raises Transient; Unavailable when the server closes."""
        reply = await self._replies.next()
        if reply.code == 421:
            self.close()
            raise Unavailable(f"the server says good-bye: {shown(reply.text)}")
        if not reply.preliminary and self.busy:
            self.busy -= 1
        return reply

    async def _last_reply(self, patience: float) -> Reply:
        try:
            async with asyncio.timeout(patience):
                while (reply := await self.reply()).preliminary:
                    pass
                return reply
        except TimeoutError:
            raise Transient(f"no answer within {patience:g} s") from None

    async def abort(self) -> bool:
        """Have the server give up what it does for a command whose answer nobody waits for. Whether the session is of
        use again.

        When data connections were closed it says so by itself; an ABOR at the same moment is too much for Globus, whose
        server then ends more often than not.
        """
        with contextlib.suppress(StorageError):
            if not await self._settled(_NOTICES):
                await self.send("ABOR")
                await self._settled(_ABORTED)
        return not self.busy

    async def _settled(self, patience: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(patience, self.patience)):
                while self.busy:
                    await self.reply()
        return not self.busy

    def close(self) -> None:
        """Let go; the server ends what it does for us. Safe to repeat."""
        if self.busy:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def _write(self, line: bytes) -> None:
        try:
            async with asyncio.timeout(self._options.timeout):
                self._writer.write(line)
                await self._writer.drain()
        except TimeoutError:
            raise Transient("the server takes no commands") from None
        except OSError:
            raise Transient("the connection was lost") from None

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise Transient("the server closed the connection") from None
        except asyncio.LimitOverrunError:
            raise StorageError(f"the server's reply has a line of more than {LONGEST_LINE} bytes") from None
        except OSError:
            raise Transient("the connection was lost") from None

    async def _readline(self) -> bytes:
        return await self._line()

    async def _opened_line(self) -> bytes:
        """A line of what is sealed in replies 631 to 633."""
        assert self._tls, "sealed"
        while b"\n" not in self._opened:
            outer = await self._sealed.next()
            if outer.code not in (631, 632, 633):
                raise Transient(f"the server answers without protection: {outer.code} {shown(outer.text)}")
            for line in outer.lines:
                self._opened += self._tls.open(_decoded(line))
            if len(self._opened) > LONGEST_LINE:
                raise StorageError(f"the server's reply has a line of more than {LONGEST_LINE} bytes")
        first, _, self._opened = self._opened.partition(b"\n")
        return first

    async def _log_in(self) -> None:
        self.busy = 1
        banner = await self._last_reply(self.patience)
        if not banner.good:
            raise Unavailable(f"the server lets nobody in: {shown(banner.text)}")
        if self._options.secure:
            await self._secure()
            await self._user(":globus-mapping:", "")
        else:
            await self._user(self._options.username or "anonymous", self._options.password or "lading@")
        await self._look_around()

    async def _look_around(self) -> None:
        told = await self.ask("FEAT")
        self.features = frozenset(line.split()[0].upper() for line in told.lines[1:-1] if line.split())
        if not {"MLST", "SIZE"} <= self.features:
            raise Unsupported(
                "the server has no MLST (RFC 3659): the storage type fsspec can use it, if it is plain FTP"
            )
        await self.do("TYPE I")
        await self.ask(_FACTS)
        if self._options.secure:
            await self._protect()

    async def _user(self, name: str, password: str) -> None:
        reply = await self.ask(f"USER {name}")
        if reply.code == 331:
            reply = await self.ask(f"PASS {password}")
        if reply.code not in (202, 230, 232):
            said = reply.text.replace(password, "…") if password else reply.text
            raise Denied(f"the server does not let us in: {reply.code} {shown(said)}")

    async def _secure(self) -> None:
        """AUTH GSSAPI: both sides show who they are, what follows is sealed, and the server gets a proxy of ours where
        data connections need one."""
        options = self._options
        assert options.certificate, "checked with the options"
        credential = await asyncio.to_thread(Credential, options.certificate, options.key)
        self.expires, self.identity = credential.expires, credential.identity
        if (reply := await self.ask("AUTH GSSAPI")).code != 334:
            raise Denied(f"the server has no GSI: {reply.code} {shown(reply.text)}")
        outgoing = await asyncio.to_thread(server_context, credential, options.ca, crl=options.crl)
        tls = Tls(outgoing, host=options.address[0])

        async def exchange(token: bytes) -> bytes:
            reply = await self.ask("ADAT " + base64.b64encode(token).decode())
            if reply.code not in (235, 335):
                raise Denied(f"the server does not accept our certificate: {reply.code} {shown(reply.text, 400)}")
            return _decoded(reply.lines[0].partition("ADAT=")[2])

        self.delegated = await initiate(tls, exchange, None if options.data == "clear" else credential)
        if self.delegated:
            self.initiating, self.accepting = await asyncio.to_thread(peer_contexts, credential, options.ca)
        self._tls = tls
        self._sealed, self._replies = self._replies, Replies(self._opened_line)

    async def _protect(self) -> None:
        if self._options.data == "clear":
            await self.do("DCAU N")
            return
        await self.do("DCAU A")
        if self._options.data == "private":
            await self.do("PBSZ 1048576")
            await self.do("PROT P")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip())
    except (ValueError, binascii.Error):
        raise StorageError("the server sent a token that is none") from None


def keep_alive(sock: socket.socket) -> None:
    """Notice within some minutes that the other host is gone, also while nobody has anything to say."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
