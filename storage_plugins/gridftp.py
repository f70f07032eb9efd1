"""Objects as files below a folder of a GridFTP server: the options.

Light to import. See `gridftp_element.py` and `gridftp_copies.py` for what the element does.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
_DEFAULT_PORTS = {"gsiftp": 2811, "ftp": 21}


class GridftpOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[
        str,
        Meta(
            description="of the root folder, as gsiftp://host:port/path; ftp:// is without any protection",
            pattern="^(gsiftp|ftp)://",
        ),
    ]
    certificate: Annotated[
        str | None,
        Meta(description="PEM file of our proxy or certificate, on the server; with its key, or `key`. Read anew"),
    ] = None
    key: Annotated[str | None, Meta(description="PEM file of the certificate's key")] = None
    ca: Annotated[str, Meta(description="file or hashed folder of CA certificates to trust")] = (
        "/etc/grid-security/certificates"
    )
    crl: Annotated[
        bool, Meta(description="refuse certificates that are revoked: `ca` then needs a current CRL of every CA")
    ] = False
    data: Annotated[
        Literal["authenticated", "clear", "private"],
        Meta(
            description="connections for data over gsiftp: both ends prove that they are of our session, or nobody"
            " does, or they are encrypted as well"
        ),
    ] = "authenticated"
    username: Annotated[str | None, Meta(description="over ftp://, anonymous without")] = None
    password: Annotated[str | None, Meta(description="over ftp://", extra={"secret": True})] = None
    streams: Annotated[int, Meta(description="parallel connections for the data of a large object", ge=1, le=64)] = 4
    passive: Annotated[
        bool,
        Meta(description="we are behind NAT or a firewall: read over one connection that we make, not the server"),
    ] = False
    data_ports: Annotated[
        str | None, Meta(description="ports to wait at for the server's connections, as 20000-25000; any without")
    ] = None
    other_hosts: Annotated[
        bool, Meta(description="let the server send us to other hosts for data, as dCache and striped servers do")
    ] = False
    timeout: Annotated[
        float, Meta(description="seconds to wait for a connection, an answer or the next bytes", gt=0)
    ] = 60
    connections: Annotated[int, Meta(description="operations at once", ge=1, le=256)] = 16
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice an unmounted disk")
    ] = True

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
        path = unquote(parts.path, errors="replace")
        if any(character in path for character in "\0\r\n\ufffd"):
            raise ValueError("the URL's path has a character that GridFTP cannot send")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if not f"{self.username or ''}{self.password or ''}".isprintable():
            raise ValueError("a line break or control character in username or password")
        if self.secure and self.username is not None:
            raise ValueError("over gsiftp a certificate says who we are, no password")
        if self.secure and self.certificate is None:
            raise ValueError("gsiftp needs the option 'certificate'")
        if not self.secure and self.certificate is not None:
            raise ValueError("over ftp:// a certificate is of no use: gsiftp:// it is")
        if self.data_ports is not None:
            _ = self.listening

    @property
    def secure(self) -> bool:
        return self.url.startswith("gsiftp:")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]

    @property
    def root(self) -> str:
        """The root folder's path, without a slash at its end."""
        return unquote(urlsplit(self.url).path).rstrip("/")

    @property
    def listening(self) -> range:
        """Ports to listen on; 0 for any."""
        if self.data_ports is None:
            return range(1)
        found = _PORTS.fullmatch(self.data_ports)
        ports = range(int(found[1]), int(found[2]) + 1) if found else range(0)
        if not ports or ports[0] < 1 or ports[-1] > 65535:
            raise ValueError("data_ports are two numbers with a hyphen between, as 20000-25000")
        return ports


PLUGIN = Plugin(
    name="gridftp",
    summary="files of a GridFTP server, with an X.509 proxy (gsiftp) or without (ftp)",
    config=GridftpOptions,
    factory="storage_plugins.gridftp_copies:GridftpCopier",
    requires=("cryptography",),
    extra="gridftp",
)
