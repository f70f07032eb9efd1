"""Objects written whole: what fits into one part by one request, the rest by a multipart upload.

Every request carries the MD5 sum of its body (RFC 1864), which the server holds against what it got; its ETags are held
against the same sums.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from .base import NONE
from .chunks import mismatch
from .errors import ObjectNotFound, StorageError, Transient, Unavailable, Unsupported
from .s3_client import S3Client
from .s3_cut import base64_of, etag_of_parts, in_parts, md5
from .s3_errors import status_of
from .s3_http import each

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Coroutine, Mapping, Sequence

    from .base import Chunk
    from .s3_exclusive import Exclusive
    from .s3_sums import Sums

_PAUSES = (0.2, 1.0, 4.0, None)  # seconds between tries, unless the server says how many
LONGEST_PAUSE = 60.0  # if it says so: the parts wait in memory


class Writer:
    """The writes of one element. `slots` limits the parts that are on their way at once."""

    def __init__(self, client: S3Client, exclusive: Exclusive, sums: Sums, *, part_size: int, parallel: int) -> None:
        self._client = client
        self._sums = sums
        self._exclusive = exclusive
        self.part_size = part_size
        self.parallel = parallel
        self._slots = asyncio.Semaphore(2 * parallel)
        self._cleaning: set[asyncio.Task[None]] = set()

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        size: int | None,
        *,
        overwrite: bool,
        expected: Mapping[str, str] = NONE,
    ) -> None:
        """`expected` are checksums that `chunks` are sure to have when they end. Raises ObjectExists, and what `chunks`
        raise."""
        key = self._client.key(pfn)
        async with contextlib.aclosing(in_parts(chunks, self.part_size, size)) as parts:
            first, last = await anext(parts)  # the last comes when `chunks` ended well
            if last:
                sums = await self._sums.parameters(expected)
                await self._put(pfn, key, first, overwrite, sums)
                return
            if not overwrite:
                await self._exclusive.check_free(pfn)  # the sooner, the better
            async with self.upload(pfn, key, overwrite=overwrite) as upload:
                await upload.add(first)
                del first
                async for part, _ in parts:
                    await upload.add(part)

    def upload(self, pfn: str, key: str, *, overwrite: bool) -> Multipart:
        return Multipart(self, pfn, key, overwrite=overwrite)

    async def _put(self, pfn: str, key: str, chunks: Sequence[Chunk], overwrite: bool, sums: dict[str, str]) -> None:
        size = sum(map(len, chunks))
        digest = await md5(chunks)
        for pause in _PAUSES:
            try:
                async with self._exclusive.condition("put_object", pfn, overwrite=overwrite) as condition:
                    answer = await self._client.send(
                        "put_object",
                        each(chunks),
                        size,
                        pfn=pfn,
                        Key=key,
                        ContentMD5=base64_of(digest),
                        **self._client.written,
                        **sums,
                        **condition,
                    )
                break
            except Transient as error:
                if pause is None or isinstance(error, Unavailable) or not (overwrite or status_of(error)):
                    raise  # with the answer lost, nobody could tell our object from another writer's
                if not overwrite and await self._exclusive.is_there(pfn):
                    raise
                await asyncio.sleep(min(error.retry_after or pause, LONGEST_PAUSE))
        await self.check(pfn, key, answer, digest.hex(), size)

    async def check(self, pfn: str, key: str, answer: Any, expected: str | None, size: int) -> None:
        """The object that has just been made is what we sent: by its ETag where that tells, else by its size, too.
        ChecksumMismatch, and the object is taken away."""
        told = self._told(answer, expected)
        wanted, actual = {}, {}
        if not told:
            try:
                head = await self._client.call("head_object", pfn=pfn, Key=key)
            except ObjectNotFound:
                raise Transient("the server has lost what it took", pfn=pfn) from None
            wanted, actual = {"size": str(size)}, {"size": str(head["ContentLength"])}
            told = self._told(head, expected)
        if told and expected:
            wanted, actual = wanted | {"md5": expected}, actual | {"md5": told}
        if wanted != actual:
            with contextlib.suppress(StorageError):
                await self._client.call("delete_object", pfn=pfn, Key=key)
            raise mismatch(wanted, actual, pfn)

    def _told(self, answer: Any, expected: str | None) -> str | None:
        if expected is None:
            return None
        return self._client.md5_of_parts(answer) if "-" in expected else self._client.md5(answer)

    async def send_part(self, pfn: str, chunks: Sequence[Chunk], upload: dict[str, Any], number: int) -> Sent:
        """Tried again when a fault of the moment comes: the same part again replaces the first."""
        digest = await md5(chunks)
        size = sum(map(len, chunks))
        fault: Transient | None = None
        for pause in _PAUSES:
            try:
                async with self._slots:
                    answer = await self._client.send(
                        "upload_part",
                        each(chunks),
                        size,
                        pfn=pfn,
                        PartNumber=number,
                        ContentMD5=base64_of(digest),
                        **upload,
                    )
                break
            except Transient as error:
                if pause is None or (isinstance(error, Unavailable) and status_of(error)):
                    raise
                fault = error
                await asyncio.sleep(min(error.retry_after or pause, LONGEST_PAUSE))
            except Unsupported:  # rclone replaces no part of which it has seen a beginning
                if fault is None:
                    raise
                raise fault from None
        told = self._client.md5(answer)
        if told and told != digest.hex():
            raise mismatch({"md5": digest.hex()}, {"md5": told}, pfn)
        return Sent(number, answer["ETag"], digest if told else None, size)

    async def complete(
        self, pfn: str, upload: dict[str, Any], parts: Sequence[dict[str, Any]], *, overwrite: bool
    ) -> Any:
        async with self._exclusive.condition("complete_multipart_upload", pfn, overwrite=overwrite) as condition:
            return await self._client.call(
                "complete_multipart_upload", pfn=pfn, MultipartUpload={"Parts": parts}, **upload, **condition
            )

    async def begin(self, pfn: str, key: str) -> dict[str, Any]:
        started = await self._client.call("create_multipart_upload", pfn=pfn, Key=key, **self._client.written)
        return {"Key": key, "UploadId": started["UploadId"]}

    async def abort(self, upload: dict[str, Any]) -> None:
        with contextlib.suppress(StorageError):  # what stays behind is for clean_staging
            await self._client.call("abort_multipart_upload", **upload)

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        return task

    async def aclose(self) -> None:
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=10)


class Sent:
    """A part that has arrived. `digest` is its MD5 sum, if the server told it."""

    def __init__(self, number: int, tag: str, digest: bytes | None, size: int) -> None:
        self.number, self.tag, self.digest, self.size = number, tag, digest, size


class Multipart:
    """A multipart upload: begun on entry; completed at the end of the `async with`, or aborted when that is an
    error."""

    def __init__(self, writer: Writer, pfn: str, key: str, *, overwrite: bool) -> None:
        self._writer = writer
        self._pfn, self._key, self._overwrite = pfn, key, overwrite
        self._sending: set[asyncio.Task[Sent]] = set()
        self._parts: list[Sent] = []
        self._number = 0
        self.upload: dict[str, Any] = {}

    async def __aenter__(self) -> Multipart:
        begun = self._writer.later(self._begin())  # cancelled in the middle of it, nobody would know the upload
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            self._writer.later(self._abort_begun(begun))
            raise
        return self

    async def _begin(self) -> None:
        self.upload = await self._writer.begin(self._pfn, self._key)

    async def _abort_begun(self, begun: asyncio.Task[None]) -> None:
        with contextlib.suppress(StorageError):
            await begun
            await self._writer.abort(self.upload)

    async def add(self, chunks: Sequence[Chunk]) -> None:
        """The next part; returns when there is room for another."""
        self._number += 1
        self.start(self._writer.send_part(self._pfn, chunks, self.upload, self._number))
        size = sum(map(len, chunks))
        await self.room(
            max(1, min(self._writer.parallel, self._writer.parallel * self._writer.part_size // max(size, 1)))
        )

    def start(self, part: Coroutine[Any, Any, Sent]) -> None:
        self._sending.add(asyncio.create_task(part))

    async def room(self, parallel: int) -> None:
        """Wait until fewer than `parallel` are on their way. Raises what befell one."""
        while len(self._sending) >= parallel:
            done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            self._parts += [task.result() for task in done]

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                await self.room(1)
                await self._complete()
        except BaseException as failure:
            await self._give_up(failure)
            raise
        if error is not None:
            await self._give_up(error)

    async def _complete(self) -> None:
        self._parts.sort(key=lambda part: part.number)
        parts = [{"PartNumber": part.number, "ETag": part.tag} for part in self._parts]
        answer = await self._writer.complete(self._pfn, self.upload, parts, overwrite=self._overwrite)
        expected = etag_of_parts([part.digest for part in self._parts])
        await self._writer.check(self._pfn, self._key, answer, expected, sum(part.size for part in self._parts))

    async def _give_up(self, error: BaseException) -> None:
        for task in self._sending:
            task.cancel()
        aborting = self._writer.later(self._abort(self._sending))
        if isinstance(error, Exception):
            await asyncio.shield(aborting)

    async def _abort(self, sending: set[asyncio.Task[Sent]]) -> None:
        await asyncio.gather(*sending, return_exceptions=True)  # a part that comes after the abort would stay
        await self._writer.abort(self.upload)
