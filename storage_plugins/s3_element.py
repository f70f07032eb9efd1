"""Objects in a bucket of an S3 server.

A PFN is a key, after `prefix`. What fits into one part is written by one request, the rest by a multipart upload: S3
shows nothing before either is complete, so there is no staging place, and no rename. Parts that dead writers left are
told and taken away by `scan_staging` and `clean_staging`.

That a write replaces nothing unasked is left to the server where it keeps to `If-None-Match` (`s3_exclusive.py`);
elsewhere it is only sure among the writers of one process, and so are SeaweedFS's uploads in parts: it looks, then
completes. `a` and `a/b` can both be objects, unless the server keeps
files. Scans come in the server's order, which is not always that of the keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lading.model.checksum import kind, normalise

from . import s3_staging
from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import CheckedChunks
from .errors import ObjectExists, ObjectNotFound, StorageError, Unavailable, Unsupported
from .powers import Part, Presigned
from .probing import probe_by_use
from .s3_client import S3Client, microseconds
from .s3_copy import Copier
from .s3_cut import MOST_PARTS
from .s3_exclusive import Exclusive
from .s3_parts import Parts
from .s3_read import Reading, Slots
from .s3_sums import Sums
from .s3_write import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence

    from .s3 import S3Options


_LONGEST = 7 * 86400  # seconds a signed URL is good for at most: SigV4
_SMALLEST_PART = 5 << 20
_HEADERS = {
    "StorageClass": "x-amz-storage-class",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}


class S3Element(Element):
    """See the module. Powers: Presigns, ServerCopies (inside one server, with one key), Checksums, WritesParts,
    KeepsMetadata (tags), KeepsStaging."""

    type = "s3"
    atomic_replace = True
    _versions: list[tuple[str, int]] | None = None  # the first that was read, for `of_one_version`

    def __init__(self, options: S3Options, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self._options = options
        self._client = S3Client(options)
        self._exclusive = Exclusive(self._client)
        self._sums = Sums(self._client)
        self._writer = Writer(
            self._client, self._exclusive, self._sums, part_size=options.part_size, parallel=options.parallel
        )
        self._copier = Copier(self._client, self._writer, self._exclusive)
        self._parts = Parts(self._client, self._writer)
        self._tagging = asyncio.Lock()
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
        limits = {"part_size": o.part_size, "parallel": o.parallel}
        reading = Reading(self._client, self._slots, pfn, start, stop, **limits, versions=self._versions)
        async with aclosing(aiter(reading)) as chunks:
            async for chunk in chunks:
                yield chunk

    def of_one_version(self) -> S3Element:
        again = copy.copy(self)
        again._versions = []
        return again

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
        sums = {kind(name): normalise(name, value) for name, value in checksums.items()}
        await self._writer.write(pfn, checked, size, overwrite=overwrite, expected=sums)
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

    async def copies_from(self, source: Element) -> bool:
        there = unwrapped(source)
        return isinstance(there, S3Element) and there._client.identity == self._client.identity

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        there = unwrapped(source)
        if not isinstance(there, S3Element) or there._client.identity != self._client.identity:
            raise Unsupported("the source is on another server, or belongs to another key", pfn=source_pfn)
        key = self._client.key(pfn)
        head = await there._head(source_pfn)
        if (there._client.bucket, there._client.key(source_pfn)) == (self._client.bucket, key):
            if not overwrite:
                raise ObjectExists("it is the same object", pfn=pfn)
        else:
            await self._copier.copy(there._client, source_pfn, head, pfn, overwrite=overwrite)
        return ObjectInfo(head["ContentLength"])

    async def presign_get(self, pfn: str, *, expires_in: int) -> Presigned:
        return await self._presigned("get_object", "GET", pfn, expires_in, {})

    async def presign_put(self, pfn: str, *, expires_in: int, size: int | None = None) -> Presigned:
        headers = {_HEADERS[name]: value for name, value in self._client.written.items()}
        bound: dict[str, Any] = {}
        if size is not None:
            headers["Content-Length"], bound = str(size), {"ContentLength": size}
        return await self._presigned("put_object", "PUT", pfn, expires_in, headers, **self._client.written, **bound)

    async def _presigned(
        self, operation: str, method: str, pfn: str, expires_in: int, headers: dict[str, str], **parameters: Any
    ) -> Presigned:
        key = self._client.key(pfn)
        if self._client.anonymous:
            raise Unsupported("without an access key there is nothing to sign with", pfn=pfn)
        if not 1 <= expires_in <= _LONGEST:
            raise Unsupported(f"a signed URL is good for 1 to {_LONGEST} seconds", pfn=pfn)
        expires = int(time.time()) + expires_in
        url = await self._client.presigned(operation, expires_in, Key=key, **parameters)
        return Presigned(url, method, expires, headers)

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        told = await self._sums.told(pfn, await self._head(pfn, ChecksumMode="ENABLED"))
        return {name: value for name, value in told.items() if name in set(map(kind, kinds))}

    @property
    def min_part_size(self) -> int:
        return _SMALLEST_PART

    @property
    def max_parts(self) -> int:
        return MOST_PARTS

    async def start_parts(self, pfn: str, *, part_size: int, size: int | None = None) -> str:
        return await self._parts.start(pfn)

    async def write_part(self, pfn: str, upload: str, number: int, chunks: AsyncIterable[Chunk], *, size: int) -> Part:
        return await self._parts.write(pfn, upload, number, chunks, size=size)

    async def parts(self, pfn: str, upload: str) -> list[Part]:
        return await self._parts.list(pfn, upload)

    async def finish_parts(
        self,
        pfn: str,
        upload: str,
        parts: Sequence[Part],
        *,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        return await self._parts.finish(pfn, upload, parts, overwrite=overwrite, checksums=checksums)

    async def abort_parts(self, pfn: str, upload: str) -> None:
        await self._parts.abort(pfn, upload)

    async def get_metadata(self, pfn: str) -> dict[str, str]:
        """The object's tags: ten at most, as Amazon has it."""
        await self._head(pfn)
        answer = await self._client.call("get_object_tagging", pfn=pfn, Key=self._client.key(pfn))
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    async def set_metadata(self, pfn: str, values: Mapping[str, str | None]) -> None:
        async with self._tagging:  # S3 sets all tags at once
            merged = {**await self.get_metadata(pfn), **values}
            tags = [{"Key": name, "Value": value} for name, value in merged.items() if value is not None]
            await self._client.call("put_object_tagging", pfn=pfn, Key=self._client.key(pfn), Tagging={"TagSet": tags})

    async def _head(self, pfn: str, **more: Any) -> Any:
        """Raises ObjectNotFound when the bucket is there, and only then."""
        try:
            return await self._client.call("head_object", pfn=pfn, Key=self._client.key(pfn), **more)
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
