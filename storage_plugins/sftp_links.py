"""SSH connections, a few, made when they are needed and again when they were lost; and what SSH's errors mean."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from .errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .sftp import SftpOptions

# AES-GCM is done by the processor: twice as fast as ChaCha20, which asyncssh would rather use.
_CIPHERS = "^aes128-gcm@openssh.com"
_PATIENCE = 20  # seconds for a connection, and again for the login
_ALIVE = 15  # seconds between two signs of life; after three that are missing the connection is lost

_KINDS: tuple[tuple[tuple[type[Exception], ...], type[StorageError]], ...] = (
    ((asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath), ObjectNotFound),
    ((asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect), Denied),
    ((asyncssh.SFTPFileAlreadyExists,), ObjectExists),
    ((asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded), NoSpace),
    # OpenSSH says "bad message" for EINVAL and ENAMETOOLONG.
    ((asyncssh.SFTPBadMessage, asyncssh.SFTPInvalidFilename, asyncssh.SFTPNotADirectory), InvalidPath),
    ((asyncssh.SFTPFileIsADirectory, asyncssh.SFTPLinkLoop), InvalidPath),
    ((asyncssh.SFTPOpUnsupported,), Unsupported),
)


def told(error: asyncssh.Error | OSError, pfn: str | None) -> StorageError:
    """The contract's error for what went wrong on a connection; what is not known is a fault of the moment."""
    kind = next((kind for errors, kind in _KINDS if isinstance(error, errors)), Transient)
    why = error.reason if isinstance(error, asyncssh.Error) else str(error)
    return kind(f"SFTP: {shown(why or type(error).__name__)}" + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn)


class Links:
    """Up to `options.connections` connections. Each new user gets the one with the fewest."""

    def __init__(self, options: SftpOptions) -> None:
        self._links = [_Link(options) for _ in range(options.connections)]
        self._closed = False

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[asyncssh.SFTPClient, None]:
        """Raises Unavailable when the server is away, Denied when it or we are not who we should be, InvalidOptions."""
        if self._closed:
            raise Unavailable("the element is closed")
        link = min(self._links, key=lambda link: link.users)
        link.users += 1
        try:
            yield await link.client()
        finally:
            link.users -= 1

    async def aclose(self) -> None:
        self._closed = True
        await asyncio.gather(*(link.aclose() for link in self._links))


class _Link:
    def __init__(self, options: SftpOptions) -> None:
        self.users = 0
        self._options = options
        self._lock = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None

    async def client(self) -> asyncssh.SFTPClient:
        async with self._lock:
            if self._connection is None or self._connection.is_closed():
                self._connection, self._client = await _connect(self._options)
                self._watch = asyncio.create_task(_end_together(self._connection, self._client))
            return self._client

    async def aclose(self) -> None:
        async with self._lock:
            if self._connection:
                self._connection.close()
                await self._connection.wait_closed()
                await self._watch


async def _end_together(connection: asyncssh.SSHClientConnection, client: asyncssh.SFTPClient) -> None:
    """A connection without its SFTP process is of no use: the next user makes a new one."""
    await client.wait_closed()
    connection.close()


async def _connect(options: SftpOptions) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
    credentials = await asyncio.to_thread(_credentials, options)  # an encrypted key costs a tenth of a second
    try:
        connection = await asyncssh.connect(
            options.host,
            options.port,
            username=options.user,
            password=options.password,
            **credentials,
            config=None,
            agent_path=None,
            encryption_algs=_CIPHERS,
            compression_algs=None,
            connect_timeout=_PATIENCE,
            login_timeout=_PATIENCE,
            keepalive_interval=_ALIVE,
        )
        try:
            return connection, await connection.start_sftp_client(path_encoding=None)
        except BaseException:
            connection.abort()
            raise
    except asyncssh.HostKeyNotVerifiable:
        raise Denied(
            f"the key that {shown(options.host)}, port {options.port}, shows is not known. Compare it with the true one"
            f" (ssh-keyscan -p {options.port} {shown(options.host)}), then give that as the option host_key or add it"
            " to known_hosts"
        ) from None
    except asyncssh.PermissionDenied:
        raise Denied(
            f"{shown(options.host)} does not let the user '{shown(options.user)}' in: wrong key or password?"
        ) from None
    except (asyncssh.Error, OSError) as error:
        why = error.reason if isinstance(error, asyncssh.Error) else error.strerror or str(error)
        raise Unavailable(
            f"{shown(options.host)}, port {options.port}: {shown(why or type(error).__name__)}"
        ) from error


def _credentials(options: SftpOptions) -> dict[str, Any]:
    """What asyncssh takes for our keys and the server's. Without a key and a password, the keys in ~/.ssh are ours."""
    try:
        if options.host_key:
            lines = [f"* {key.strip()}\n" for key in options.host_key.split(",")]
            hosts = asyncssh.import_known_hosts("".join(lines))
        else:
            usual = (Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts"))
            files = [options.known_hosts] if options.known_hosts else [str(file) for file in usual if file.exists()]
            hosts = asyncssh.read_known_hosts(files)
        found: dict[str, Any] = {"known_hosts": hosts}
        if options.key:
            found["client_keys"] = [asyncssh.import_private_key(options.key, options.passphrase)]
        elif options.key_file:
            found["client_keys"] = [asyncssh.read_private_key(options.key_file, options.passphrase)]
        elif options.password:
            found["client_keys"] = None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise InvalidOptions(f"the private key or its passphrase cannot be used: {error}") from None
    except OSError as error:
        raise InvalidOptions(f"{shown(str(error.filename))}: {error.strerror}") from None
    except ValueError:
        raise InvalidOptions("host_key or known_hosts holds no public keys in OpenSSH's form") from None
    return found
