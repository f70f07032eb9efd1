"""Objects read in spans: the first as it comes, those after it ahead of time, all of one version of the object."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .errors import StorageError, Transient
from .s3_client import S3Client, etag
from .s3_errors import failed, is_wire, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .base import Chunk

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Slots:
    """How many spans may wait in memory for their turn, of all reads of an element."""

    def __init__(self, count: int) -> None:
        self.free = count

    def take(self) -> bool:
        if self.free:
            self.free -= 1
            return True
        return False


class Reading:
    """One read of `pfn` from `start` up to `stop`. It must be of the version in `versions`, or puts its own there."""

    def __init__(
        self,
        client: S3Client,
        slots: Slots,
        pfn: str,
        start: int,
        stop: int | None,
        *,
        part_size: int,
        parallel: int,
        versions: list[tuple[str, int]] | None = None,
    ) -> None:
        self._client = client
        self._slots = slots
        self._pfn = pfn
        self._key = client.key(pfn)
        self._start, self._stop = start, stop
        self._part_size, self._parallel = part_size, parallel
        self._version: tuple[str, int] | None = None  # its ETag and size, once they are known
        self._versions = [] if versions is None else versions
        self._whole = False  # the server takes no notice of ranges

    async def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        at = self._start
        ahead: deque[asyncio.Task[list[Chunk]]] = deque()
        try:
            body = await self._open(at, self._until(at))
            if body is None:
                return
            end = self._end()
            async with aclosing(self._chunks(body, at, end if self._whole else self._until(at))) as chunks:
                at = planned = end if self._whole else self._until(at)
                planned = self._plan(planned, end, ahead)
                async for chunk in chunks:
                    yield chunk
            while at < end:
                if ahead:
                    waiting = await ahead[0]
                    ahead.popleft()
                    try:
                        at = min(at + self._part_size, end)
                        for chunk in waiting:
                            yield chunk
                    finally:
                        self._slots.free += 1
                    planned = self._plan(max(planned, at), end, ahead)
                else:  # others need the memory
                    until = min(at + self._part_size, end)
                    planned = self._plan(until, end, ahead)
                    async with aclosing(self._span(at, until)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    at = until
        finally:
            for task in ahead:
                task.cancel()
            self._slots.free += len(ahead)
            await asyncio.gather(*ahead, return_exceptions=True)

    def _until(self, at: int) -> int:
        """Where the first span ends."""
        end = at + self._part_size
        if self._stop is not None:
            end = min(end, self._stop)
        return min(end, self._version[1]) if self._version else end

    def _end(self) -> int:
        assert self._version, "an answer was seen"
        return self._version[1] if self._stop is None else min(self._stop, self._version[1])

    def _plan(self, at: int, end: int, ahead: deque[asyncio.Task[list[Chunk]]]) -> int:
        """Begin with the spans from `at`; returns where nobody has begun yet."""
        while at < end and len(ahead) < self._parallel - 1 and self._slots.take():
            until = min(at + self._part_size, end)
            ahead.append(asyncio.create_task(self._waiting(at, until)))
            at = until
        return at

    async def _waiting(self, start: int, stop: int) -> list[Chunk]:
        async with aclosing(self._span(start, stop)) as chunks:
            return [chunk async for chunk in chunks]

    async def _span(self, start: int, stop: int) -> AsyncGenerator[Chunk, None]:
        body = await self._open(start, stop)
        if body is None:
            raise Transient("the object became shorter while it was read", pfn=self._pfn)
        async with aclosing(self._chunks(body, start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _open(self, start: int, stop: int) -> tuple[Any, int] | None:
        """The raw body that begins with byte `start` after so many others; None when the object ends before it."""
        pinned: dict[str, Any] = {"IfMatch": f'"{self._version[0]}"'} if self._version and self._version[0] else {}
        try:
            answer = await self._client.call(
                "get_object", pfn=self._pfn, Key=self._key, Range=f"bytes={start}-{stop - 1}", **pinned
            )
        except StorageError as error:
            status = status_of(error)
            if status == 416 and not self._version:
                head = await self._client.call("head_object", pfn=self._pfn, Key=self._key)
                if head["ContentLength"] <= start:
                    return None
                raise Transient("the server refuses a range that is there", pfn=self._pfn) from None
            if self._version and status in (404, 412, 416):
                raise self._replaced() from None
            raise
        body = answer["Body"]
        try:
            return body.raw_stream, await self._skipped(answer, start, stop)
        except BaseException:
            body.close()
            raise

    async def _skipped(self, answer: Any, start: int, stop: int) -> int:
        """How many bytes of the body come before `start`. Raises Transient when it is not what was asked for."""
        length = answer.get("ContentLength")
        if length is None:
            raise StorageError("the server does not tell how much it sends", pfn=self._pfn)
        found = _RANGE.fullmatch(str(answer.get("ContentRange", "")).strip())
        if found:  # rclone tells it with the status 200
            first, last, total = map(int, found.groups())
        elif answer["ResponseMetadata"]["HTTPStatusCode"] == 200:
            first, last, total = 0, length - 1, length
        else:
            raise Transient("the server does not tell which bytes it sends", pfn=self._pfn)
        version = (etag(answer), total)
        if self._version is None:
            self._version = version
            stop = min(stop, total)
            self._whole = not found and (start > 0 or stop < total)
        self._versions[:] = self._versions or [version]
        if version != self._version or version != self._versions[0]:
            raise self._replaced()
        if found and (first != start or last != stop - 1 or length != stop - start):
            raise Transient("other bytes came than were asked for", pfn=self._pfn)
        return start - first

    async def _chunks(self, opened: tuple[Any, int], start: int, stop: int) -> AsyncGenerator[Chunk, None]:
        """The bytes from `start` up to `stop` of an open body."""
        response, skip = opened
        left = max(0, stop - start)
        try:
            async for chunk in response.content.iter_any():
                wanted = chunk[skip : skip + left] if skip or len(chunk) > left else chunk
                skip -= min(skip, len(chunk))
                if wanted:
                    left -= len(wanted)
                    yield wanted
                if not left and not response.content.is_eof():
                    break
        except Exception as error:
            if is_wire(error):
                raise failed(error, "get_object", pfn=self._pfn) from error
            raise
        finally:
            response.close()  # of no effect once all of it came: then the connection is kept
        if left:
            raise Transient(f"{left} bytes of the object did not come", pfn=self._pfn)

    def _replaced(self) -> Transient:
        return Transient("the object was replaced while it was read", pfn=self._pfn)
