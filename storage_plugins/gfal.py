"""Objects as files of a grid storage that gfal2 speaks to: the options.

Light to import. See `gfal_element.py` for what the element does, `gfal_pool.py` for how it comes to gfal2.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_GSI = ("srm", "gsiftp", "gsidcap")


class GfalOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[
        str,
        Meta(
            description="of the root folder, as srm://host:8443/srm/managerv2?SFN=/path or gsiftp://host/path",
            pattern="^(srm|gsiftp|ftp|gsidcap|dcap|file|mock)://",
        ),
    ]
    certificate: Annotated[
        str | None, Meta(description="PEM file of our proxy or certificate, on the server; with its key, or `key`")
    ] = None
    key: Annotated[str | None, Meta(description="PEM file of the certificate's key")] = None
    ca: Annotated[str, Meta(description="hashed folder of CA certificates to trust")] = (
        "/etc/grid-security/certificates"
    )
    streams: Annotated[int, Meta(description="parallel connections of a copy between two storages", ge=1, le=64)] = 1
    timeout: Annotated[float, Meta(description="seconds to wait for an answer or a sign of life", gt=0)] = 60
    connections: Annotated[int, Meta(description="operations at once; each is a process", ge=1, le=64)] = 8
    marker: Annotated[
        bool, Meta(description="need the file .lading-element in the root, to notice a storage that is not itself")
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.url.isprintable() or "#" in self.url:
            raise ValueError("the URL has a character that is not for URLs")
        if "@" in self.url.partition("://")[2].partition("/")[0]:
            raise ValueError("credentials do not belong into the URL")
        if self.scheme in _GSI and self.certificate is None:
            raise ValueError(f"{self.scheme} needs the option 'certificate'")

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]


PLUGIN = Plugin(
    name="gfal",
    summary="files of a grid storage that gfal2 speaks to: SRM, dCache's doors",
    config=GfalOptions,
    factory="storage_plugins.gfal_element:GfalElement",
)
