"""Calls of one bucket's server: a client of aiobotocore, opened with the first, its errors typed."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]  # it has no type annotations
from aiobotocore.session import AioSession  # type: ignore[import-untyped]  # nor has this
from botocore import UNSIGNED  # type: ignore[import-untyped]  # nor has this
from botocore.utils import parse_timestamp  # type: ignore[import-untyped]  # nor has this

from .errors import InvalidPath, Unavailable
from .paths import components, shown
from .s3_errors import failed, is_wire
from .s3_http import Session, Upload
from .s3_names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from .base import Chunk
    from .s3 import S3Options

_LONGEST_KEY = 1024  # bytes of UTF-8, as Amazon has it
MD5 = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"[0-9a-f]{32}-\d+")


class S3Client:
    def __init__(self, options: S3Options) -> None:
        self.bucket = options.bucket
        self.etag_md5 = options.etag_md5
        self._prefix = f"{options.prefix.strip('/')}/" if options.prefix.strip("/") else ""
        self._options = options
        self._names = Names(self)
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._closed = False

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two clients that are the same to a server."""
        o = self._options
        return o.endpoint, o.region, o.access_key, o.secret_key, o.session_token, o.environment

    @property
    def anonymous(self) -> bool:
        return self._options.access_key is None and not self._options.environment

    @property
    def written(self) -> dict[str, Any]:
        """Parameters of every request that makes an object."""
        o = self._options
        given = {"StorageClass": o.storage_class, "ServerSideEncryption": o.encryption, "SSEKMSKeyId": o.kms_key}
        return {name: value for name, value in given.items() if value is not None}

    def key(self, pfn: str) -> str:
        """Raises InvalidPath."""
        components(pfn)
        return self.key_prefix(pfn)

    def key_prefix(self, prefix: str) -> str:
        """What the keys of PFNs that begin with `prefix` begin with. Raises InvalidPath."""
        key = self._prefix + prefix
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise InvalidPath(f"'{shown(prefix)}' is not Unicode, which keys are", pfn=prefix) from None
        if size > _LONGEST_KEY:
            raise InvalidPath(f"its key would have {size} bytes, at most {_LONGEST_KEY} are allowed", pfn=prefix)
        return key

    def pfn(self, key: str) -> str:
        return key.removeprefix(self._prefix)

    async def call(self, operation: str, *, pfn: str | None = None, unchecked: bool = False, **parameters: Any) -> Any:
        """The parsed answer. StorageError for everything that goes wrong; InvalidPath for a `Key` that the server would
        change, unless it is `unchecked`."""
        if "Key" in parameters and not unchecked:
            await self._names.check(parameters["Key"])
        try:
            client = await self._open()
            return await getattr(client, operation)(Bucket=self.bucket, **parameters)
        except Exception as error:
            if is_wire(error):
                raise failed(error, operation, pfn=pfn) from error
            raise

    async def send(
        self, operation: str, chunks: AsyncIterable[Chunk], size: int, *, pfn: str | None = None, **parameters: Any
    ) -> Any:
        """As `call`, with a body. What `chunks` raise goes through unchanged."""
        body = Upload(chunks, size)
        try:
            return await self.call(operation, pfn=pfn, Body=body, ContentLength=size, **parameters)
        except Exception:
            if body.error:
                raise body.error from None
            raise

    async def presigned(self, operation: str, expires_in: int, **parameters: Any) -> str:
        await self._names.check(parameters["Key"])
        try:
            client = await self._open()
            url: str = await client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket, **parameters}, ExpiresIn=expires_in
            )
        except Exception as error:
            if is_wire(error):
                raise failed(error, operation, pfn=None) from error
            raise
        return url

    def md5(self, answer: Any) -> str | None:
        """The MD5 sum of an object or part, where its ETag is one."""
        tag = etag(answer)
        return tag if self._comparable(answer) and MD5.fullmatch(tag) else None

    def md5_of_parts(self, answer: Any) -> str | None:
        """The ETag of an object made of parts, where it is made of their MD5 sums."""
        tag = etag(answer)
        return tag if self._comparable(answer) and _OF_PARTS.fullmatch(tag) else None

    def _comparable(self, answer: Any) -> bool:
        # With a key of a key store, or of the client, the ETag is of what was encrypted.
        return self.etag_md5 and not (
            str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer
        )

    async def aclose(self) -> None:
        self._closed = True
        async with self._opening:
            self._client = None
            await self._stack.aclose()

    async def _open(self) -> Any:
        if self._client is None:
            async with self._opening:
                if self._closed:
                    raise Unavailable("the element is closed")
                if self._client is None:
                    client = await self._stack.enter_async_context(self._made())
                    client.meta.events.register("before-call.s3", _stay)
                    self._client = client
        return self._client

    def _made(self) -> Any:
        o = self._options
        style = o.addressing if o.addressing != "auto" else "path" if o.endpoint else "virtual"
        config = AioConfig(
            signature_version=UNSIGNED if self.anonymous else "s3v4",
            request_checksum_calculation="when_required",  # the others need what Ceph 16 and rclone do not know
            response_checksum_validation="when_required",
            # Every body goes with its MD5 sum, which is signed: a signed SHA-256 sum would be made in the event loop.
            s3={"addressing_style": style, "payload_signing_enabled": False, "us_east_1_regional_endpoint": "regional"},
            retries={"total_max_attempts": 1, "mode": "standard"},  # `retried.py` does that, and parts are sent again
            connect_timeout=o.timeout,
            read_timeout=o.timeout,
            http_session_cls=Session,
            warm_up_loader_caches=True,  # in a thread
            ignore_configured_endpoint_urls=True,
            user_agent="lading",  # botocore makes up its own anew for each request: an eighth of its time
            proxies={},
        )
        return _session(o.environment).create_client(
            "s3",
            region_name=o.region,
            endpoint_url=o.endpoint,
            aws_access_key_id=o.access_key,
            aws_secret_access_key=o.secret_key,
            aws_session_token=o.session_token,
            verify=o.ca or True,
            config=config,
        )


@cache
def _session(environment: bool) -> Any:
    """A process's: it holds the descriptions of Amazon's services, some 20 MB. Without `environment` it looks at no
    variable and no file of the user's."""
    session = AioSession()
    if not environment:
        session.set_config_variable("profile", None)
        for name in ("config_file", "credentials_file"):
            session.set_config_variable(name, os.devnull)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _stay(context: dict[str, Any], **_: Any) -> None:
    """botocore would look for the bucket in other regions, and without end where every answer is a redirect."""
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True


def _moment(value: Any) -> datetime:
    """botocore's own takes a third of the time of a page of a listing."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            if moment.tzinfo:
                return moment
    found: datetime = parse_timestamp(value)
    return found


def etag(answer: Any) -> str:
    """As it is told, without quotes; empty when it is not told."""
    return str(answer.get("ETag") or "").strip('"')


def microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)
