"""Objects in a bucket of an S3 server: its options.

This module imports no SDK. See `s3_element.py` for what the element does.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from .options import CommonOptions
from .registry import Plugin

_SECRET = {"secret": True}
_MIB = 1 << 20


class S3Options(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    bucket: Annotated[str, Meta(description="the bucket", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")]
    endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="the server, as https://host:port; Amazon's own without it"),
    ] = None
    region: Annotated[str, Meta(description="the bucket's region, part of every signature", min_length=1)] = "us-east-1"
    prefix: Annotated[str, Meta(description="what every key begins with, a slash follows: only a part of a bucket")] = (
        ""
    )
    access_key: Annotated[str | None, Meta(description="the access key's id; without it we are anonymous")] = None
    secret_key: Annotated[str | None, Meta(description="the secret of the access key", extra=_SECRET)] = None
    session_token: Annotated[str | None, Meta(description="of a temporary access key", extra=_SECRET)] = None
    environment: Annotated[
        bool,
        Meta(description="take credentials from the server's AWS_* variables, ~/.aws or its machine's role"),
    ] = False
    addressing: Annotated[
        Literal["auto", "path", "virtual"],
        Meta(description="where URLs have the bucket; auto: in the path with an endpoint, else in the host name"),
    ] = "auto"
    ca: Annotated[
        str | None, Meta(description="file or hashed folder of CA certificates to trust, in place of the system's")
    ] = None
    timeout: Annotated[float, Meta(description="seconds to wait for a connection or the next bytes", gt=0)] = 60
    connections: Annotated[int, Meta(description="operations at once", ge=1, le=1024)] = 32
    part_size: Annotated[
        int,
        Meta(description="bytes of a part: what is longer is sent and read in parts", ge=5 * _MIB, le=1024 * _MIB),
    ] = 16 * _MIB
    parallel: Annotated[int, Meta(description="parts of one object on their way at once", ge=1, le=16)] = 4
    storage_class: Annotated[
        str | None, Meta(description="of what is written, as STANDARD_IA; else the bucket's default")
    ] = None
    encryption: Annotated[
        Literal["AES256", "aws:kms"] | None, Meta(description="ask the server to encrypt what is written")
    ] = None
    kms_key: Annotated[str | None, Meta(description="the key's id for aws:kms; else the bucket's default")] = None
    etag_md5: Annotated[
        bool, Meta(description="the server's ETags are MD5 sums, as Amazon's; false: never compare or tell them")
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.endpoint is not None:
            try:
                parts = urlsplit(self.endpoint)
                _ = parts.port
            except ValueError:
                raise ValueError("the endpoint cannot be read") from None
            if not parts.hostname or parts.query or parts.fragment:
                raise ValueError("an endpoint has a host, no query and no fragment")
            if parts.username is not None or parts.password is not None:
                raise ValueError("credentials do not belong into the endpoint: there are options for them")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        if self.session_token is not None and self.access_key is None:
            raise ValueError("a session_token needs its access_key")
        if self.environment and self.access_key is not None:
            raise ValueError("credentials are given, or taken from the environment, not both")
        if not f"{self.access_key or ''}{self.session_token or ''}{self.region}".isprintable():
            raise ValueError("a line break or control character in access_key, session_token or region")
        if self.kms_key is not None and self.encryption != "aws:kms":
            raise ValueError("a kms_key goes with encryption=aws:kms")
        if any(part in ("", ".", "..") for part in self.prefix.strip("/").split("/")) and self.prefix.strip("/"):
            raise ValueError("a prefix has no empty components, no '.' and no '..'")


PLUGIN = Plugin(
    name="s3",
    summary="objects in a bucket of an S3 server: Amazon, Ceph, SeaweedFS and others",
    config=S3Options,
    factory="storage_plugins.s3_element:S3Element",
    requires=("aiobotocore",),
    extra="s3",
)
