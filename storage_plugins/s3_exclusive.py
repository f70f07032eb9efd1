"""Objects that appear only where none is: which of the server's ways to say so it keeps to, found out by trying.

`If-None-Match: *` is refused by some servers (Swift before 2.31: 501) and, worse, ignored by others (rclone). So before
it is relied on it is tried, once an element: on an object that is there it must be answered with 412.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .base import RESERVED
from .chunks import chunked
from .errors import Denied, ObjectExists, ObjectNotFound, StorageError, Transient
from .s3_client import S3Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_DATA = b"lading looks whether If-None-Match is kept"


class Exclusive:
    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._kept: dict[str, bool] = {}
        self._trying = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def condition(self, operation: str, pfn: str, *, overwrite: bool) -> AsyncGenerator[dict[str, Any], None]:
        """What to add to the parameters of `operation`, which makes the object inside the `async with`. Raises
        ObjectExists.

        Where the server keeps to no condition it is asked before, and writers of this element take turns: against
        other processes there is a moment between looking and writing then.
        """
        if overwrite:
            yield {}
            return
        kept = await self.kept(operation)
        async with self._locks.setdefault(pfn, asyncio.Lock()):
            if not kept:
                await self.check_free(pfn)
            yield {"IfNoneMatch": "*"} if kept else {}

    async def check_free(self, pfn: str) -> None:
        """Raises ObjectExists."""
        if await self.is_there(pfn):
            raise ObjectExists("an object is there already", pfn=pfn)

    async def is_there(self, pfn: str) -> bool:
        with contextlib.suppress(ObjectNotFound):
            await self._client.call("head_object", pfn=pfn, Key=self._client.key(pfn))
            return True
        return False

    async def kept(self, operation: str) -> bool:
        """Whether the server keeps to `If-None-Match` with this operation."""
        if operation not in self._kept:
            async with self._trying:
                if operation not in self._kept:
                    self._kept[operation] = await self._try(operation)
        return self._kept[operation]

    async def _try(self, operation: str) -> bool:
        key = self._client.key(f"{RESERVED}probe/exclusive-{secrets.token_hex(8)}")
        await self._put(key)
        try:
            try:
                await getattr(self, f"_{operation}")(key)
            except ObjectExists:
                return True
            except Transient:
                raise
            except StorageError:  # it knows the header, but not here, or refuses it altogether
                return False
            return False
        finally:
            with contextlib.suppress(Denied):  # a key that may only add: the small object stays
                await self._client.call("delete_object", Key=key)

    async def _put(self, key: str, **condition: Any) -> None:
        await self._client.send("put_object", chunked(_DATA), len(_DATA), Key=key, **condition)

    async def _put_object(self, key: str) -> None:
        await self._put(key, IfNoneMatch="*")

    async def _copy_object(self, key: str) -> None:
        source = {"Bucket": self._client.bucket, "Key": key}
        # "REPLACE": Amazon refuses to copy an object onto itself without a change
        await self._client.call(
            "copy_object", Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={}, IfNoneMatch="*"
        )

    async def _complete_multipart_upload(self, key: str) -> None:
        started = await self._client.call("create_multipart_upload", Key=key)
        upload = {"Key": key, "UploadId": started["UploadId"]}
        try:
            part = await self._client.send("upload_part", chunked(_DATA), len(_DATA), PartNumber=1, **upload)
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            await self._client.call("complete_multipart_upload", MultipartUpload=parts, IfNoneMatch="*", **upload)
        finally:
            with contextlib.suppress(ObjectNotFound):
                await self._client.call("abort_multipart_upload", **upload)
