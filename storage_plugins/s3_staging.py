"""Multipart uploads that were begun and not ended: S3 keeps their parts until somebody takes them away."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from .base import ScanEntry
from .errors import ObjectNotFound, StorageError
from .s3_client import S3Client, microseconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def uploads(client: S3Client) -> AsyncGenerator[dict[str, Any], None]:
    """Those of keys below our prefix: Key, UploadId, Initiated."""
    more: dict[str, Any] = {}
    while True:
        try:
            page = await client.call("list_multipart_uploads", Prefix=client.key_prefix(""), **more)
        except ObjectNotFound:
            return  # so rclone says that there are none
        for upload in page.get("Uploads", ()):
            yield upload
        if not page.get("IsTruncated"):
            return
        following = {
            marker: page[f"Next{marker}"] for marker in ("KeyMarker", "UploadIdMarker") if page.get(f"Next{marker}")
        }
        if not following or following == more:
            raise StorageError("the server's listing does not go on")
        more = following


async def scan(client: S3Client) -> AsyncGenerator[ScanEntry, None]:
    async for upload in uploads(client):
        parts = await listed(client, {name: upload[name] for name in ("Key", "UploadId")})
        moments = [upload.get("Initiated"), *(part.get("LastModified") for part in parts)]
        written = max((moment for moment in moments if moment), default=None)
        size = sum(part["Size"] for part in parts)
        yield ScanEntry(client.pfn(upload["Key"]), size, microseconds(written))


async def listed(client: S3Client, upload: dict[str, Any], pfn: str | None = None) -> list[dict[str, Any]]:
    """The parts of an upload, by number. Raises ObjectNotFound.

    SeaweedFS also lists those that were replaced: the later one is meant, and none when that cannot be told.
    """
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = await client.call("list_parts", pfn=pfn, **upload, **more)
        found += page.get("Parts", ())
        if not page.get("IsTruncated"):
            return _latest(found)
        more = {"PartNumberMarker": found[-1]["PartNumber"]}


def _latest(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_number: dict[int, list[dict[str, Any]]] = {}
    for part in listed:
        by_number.setdefault(part["PartNumber"], []).append(part)
    chosen = []
    for same in by_number.values():
        newest = max(same, key=lambda part: part["LastModified"])
        if all(part["ETag"] == newest["ETag"] or part["LastModified"] < newest["LastModified"] for part in same):
            chosen.append(newest)
    return chosen


async def clean(client: S3Client, older_than_us: int) -> int:
    """Abort those to which nobody wrote for so long; returns how many."""
    limit = time.time_ns() // 1000 - older_than_us + 1_000_000  # servers tell whole seconds, Swift the next one
    old = [upload async for upload in uploads(client) if (microseconds(upload.get("Initiated")) or 0) <= limit]
    count = 0
    for upload in old:
        parameters = {name: upload[name] for name in ("Key", "UploadId")}
        with contextlib.suppress(ObjectNotFound):  # it was completed, or another cleaner was faster
            parts = await listed(client, parameters)
            written = [microseconds(part.get("LastModified")) or 0 for part in parts]
            if max(written, default=0) <= limit:
                await client.call("abort_multipart_upload", **parameters)
                count += 1
    return count
