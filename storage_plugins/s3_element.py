"""Objects in a bucket of an S3 server.

A PFN is a key, after `prefix`. What fits into one part is written by one request, the rest by a multipart upload: S3
shows nothing before either is complete, so there is no staging place, and no rename. Parts that dead writers left are
told and taken away by `scan_staging` and `clean_staging`.

That a write replaces nothing unasked is left to the server where it keeps to `If-None-Match` (`s3_exclusive.py`);
elsewhere it is only sure among the writers of one process. `a` and `a/b` can both be objects, unless the server keeps
files. Scans come in the server's order, which is not always that of the keys.
"""

from __future__ import annotations

import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from . import s3_staging
from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span
from .chunks import CheckedChunks
from .errors import ObjectNotFound, StorageError, Unavailable
from .probing import probe_by_use
from .s3_client import S3Client, microseconds
from .s3_exclusive import Exclusive
from .s3_read import Reading, Slots
from .s3_write import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

    from .s3 import S3Options


class S3Element(Element):
    type = "s3"
    atomic_replace = True

    def __init__(self, options: S3Options, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self._options = options
        self._client = S3Client(options)
        self._exclusive = Exclusive(self._client)
        self._writer = Writer(self._client, self._exclusive, part_size=options.part_size, parallel=options.parallel)
        self._slots = Slots(2 * (options.parallel - 1))

    async def stat(self, pfn: str) -> ObjectInfo:
        head = await self._head(pfn)
        md5 = self._client.md5(head)
        return ObjectInfo(head["ContentLength"], microseconds(head.get("LastModified")), {"md5": md5} if md5 else {})

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        if start == stop:
            await self.stat(pfn)
            return
        o = self._options
        reading = Reading(self._client, self._slots, pfn, start, stop, part_size=o.part_size, parallel=o.parallel)
        async with aclosing(aiter(reading)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        self._client.key(pfn)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        await self._writer.write(pfn, checked, size, overwrite=overwrite)
        return ObjectInfo(checked.size, None, checked.checksums)

    async def remove(self, pfn: str) -> None:
        await self._head(pfn)  # S3 says nothing of an object that is not there, and rclone takes an empty folder
        await self._client.call("delete_object", pfn=pfn, Key=self._client.key(pfn))

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        more: dict[str, Any] = {}
        while True:
            page = await self._client.call("list_objects_v2", Prefix=self._client.key_prefix(prefix), **more)
            for found in page.get("Contents", ()):
                pfn = self._client.pfn(found["Key"])
                if pfn.startswith(RESERVED) or pfn.endswith("/") or not pfn:  # consoles make "folders" of such keys
                    continue
                moment = found.get("LastModified")  # HEAD tells it in whole seconds
                yield ScanEntry(pfn, found["Size"], microseconds(moment and moment.replace(microsecond=0)))
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or more.get("ContinuationToken") == following:
                raise StorageError("the server's listing does not go on")
            more = {"ContinuationToken": following}

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare and not await self._bucket_is_there():
                await self._make_bucket()
            await self._client.call("list_objects_v2", Prefix=self._client.key_prefix(RESERVED), MaxKeys=1)
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        await self._writer.aclose()
        await self._client.aclose()

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with aclosing(s3_staging.scan(self._client)) as found:
            async for entry in found:
                yield entry

    async def clean_staging(self, older_than_us: int) -> int:
        return await s3_staging.clean(self._client, older_than_us)

    async def _head(self, pfn: str) -> Any:
        """Raises ObjectNotFound when the bucket is there, and only then."""
        try:
            return await self._client.call("head_object", pfn=pfn, Key=self._client.key(pfn))
        except ObjectNotFound:
            if not await self._bucket_is_there():
                raise Unavailable("there is no such bucket") from None
            raise

    async def _bucket_is_there(self) -> bool:
        with contextlib.suppress(ObjectNotFound):
            await self._client.call("head_bucket")
            return True
        return False

    async def _make_bucket(self) -> None:
        region = self._options.region
        place: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        await self._client.call("create_bucket", **place)
