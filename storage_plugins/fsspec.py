"""Objects in anything that fsspec has a file system for: its options.

This module imports no SDK. See `fsspec_element.py` for what the element does, and promises.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin


class FsspecOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[
        str,
        Meta(
            description="the root as fsspec has it, e.g. ftp://host/data or zip://::/srv/x.zip",
            pattern="^[a-z0-9+.-]+:",
        ),
    ]
    options: Annotated[
        str | None,
        Meta(
            description='what the file system takes besides, as JSON: {"username": "u", "password": "p"}',
            extra={"secret": True},
        ),
    ] = None
    read_only: Annotated[bool, Meta(description="never write: archives, web servers, other people's data")] = False
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice a lost disk; not with read_only")
    ] = True
    threads: Annotated[
        int, Meta(description="calls at once, each with a file system object of its own", ge=1, le=64)
    ] = 4

    def __post_init__(self) -> None:
        CommonOptions.__post_init__(self)
        if any(urlsplit(part).password for part in self.url.split("::")):
            raise ValueError("the url holds a password: put it into 'options', which is kept secret")
        self.file_system_options()

    def file_system_options(self) -> dict[str, object]:
        """The parsed `options`. Raises ValueError, which holds nothing of them."""
        try:
            return msgspec.json.decode(self.options or "{}", type=dict[str, object])
        except msgspec.DecodeError:
            raise ValueError("'options' is no JSON object") from None


PLUGIN = Plugin(
    name="fsspec",
    summary="any file system that fsspec speaks: FTP, SMB, HDFS, WebHDFS, archives and many more",
    config=FsspecOptions,
    factory="storage_plugins.fsspec_element:open_element",
    requires=("fsspec",),
    extra="fsspec",
)
