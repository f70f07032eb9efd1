"""GSI: TLS whose bytes somebody else carries, in base64 or over a data connection, with one thing more.

When the two know each other the initiator says with one byte whether a proxy shall be delegated: `0` or `D`. After `D`
the acceptor sends a certificate request, the initiator answers with the proxy. Where the initiator had the last word of
the handshake (TLS 1.3) the acceptor sends one byte first.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .errors import Denied, InvalidOptions, StorageError, Transient
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .gridftp_credentials import Credential

_PIECE = 1 << 16
_IN_STEP = b"\0"


def server_context(credential: Credential, ca: str, *, crl: bool) -> ssl.SSLContext:
    """For a server that has to show the certificate of its host: no proxy, lest a user of the grid makes one whose last
    name is that of a host. Raises InvalidOptions."""
    made = _context(credential, ca, ssl.PROTOCOL_TLS_CLIENT)
    made.hostname_checks_common_name = False
    if crl:
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return made


def peer_contexts(credential: Credential, ca: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a peer that shows some user's proxy, which is for the caller to compare: to connect, and to be connected
    to."""
    initiating = _context(credential, ca, ssl.PROTOCOL_TLS_CLIENT)
    initiating.check_hostname = False
    accepting = _context(credential, ca, ssl.PROTOCOL_TLS_SERVER)
    accepting.num_tickets = 0
    for one in (initiating, accepting):
        one.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
    return initiating, accepting


def _context(credential: Credential, ca: str, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        made.load_cert_chain(*credential.files)
    except (OSError, ValueError) as error:
        raise InvalidOptions(f"option 'certificate' or 'key': {_why(error)}") from None
    try:
        try:
            made.load_verify_locations(cafile=ca)
        except IsADirectoryError:
            made.load_verify_locations(capath=ca)
    except (OSError, ValueError) as error:
        raise InvalidOptions(f"option 'ca': {shown(ca)}: {_why(error)}") from None
    return made


class Tls:
    """One end of a TLS connection."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = False, host: str | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side, host)

    def handshake(self, received: bytes = b"") -> tuple[bytes, bool]:
        """(what to send, whether it is done). Raises Denied when the other side's certificate is refused."""
        self._in.write(received)
        try:
            self._tls.do_handshake()
            return self._out.read(), True
        except ssl.SSLWantReadError:
            return self._out.read(), False
        except ssl.SSLCertVerificationError as error:
            raise Denied(f"the server's certificate is refused: {shown(error.verify_message)}") from None
        except ssl.SSLError as error:
            raise Denied(f"no agreement with the server about TLS: {shown(error.reason or str(error))}") from None

    @property
    def last_word_was_ours(self) -> bool:
        """Whether the initiator ended the handshake."""
        return self._tls.version() == "TLSv1.3"

    @property
    def peer(self) -> bytes | None:
        """The other side's certificate, in DER."""
        return self._tls.getpeercert(True)

    def seal(self, data: bytes | memoryview) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def open(self, sealed: bytes) -> bytes:
        """The content of whole records, perhaps nothing. Raises Transient for what the other side did not seal."""
        self._in.write(sealed)
        found = []
        try:
            while piece := self._tls.read(_PIECE):
                found.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise Transient(f"the server's TLS broke: {shown(error.reason or str(error))}") from None
        return b"".join(found)


async def initiate(tls: Tls, exchange: Callable[[bytes], Awaitable[bytes]], credential: Credential | None) -> bytes:
    """Be the initiator, with `exchange` to send a token and get the answer; give a proxy of `credential` when there is
    one. Returns the proxy, in DER. Errors as `Tls`."""
    token, done = tls.handshake()
    while not done:
        token, done = tls.handshake(await exchange(token))
    if tls.last_word_was_ours:
        await _opened(tls, exchange, token)
        token = b""
    if credential is None:
        await exchange(token + tls.seal(b"0"))
        return b""
    proxy = credential.sign(await _opened(tls, exchange, token + tls.seal(b"D")))
    await exchange(tls.seal(proxy))
    return proxy


async def _opened(tls: Tls, exchange: Callable[[bytes], Awaitable[bytes]], token: bytes) -> bytes:
    content = tls.open(await exchange(token))
    if not content:
        raise StorageError("the server does not speak GSI")
    return content


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
