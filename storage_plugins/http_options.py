"""What every element over HTTP is told: where, who we are, whom to trust."""

from __future__ import annotations

import os
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from aiohttp import encode_basic_auth
from msgspec import Meta

from .errors import InvalidOptions
from .options import CommonOptions

if TYPE_CHECKING:
    from yarl import URL


class HttpOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[str, Meta(description="of the root folder, as https://host:port/path", pattern="^https?://")]
    username: Annotated[str | None, Meta(description="for basic authentication")] = None
    password: Annotated[str | None, Meta(description="for basic authentication", extra={"secret": True})] = None
    token: Annotated[str | None, Meta(description="bearer token or macaroon", extra={"secret": True})] = None
    ca: Annotated[
        str | None, Meta(description="file or hashed folder of CA certificates to trust, in place of the system's")
    ] = None
    certificate: Annotated[
        str | None,
        Meta(description="PEM file of our client certificate or proxy, on the server; with its key, or `key`"),
    ] = None
    key: Annotated[str | None, Meta(description="PEM file of the client certificate's key")] = None
    timeout: Annotated[float, Meta(description="seconds to wait for a connection or the next bytes", gt=0)] = 60
    connections: Annotated[int, Meta(description="operations at once", ge=1, le=1024)] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise ValueError("the URL cannot be read") from None
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("a URL has a host and a path here, no query and no fragment")
        if parts.username is not None or parts.password is not None:
            raise ValueError("credentials do not belong into the URL: there are options for them")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.token is not None and self.username is not None:
            raise ValueError("a token or a password, not both")
        if self.key is not None and self.certificate is None:
            raise ValueError("a key needs its certificate")
        if not (f"{self.username or ''}{self.token or ''}").isprintable():
            raise ValueError("a line break or control character in username or token")


class Identity:
    """Our credentials, for the element's own server alone, and whom we trust."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._tls: ssl.SSLContext | None = None
        self._stamp: list[tuple[int, int]] = []  # of the files it was made from

    @cached_property
    def headers(self) -> dict[str, str]:
        options = self._options
        if options.token is not None:
            return {"Authorization": f"Bearer {options.token}"}
        if options.username is not None:
            return {"Authorization": encode_basic_auth(options.username, options.password or "", "utf-8")}
        return {}

    @property
    def tls(self) -> ssl.SSLContext:
        """With the client certificate: made anew when its file has changed, as a proxy's does twice a day. Raises
        InvalidOptions for a file that cannot be used."""
        options = self._options
        if options.certificate is None:
            return self.anonymous_tls
        try:
            stamp = [_stamp(file) for file in (options.certificate, options.key) if file]
            if self._tls is None or self._stamp != stamp:
                context = trusting(options.ca)
                context.load_cert_chain(options.certificate, options.key)
                self._tls, self._stamp = context, stamp
        except (OSError, ValueError) as error:
            raise InvalidOptions(f"option 'certificate' or 'key': {_why(error)}") from None
        return self._tls

    @cached_property
    def anonymous_tls(self) -> ssl.SSLContext:
        """For other servers that ours sends us to."""
        return trusting(self._options.ca)

    def equals(self, other: Identity) -> bool:
        """Whether the two are the same for a server."""
        mine, others = self._options, other._options
        return self.headers == other.headers and (mine.certificate, mine.key) == (others.certificate, others.key)


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Whom credentials may be shown."""
    return url.scheme, url.host, url.port


def trusting(ca: str | None) -> ssl.SSLContext:
    """Whom a client trusts: the CAs of a file or hashed folder, else the system's. Raises InvalidOptions."""
    context = ssl.create_default_context()
    if ca is None:
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        try:
            context.load_verify_locations(cafile=ca)
        except IsADirectoryError:
            context.load_verify_locations(capath=ca)
    except (OSError, ValueError) as error:
        raise InvalidOptions(f"option 'ca': {_why(error)}") from None
    return context


def _stamp(file: str) -> tuple[int, int]:
    about = os.stat(file)
    return about.st_mtime_ns, about.st_ino


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
