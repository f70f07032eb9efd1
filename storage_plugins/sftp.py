"""Objects as files below a folder of an SSH server, over SFTP: its options.

This module imports no SDK. See `sftp_element.py` for what the element does.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_SECRET = {"secret": True}


class SftpOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="name or address of the SSH server", min_length=1)]
    port: Annotated[int, Meta(description="its port", ge=1, le=65535)] = 22
    user: Annotated[str, Meta(description="whom to log in as", min_length=1)]
    path: Annotated[
        str, Meta(description="the root folder; below the user's home without a slash in front", min_length=1)
    ]
    password: Annotated[str | None, Meta(description="the user's password", extra=_SECRET)] = None
    key: Annotated[
        str | None,
        Meta(description="a private key itself, in any OpenSSH or PEM form (--option key=@FILE)", extra=_SECRET),
    ] = None
    key_file: Annotated[str | None, Meta(description="or a file on the lading server that holds it")] = None
    passphrase: Annotated[str | None, Meta(description="of the private key", extra=_SECRET)] = None
    host_key: Annotated[
        str | None,
        Meta(description="the server's public key, as in its ssh_host_*_key.pub; several with a comma between"),
    ] = None
    known_hosts: Annotated[
        str | None,
        Meta(description="or a known_hosts file on the lading server; else ~/.ssh/known_hosts and the system's"),
    ] = None
    connections: Annotated[int, Meta(description="SSH connections at most", ge=1, le=64)] = 4
    fsync: Annotated[bool, Meta(description="survive a power cut: have the server sync every file")] = True
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice an unmounted disk")
    ] = True


PLUGIN = Plugin(
    name="sftp",
    summary="files below a folder of an SSH server",
    config=SftpOptions,
    factory="storage_plugins.sftp_element:SftpElement",
    requires=("asyncssh",),
    extra="sftp",
)
