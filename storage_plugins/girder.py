"""The type `girder`: its options, light to import. See `girder_element.py` for what the element does."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from .http_options import HttpOptions
from .registry import Plugin

_ROOT = re.compile(r"[0-9a-f]{24}|/?(collection|user)(/[^/]+)+/?")
_MIB = 1 << 20


class GirderOptions(HttpOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[str, Meta(description="of the REST API, as https://host/api/v1", pattern="^https?://")]
    root: Annotated[
        str,
        Meta(description="what holds the objects: /collection/NAME/FOLDER, /user/LOGIN/FOLDER, or the id of a folder"),
    ]
    api_key: Annotated[
        str | None, Meta(description="of a Girder user; tokens are made of it as needed", extra={"secret": True})
    ] = None
    token: Annotated[
        str | None, Meta(description="or a Girder token, of no use once it has expired", extra={"secret": True})
    ] = None
    username: Annotated[str | None, Meta(description="or a Girder user's login")] = None
    password: Annotated[str | None, Meta(description="and password", extra={"secret": True})] = None
    chunk_size: Annotated[
        int,
        Meta(
            description="bytes sent in one request; two such pieces are held in memory by each upload",
            ge=5 * _MIB,  # Girder refuses smaller ones
            le=256 * _MIB,
        ),
    ] = 16 * _MIB

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.api_key is not None and (self.token is not None or self.username is not None):
            raise ValueError("an api_key, a token or a password: one of them")
        if not _ROOT.fullmatch(self.root):
            raise ValueError("root is the id of a folder, or a path that begins with /collection/ or /user/")


PLUGIN = Plugin(
    name="girder",
    summary="items of a Girder server (Girder 3 to 5), one file in each",
    config=GirderOptions,
    factory="storage_plugins.girder_element:GirderElement",
)
