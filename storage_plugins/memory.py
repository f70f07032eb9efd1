"""Objects in this process's memory, for tests and demonstrations. Elements of one store name share their objects."""

from __future__ import annotations

import bisect
import time
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from lading.model.checksum import Digest

from .base import NONE, RESERVED, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import BATCH, CheckedChunks
from .errors import NoSpace, ObjectExists, ObjectNotFound, Unsupported
from .options import CommonOptions
from .paths import components
from .powers import SpaceUsage
from .probing import probe_by_use
from .registry import Plugin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping


class MemoryOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    store: Annotated[str, Meta(description="elements with the same store share their objects")] = "default"
    capacity: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="bytes it can hold, no limit without it")
    ] = None


class Stored:
    """What lies at a PFN."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.mtime_us = time.time_ns() // 1000
        self.metadata: dict[str, str] = {}


_STORES: dict[str, dict[str, Stored]] = {}


class MemoryElement(Element):
    """The reference: what it answers is what the contract says. Names are flat: `a` and `a/b` can both be objects."""

    type = "memory"
    atomic_replace = True
    sorted_scan = True

    def __init__(self, options: MemoryOptions, *, name: str = "") -> None:
        self.name = name
        self._objects = _STORES.setdefault(options.store, {})
        self._capacity = options.capacity

    async def stat(self, pfn: str) -> ObjectInfo:
        found = self._get(pfn)
        return ObjectInfo(len(found.data), found.mtime_us)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        data = memoryview(self._data(pfn))[start:stop]
        for at in range(0, len(data), BATCH):
            yield data[at : at + BATCH]

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        self._check_free(pfn, overwrite)
        checked = CheckedChunks(chunks, size=size, expected=checksums, pfn=pfn)
        parts: list[bytes] = []
        async for chunk in checked:
            parts.append(bytes(chunk))
            self._check_space(checked.size, pfn)
        return self._put(pfn, b"".join(parts), overwrite, checked.checksums)

    async def remove(self, pfn: str) -> None:
        self._get(pfn)
        del self._objects[pfn]

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        names = sorted(self._objects, key=_by_bytes)
        for pfn in names[bisect.bisect_left(names, _by_bytes(prefix), key=_by_bytes) :]:
            if not pfn.startswith(prefix):
                return
            found = self._objects.get(pfn)
            if found and not pfn.startswith(RESERVED):
                yield ScanEntry(pfn, len(found.data), found.mtime_us)

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        """The store outlives its elements."""

    async def copies_from(self, source: Element) -> bool:
        return isinstance(unwrapped(source), MemoryElement)

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        origin = unwrapped(source)
        if not isinstance(origin, MemoryElement):
            raise Unsupported("a memory element copies from memory elements only")
        data = origin._data(source_pfn)
        self._check_free(pfn, overwrite)
        self._check_space(len(data), pfn)
        return self._put(pfn, data, overwrite, {})

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        found = self._get(source)
        if source != target:
            self._check_free(target, overwrite)
            self._objects[target] = found
            del self._objects[source]

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        digest = Digest(kinds)
        digest.update(self._get(pfn).data)
        return digest.result()

    async def usage(self) -> SpaceUsage:
        used = self._used()
        free = None if self._capacity is None else max(0, self._capacity - used)
        return SpaceUsage(self._capacity, free, used)

    async def get_metadata(self, pfn: str) -> dict[str, str]:
        return dict(self._get(pfn).metadata)

    async def set_metadata(self, pfn: str, values: Mapping[str, str | None]) -> None:
        metadata = self._get(pfn).metadata
        for key, value in values.items():
            if value is None:
                metadata.pop(key, None)
            else:
                metadata[key] = value

    def _get(self, pfn: str) -> Stored:
        components(pfn)
        try:
            return self._objects[pfn]
        except KeyError:
            raise ObjectNotFound("no such object", pfn=pfn) from None

    def _data(self, pfn: str) -> bytes:
        return self._get(pfn).data

    def _put(self, pfn: str, data: bytes, overwrite: bool, checksums: dict[str, str]) -> ObjectInfo:
        self._check_free(pfn, overwrite)
        self._objects[pfn] = stored = Stored(data)
        return ObjectInfo(len(data), stored.mtime_us, checksums)

    def _check_free(self, pfn: str, overwrite: bool) -> None:
        components(pfn)
        if pfn in self._objects and not overwrite:
            raise ObjectExists("an object is there already", pfn=pfn)

    def _check_space(self, size: int, pfn: str) -> None:
        if self._capacity is not None and self._used() + size > self._capacity:
            raise NoSpace(f"the store's {self._capacity} bytes are used up", pfn=pfn)

    def _used(self) -> int:
        return sum(len(found.data) for found in self._objects.values())


def _by_bytes(pfn: str) -> bytes:
    return pfn.encode("utf-8", "surrogateescape")


PLUGIN = Plugin(
    name="memory",
    summary="objects in the server's memory, gone with it: for tests and demonstrations",
    config=MemoryOptions,
    factory="storage_plugins.memory:MemoryElement",
)
