"""The type `irods`: its options, light to import. See `irods_element.py` for what the element does."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_MIB = 1 << 20


class IrodsOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="of an iRODS server of the zone", min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 1247
    zone: Annotated[str, Meta(description="the zone our user belongs to", min_length=1)]
    user: Annotated[str, Meta(description="who logs in", min_length=1)]
    password: Annotated[str | None, Meta(description="of that user", extra={"secret": True})] = None
    root: Annotated[
        str,
        Meta(
            description="the collection that holds the objects, as /ZONE/home/USER/lading; an element needs its own",
            pattern="^(/[^/]+){2,}/?$",
        ),
    ]
    resource: Annotated[
        str | None, Meta(description="where to write; the server's choice without. Reads take any good replica")
    ] = None
    authentication: Annotated[
        Literal["native", "pam_password"], Meta(description="pam_password sends the password itself: it needs tls")
    ] = "native"
    tls: Annotated[bool, Meta(description="encrypt, and verify the server's certificate")] = False
    ca: Annotated[
        str | None,
        Meta(description="PEM file of the authorities to trust, on the lading server; the system's without"),
    ] = None
    client_user: Annotated[
        str | None, Meta(description="act as this user; `user` is an administrator then. USER or USER#ZONE")
    ] = None
    connections: Annotated[
        int, Meta(description="objects read at once, and as many written; each has a thread and a session", ge=1, le=64)
    ] = 4
    chunk_size: Annotated[
        int,
        Meta(
            description="bytes sent or asked for at once; three such pieces are held in memory by each transfer",
            ge=4 * _MIB,  # iRODS answers each piece before it takes the next
            le=64 * _MIB,
        ),
    ] = 4 * _MIB
    server_checksums: Annotated[
        bool,
        Meta(description="have the server hash what it has written and compare; it reads all of it again for that"),
    ] = True
    timeout: Annotated[float, Meta(description="seconds to wait for an answer", gt=0, le=3600)] = 60
    long_timeout: Annotated[
        float,
        Meta(description="seconds to wait for what the server does alone: copies and checksums", gt=0, le=7 * 86400),
    ] = 6 * 3600

    def __post_init__(self) -> None:
        CommonOptions.__post_init__(self)
        if self.authentication == "pam_password" and not self.tls:
            raise ValueError("authentication by pam_password needs tls")
        if self.ca and not self.tls:
            raise ValueError("a ca is of no use without tls")
        if any(part in (".", "..") for part in self.root.split("/")):
            raise ValueError("root holds '.' or '..'")


PLUGIN = Plugin(
    name="irods",
    summary="data objects of an iRODS zone",
    config=IrodsOptions,
    factory="storage_plugins.irods_element:IrodsElement",
    requires=("irods",),
    extra="irods",
)
