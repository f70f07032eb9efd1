"""Objects on an XRootD server, over its own protocol (root:// and roots://): the options.

This module imports no SDK. See `xrootd_element.py` for what the element does.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750; it travels in what XRootD takes for a query
_MEANT = frozenset("&?=<>\n")  # in paths, which travel in the same way


class XrootdOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[
        str, Meta(description="of the root folder: root://host:port//path, roots:// for TLS", pattern="^roots?://")
    ]
    certificate: Annotated[
        str | None,
        Meta(description="PEM file of our certificate, on the lading server, of mode 0600; with its key, or `key`"),
    ] = None
    key: Annotated[str | None, Meta(description="PEM file of the certificate's key, without a passphrase")] = None
    proxy: Annotated[str | None, Meta(description="or a proxy's file; read again when it has expired")] = None
    token: Annotated[
        str | None,
        Meta(
            description="bearer token or macaroon; roots:// only. XRootD sends it on to where it is redirected",
            extra={"secret": True},
        ),
    ] = None
    ca: Annotated[
        str | None,
        Meta(
            description="hashed folder of CA certificates to trust, one for all elements of a server process; else"
            " $X509_CERT_DIR or /etc/grid-security/certificates"
        ),
    ] = None
    timeout: Annotated[float, Meta(description="seconds to wait for the server", ge=1, le=3600)] = 60
    connections: Annotated[int, Meta(description="connections at most", ge=1, le=64)] = 4
    fsync: Annotated[bool, Meta(description="survive a power cut: have the server sync every file")] = True
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice a disk or server that is away")
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise ValueError("the URL cannot be read") from None
        if not parts.hostname or "?" in self.url or "#" in self.url or not self.url.isprintable():
            raise ValueError("a URL has a host and a path here, no query and no fragment")
        if "@" in parts.netloc:
            raise ValueError("credentials do not belong into the URL: there are options for them")
        if ".." in parts.path.split("/"):
            raise ValueError("no '..' in the URL")
        if self.key is not None and self.certificate is None:
            raise ValueError("a key needs its certificate")
        if self.certificate is not None and self.proxy is not None:
            raise ValueError("a certificate or a proxy, not both")
        if self.token is not None and parts.scheme != "roots":
            raise ValueError("a token needs roots://, or everybody could read it")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ValueError("the token is none")
        if _MEANT & set("".join((self.certificate or "", self.key or "", self.proxy or ""))):
            raise ValueError("XRootD's client takes no file with one of & ? = < > in its path")


PLUGIN = Plugin(
    name="xrootd",
    summary="files on an XRootD server, over root:// and roots://",
    config=XrootdOptions,
    factory="storage_plugins.xrootd_element:XrootdElement",
    requires=("XRootD",),
    extra="xrootd",
)
