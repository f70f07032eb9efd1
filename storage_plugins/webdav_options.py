"""The type `webdav`: its options, light to import."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .http_options import HttpOptions
from .registry import Plugin


class WebdavOptions(HttpOptions, kw_only=True, forbid_unknown_fields=True):
    expect: Annotated[
        bool,
        Meta(description="ask before a file is sent (Expect: 100-continue): the server may refuse or redirect early"),
    ] = True
    dialect: Annotated[
        Literal["plain", "xrootd"],
        Meta(description="xrootd: third-party copies, checksums and macaroons, and what it does differently"),
    ] = "plain"


PLUGIN = Plugin(
    name="webdav",
    summary="files of a WebDAV server: Apache, rclone, XRootD and others",
    config=WebdavOptions,
    factory="storage_plugins.webdav_xrootd:opened",
)
