"""Copies that the server makes: by one request up to 5 GiB, which is Amazon's limit, else in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ObjectExists, ObjectNotFound, StorageError, Transient, Unsupported
from .s3_client import S3Client, etag
from .s3_cut import MOST_PARTS
from .s3_errors import status_of
from .s3_write import Sent, Writer

if TYPE_CHECKING:
    from .s3_exclusive import Exclusive

LARGEST_COPY = 5 << 30
COPIED_PART = 1 << 29


class Copier:
    def __init__(self, client: S3Client, writer: Writer, exclusive: Exclusive) -> None:
        self._client = client
        self._writer = writer
        self._exclusive = exclusive
        self.largest, self.part_size = LARGEST_COPY, COPIED_PART

    async def copy(self, source: S3Client, source_pfn: str, head: Any, pfn: str, *, overwrite: bool) -> None:
        """`head` is what the server told of the source: exactly this version is copied. Raises ObjectNotFound,
        ObjectExists, Unsupported."""
        pinned: dict[str, Any] = {"CopySource": {"Bucket": source.bucket, "Key": source.key(source_pfn)}}
        if tag := etag(head):
            pinned["CopySourceIfMatch"] = f'"{tag}"'
        if head["ContentLength"] > self.largest:
            await self._in_parts(pinned, source_pfn, head["ContentLength"], pfn, overwrite)
        else:
            await self._at_once(pinned, source_pfn, head, pfn, overwrite)

    async def _at_once(self, pinned: dict[str, Any], source_pfn: str, head: Any, pfn: str, overwrite: bool) -> None:
        key = self._client.key(pfn)
        async with self._exclusive.condition("copy_object", pfn, overwrite=overwrite) as condition:
            try:
                answer = await self._client.call(
                    "copy_object", pfn=pfn, Key=key, **pinned, **self._client.written, **condition
                )
            except StorageError as error:
                if status_of(error) == 412 and condition and await self._exclusive.is_there(pfn):
                    raise ObjectExists("an object is there already", pfn=pfn) from None
                raise _of_source(error, source_pfn) from None
        result = {**answer, **answer.get("CopyObjectResult", {})}
        await self._writer.check(pfn, key, result, self._client.md5(head), head["ContentLength"])

    async def _in_parts(self, pinned: dict[str, Any], source_pfn: str, size: int, pfn: str, overwrite: bool) -> None:
        if not overwrite:
            await self._exclusive.check_free(pfn)
        part_size = max(self.part_size, -(-size // MOST_PARTS))
        async with self._writer.upload(pfn, self._client.key(pfn), overwrite=overwrite) as multipart:

            async def part(number: int, start: int, end: int) -> Sent:
                try:
                    answer = await self._client.call(
                        "upload_part_copy",
                        pfn=pfn,
                        PartNumber=number,
                        CopySourceRange=f"bytes={start}-{end - 1}",
                        **pinned,
                        **multipart.upload,
                    )
                except StorageError as error:
                    raise _of_source(error, source_pfn) from None
                tag = answer.get("CopyPartResult", {}).get("ETag")
                if not tag:  # rclone takes it for a part without bytes
                    raise Unsupported("the server copies no parts of objects", pfn=source_pfn)
                return Sent(number, tag, None, end - start)

            for number, start in enumerate(range(0, size, part_size), 1):
                multipart.start(part(number, start, min(start + part_size, size)))
                await multipart.room(self._writer.parallel)


def _of_source(error: StorageError, source_pfn: str) -> StorageError:
    """In a copy these mean the source."""
    if status_of(error) == 412:
        return Transient("the object was replaced while it was copied", pfn=source_pfn)
    if isinstance(error, ObjectNotFound):
        return ObjectNotFound("no such object", pfn=source_pfn)
    return error
