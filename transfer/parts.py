"""Large objects in parts, several at once: a transfer that broke off goes on where it was, in whatever process,
from whatever source. What is complete is put down part by part."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from catalog.db import now
from storage_plugins.errors import (
    ChecksumMismatch,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unsupported,
)
from storage_plugins.powers import Part, WritesParts, supports
from storage_plugins.verify import verify

from .parts_store import PartsStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.db import Database
    from storage_plugins.base import Element, ObjectInfo

FROM = 256 << 20  # bytes; smaller objects are written in one stream
PART = 64 << 20  # bytes of a part: what is lost of each that was under way
_AT_ONCE = 4
OLD = 86_400_000_000  # microseconds after which what nobody goes on with is given up


class Parts:
    """Of objects on their way to one element."""

    def __init__(self, database: Database, element_id: int) -> None:
        self._db = database
        self._element_id = element_id
        self._store = PartsStore()

    async def write(
        self,
        source: Element,
        source_pfn: str,
        target: Element,
        pfn: str,
        *,
        size: int | None,
        checksums: Mapping[str, str],
        overwrite: bool,
    ) -> ObjectInfo:
        """Copy an object in parts, going on where an earlier call was; verified as `Element.write` does.

        Raises Unsupported, having done nothing, for what is better written in one stream: what is small, what the
        target takes no parts of, and what has no checksum, for parts of two versions must not meet unseen. Raises
        StorageError and CatalogError: the parts that are complete stay, but after ChecksumMismatch, when any may be the
        wrong one.
        """
        if size is None or size < FROM or not checksums or not supports(target, WritesParts):
            raise Unsupported("better in one stream", pfn=pfn)
        if not overwrite:
            with suppress(ObjectNotFound):
                await target.stat(pfn)
                raise ObjectExists("another object is there", pfn=pfn)
        key = " ".join([str(size), *(f"{kind}:{value}" for kind, value in sorted(checksums.items()))])
        upload = await self._upload(target, pfn, size, key)
        try:
            await self._missing(source, source_pfn, target, pfn, size, upload)
            return await self._show(target, pfn, size, checksums, upload, overwrite=overwrite)
        except ObjectNotFound:
            if await _gone(target, pfn, upload.token):  # swept, or ended by another who was at it too
                await self._forget(pfn, upload.token)
                raise Transient("its parts were taken away: it begins anew", pfn=pfn) from None
            raise  # the source is
        except ChecksumMismatch:
            with suppress(StorageError):
                await target.abort_parts(pfn, upload.token)
            await self._forget(pfn, upload.token)
            raise

    async def _upload(self, target: WritesParts, pfn: str, size: int, key: str) -> _Upload:
        """What an earlier call left, else a new one."""
        async with self._db.read() as connection:
            row = await self._store.find(connection, self._element_id, pfn)
        if row is not None and row["bytes_key"] == key:
            with suppress(ObjectNotFound):  # the storage gave it up
                told = {part.number: part.size for part in await target.parts(pfn, row["token"])}
                kept = {int(number): tag for number, tag in row["parts"].items()}
                return _Upload(
                    row["token"], row["part_size"], {n: Part(n, told[n], kept[n]) for n in kept if n in told}
                )
        elif row is not None:
            with suppress(StorageError):  # then it stays until the sweep of what is left on the storage
                await target.abort_parts(pfn, row["token"])
        part_size = max(PART, target.min_part_size, -(-size // target.max_parts))
        token = await target.start_parts(pfn, part_size=part_size, size=size)
        async with self._db.read() as connection:
            await self._store.begin(connection, self._element_id, pfn, token, key, part_size, now())
        return _Upload(token, part_size, {})

    async def _missing(
        self, source: Element, source_pfn: str, target: WritesParts, pfn: str, size: int, upload: _Upload
    ) -> None:
        """Move the parts that are not there, some at once."""
        of_one_version = source.of_one_version()
        numbers = iter([n for n in range(1, -(-size // upload.part_size) + 1) if n not in upload.parts])

        async def some() -> None:
            for number in numbers:
                start = (number - 1) * upload.part_size
                stop = min(start + upload.part_size, size)
                async with aclosing(of_one_version.read(source_pfn, start, stop)) as chunks:
                    part = await target.write_part(pfn, upload.token, number, chunks, size=stop - start)
                upload.parts[number] = part
                async with self._db.read() as connection:
                    await self._store.done(connection, self._element_id, pfn, upload.token, number, part.tag, now())

        tasks = [asyncio.create_task(some()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(
        self,
        target: Element,
        pfn: str,
        size: int,
        checksums: Mapping[str, str],
        upload: _Upload,
        *,
        overwrite: bool,
    ) -> ObjectInfo:
        assert supports(target, WritesParts)
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        try:
            info = await target.finish_parts(pfn, upload.token, parts, overwrite=overwrite, checksums=checksums)
        except Unsupported:  # the storage can't tell the sum of the whole from those of its parts
            await target.finish_parts(pfn, upload.token, parts, overwrite=overwrite)
            try:
                info = await verify(target, pfn, checksums, size)
            except ChecksumMismatch:
                with suppress(StorageError):
                    await target.remove(pfn)
                raise
        await self._forget(pfn, upload.token)
        return info

    async def _forget(self, pfn: str, token: str) -> None:
        async with self._db.read() as connection:
            await self._store.forget_all(connection, [(self._element_id, pfn, token)])


class _Upload:
    """`parts` are those that are complete, by number."""

    def __init__(self, token: str, part_size: int, parts: dict[int, Part]) -> None:
        self.token = token
        self.part_size = part_size
        self.parts = parts


async def _gone(target: WritesParts, pfn: str, token: str) -> bool:
    try:
        await target.parts(pfn, token)
    except ObjectNotFound:
        return True
    return False
