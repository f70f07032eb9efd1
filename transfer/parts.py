"""Large objects in parts, several at once: a transfer that broke off goes on where it was, in whatever process,
from whatever source. What is complete is put down part by part."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.db import now
from storage_plugins.errors import ChecksumMismatch, ObjectExists, ObjectNotFound, StorageError, Unsupported
from storage_plugins.powers import Part, WritesParts, supports
from storage_plugins.verify import verify

from .parts_store import PartsStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from catalog.db import Database
    from storage_plugins.base import Element, ObjectInfo

FROM = 256 << 20  # bytes; smaller objects are written in one stream
PART = 64 << 20  # bytes of a part: what is lost of each that was under way
_AT_ONCE = 4
OLD = 86_400_000_000  # microseconds after which what nobody goes on with is given up


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object goes, and which bytes it is to have."""

    element_id: int
    pfn: str
    size: int
    checksums: Mapping[str, str]

    @property
    def key(self) -> str:
        return " ".join([str(self.size), *(f"{kind}:{value}" for kind, value in sorted(self.checksums.items()))])


class Parts:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._store = PartsStore()

    def serves(self, target: Element, size: int | None, checksums: Mapping[str, str]) -> bool:
        """Is an object to be written in parts? Only one whose bytes can be told: parts of two versions must not meet
        unseen."""
        return size is not None and size >= FROM and bool(checksums) and supports(target, WritesParts)

    async def write(
        self, source: Element, source_pfn: str, target: Element, place: Place, *, overwrite: bool
    ) -> ObjectInfo:
        """Copy an object in parts, going on where an earlier call was; verified as `Element.write` does.

        Raises StorageError and CatalogError: the parts that are complete stay, but after ChecksumMismatch, when any may
        be the wrong one.
        """
        assert supports(target, WritesParts)
        if not overwrite:
            with suppress(ObjectNotFound):
                await target.stat(place.pfn)
                raise ObjectExists("another object is there", pfn=place.pfn)
        token, part_size, parts = await self._there(target, place)
        numbers = iter([n for n in range(1, -(-place.size // part_size) + 1) if n not in parts])
        one = source.of_one_version()

        async def some(numbers: Iterator[int]) -> None:
            for number in numbers:
                start = (number - 1) * part_size
                size = min(part_size, place.size - start)
                async with aclosing(one.read(source_pfn, start, start + size)) as chunks:
                    part = await target.write_part(place.pfn, token, number, chunks, size=size)
                async with self._db.read() as connection:
                    await self._store.done(connection, place.element_id, place.pfn, token, number, part.tag, now())
                parts[number] = part

        tasks = [asyncio.create_task(some(numbers)) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return await self._finish(target, place, token, [parts[n] for n in sorted(parts)], overwrite=overwrite)

    async def _there(self, target: Element, place: Place) -> tuple[str, int, dict[int, Part]]:
        """(upload, size of its parts, {number: part}) of what an earlier call left, else of a new one."""
        assert supports(target, WritesParts)
        async with self._db.read() as connection:
            row = await self._store.find(connection, place.element_id, place.pfn)
        if row is not None and row["bytes_key"] == place.key:
            with suppress(ObjectNotFound):  # the storage gave it up
                told = {part.number: part for part in await target.parts(place.pfn, row["token"])}
                kept = {int(number): tag for number, tag in row["parts"].items()}
                same = {n: Part(n, told[n].size, tag) for n, tag in kept.items() if n in told}
                return row["token"], row["part_size"], same
        elif row is not None:
            with suppress(StorageError):  # else it is the cleaner's
                await target.abort_parts(place.pfn, row["token"])
        part_size = max(PART, target.min_part_size, -(-place.size // target.max_parts))
        token = await target.start_parts(place.pfn, part_size=part_size, size=place.size)
        async with self._db.read() as connection:
            await self._store.begin(connection, place.element_id, place.pfn, token, place.key, part_size, now())
        return token, part_size, {}

    async def _finish(
        self, target: Element, place: Place, token: str, parts: list[Part], *, overwrite: bool
    ) -> ObjectInfo:
        assert supports(target, WritesParts)
        try:
            try:
                info = await target.finish_parts(
                    place.pfn, token, parts, overwrite=overwrite, checksums=place.checksums
                )
            except Unsupported:  # the storage can't tell the sum of the whole from those of its parts
                await target.finish_parts(place.pfn, token, parts, overwrite=overwrite)
                info = await self._looked_at(target, place)
        except ChecksumMismatch:
            with suppress(StorageError):
                await target.abort_parts(place.pfn, token)
            await self._forget(place, token)
            raise
        await self._forget(place, token)
        return info

    async def _looked_at(self, target: Element, place: Place) -> ObjectInfo:
        try:
            return await verify(target, place.pfn, place.checksums, place.size)
        except ChecksumMismatch:
            with suppress(StorageError):
                await target.remove(place.pfn)
            raise

    async def _forget(self, place: Place, token: str) -> None:
        async with self._db.read() as connection:
            await self._store.forget_all(connection, [(place.element_id, place.pfn, token)])
