"""The iRODS session of one thread. Everything here blocks."""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from irods.client_server_negotiation import REQUEST_NEGOTIATION, REQUIRE_SSL
from irods.exception import NetworkException
from irods.session import iRODSSession

from .errors import StorageError, Transient, Unavailable
from .irods_errors import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from .irods import IrodsOptions

T = TypeVar("T")
_FRESH = 300  # seconds: what has rested longer may have been forgotten on the way, by a firewall
_FAREWELL = 2.0  # seconds for a server that we leave to say so

# With TLS. The zone's servers must be set to the same; these are the ones everybody has.
_ENCRYPTION = {
    "encryption_algorithm": "AES-256-CBC",
    "encryption_key_size": 32,
    "encryption_num_hash_rounds": 16,
    "encryption_salt_size": 8,
}


class Session:
    """Made when it is needed, and made anew after anything that the client raised: python-irodsclient keeps the
    connection of an `open` that failed. One thread's: sessions that are shared mix up the pages of their queries."""

    def __init__(self, options: IrodsOptions) -> None:
        self._options = options
        self._session: Any = None
        self._used = 0.0
        self._closed = False

    def call(
        self,
        function: Callable[[Any], T],
        pfn: str | None = None,
        *,
        again: bool = False,
        seconds: float | None = None,
    ) -> T:
        """`function(iRODSSession)`; its errors are the contract's. `again`: it may be called twice, as it is when the
        connection, which had rested, turns out to be dead. `seconds`: for an answer, in place of `timeout`."""
        while True:
            rested = self._session is not None and self._is_alive()
            session = self._session if rested else self._renewed()
            try:
                session.connection_timeout = seconds or self._options.timeout
                result = function(session)
            except StorageError:
                raise  # of ours: the client did as it was told
            except Exception as error:  # somebody else's code, and a server's answer to it: it may raise anything
                self.close()
                if again and rested and isinstance(error, (NetworkException, OSError)):
                    continue
                raise told(error, pfn, secret=self._options.password) from None  # the cause may hold the password
            except BaseException:
                self.close()
                raise
            self._used = time.monotonic()
            return result

    def close(self) -> None:
        """Say good-bye. Safe to repeat; the next call makes a new session."""
        session, self._session = self._session, None
        if session is None:
            return
        for connection in _connections(session):
            with suppress(Exception):
                connection.socket.settimeout(_FAREWELL)
        with suppress(Exception):
            session.cleanup()

    def abort(self) -> None:
        """From another thread: whatever waits for the server fails now, and nothing can be called any more."""
        self._closed = True
        session = self._session
        for connection in _connections(session) if session is not None else ():
            with suppress(Exception):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _is_alive(self) -> bool:
        """False when the server has closed the connection, or may have. A server says nothing unasked."""
        if time.monotonic() - self._used > _FRESH:
            return False
        poll = select.poll()
        try:
            for connection in _connections(self._session):
                poll.register(connection.socket, select.POLLIN)
            return not poll.poll(0)
        except (AttributeError, OSError, TypeError, ValueError):  # a socket that is closed, or None
            return False

    def _renewed(self) -> Any:
        self.close()
        if self._closed:
            raise Unavailable("the element is closed")
        try:
            self._session = session = iRODSSession(auto_cleanup=False, **_arguments(self._options))
            with session.pool.get_connection() as connection:
                # without, every piece that is sent over TLS waits for the answer to the one before (45 ms)
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except Exception as error:  # as above
            self.close()
            raise told(error, secret=self._options.password, connecting=True) from None
        self._used = time.monotonic()
        return session


class Stream:
    """A data object that is open, for one session. Its bytes go past the client's buffer."""

    def __init__(self, session: Session, path: str, mode: str, pfn: str, **options: str) -> None:
        def opened(irods: Any) -> Any:
            return irods.data_objects.open(path, mode, auto_close=False, allow_redirect=False, **options)

        self._session = session
        self._pfn = pfn
        self._file = session.call(opened, pfn, again=True)  # kept: it closes what it holds when it is forgotten
        self._raw = self._file.raw

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._call(lambda: self._raw.seek(offset, whence)))

    def read(self, size: int) -> memoryview:
        """Up to `size` bytes that nobody changes any more. Raises Transient at the end."""
        buffer = memoryview(bytearray(size))
        count: int = self._call(lambda: self._raw.readinto(buffer))
        if not count:
            raise Transient("the object ended too early", pfn=self._pfn)
        return buffer[:count]

    def write(self, data: bytes) -> None:
        written: int = self._call(lambda: self._raw.write(data))
        if written != len(data):
            raise Transient(f"the server took {written} bytes of {len(data)}", pfn=self._pfn)

    def close(self, *, seconds: float | None = None) -> None:
        """Raises as everything else; after an error there is nothing left to close."""

        def run() -> None:
            if seconds:
                self._raw.conn.socket.settimeout(seconds)
            self._raw.close()

        self._call(run)

    def forget(self) -> None:
        """Close it whatever happens."""
        if not self._raw.closed:
            with suppress(StorageError):
                self.close()

    def _call(self, run: Callable[[], T]) -> T:
        try:
            return self._session.call(lambda _: run(), self._pfn)
        except StorageError:
            self._drop()
            raise

    def _drop(self) -> None:
        """The connection is gone: closing it as the client does would only raise."""
        io.RawIOBase.close(self._raw)


def _connections(session: Any) -> list[Any]:
    return [*session.pool.active, *session.pool.idle]


def _arguments(options: IrodsOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "host": options.host,
        "port": options.port,
        "user": options.user,
        "zone": options.zone,
        "password": options.password or "",
        "authentication_scheme": options.authentication,
        "application_name": "lading",
        "connection_timeout": options.timeout,
    }
    if options.client_user:
        arguments["client_user"], _, zone = options.client_user.partition("#")
        arguments["client_zone"] = zone or options.zone
    if options.tls:
        arguments |= _ENCRYPTION
        arguments["client_server_negotiation"] = REQUEST_NEGOTIATION
        arguments["client_server_policy"] = REQUIRE_SSL
        # the client's own verifies nothing when it is given no authority
        arguments["ssl_context"] = ssl.create_default_context(cafile=options.ca)
    return arguments
