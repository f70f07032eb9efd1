"""Retry, limits, timeouts, metrics, read-only: each an element around an element, with all the powers of the inner one.

`wrap` puts them together in the order that works. A wrapper overrides `around` (calls) and `around_stream` (read, scan).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import stamina

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry
from .errors import Denied, ObjectNotFound, StorageError, Transient
from .powers import POWERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping

T = TypeVar("T")

# What each operation does to the storage. One that is not named here only looks.
CHANGING = frozenset(
    "write remove copy_from pull rename start_parts write_part finish_parts abort_parts set_metadata clean_staging".split()
)
_MOVING_IN = frozenset(("write", "copy_from", "pull", "push", "write_part"))  # long, and hold bytes or a connection
_REPEATABLE = frozenset(
    "stat remove checksum usage presign get_metadata set_metadata locality release parts abort_parts local_path open_local"
    " clean_staging".split()
)


class Wrapper(Element):
    """Does nothing yet: every call goes to `inner`. An instance has exactly the powers of `inner`, by `isinstance` too."""

    def __new__(cls, inner: Element, *args: Any, **kwargs: Any) -> Wrapper:
        names = {name for power in POWERS.values() if isinstance(inner, power) for name in _members(power)}
        namespace = {name: _delegate(name, inner) for name in names}
        return object.__new__(type(cls.__name__, (cls,), namespace))

    def __init__(self, inner: Element) -> None:
        self.inner = inner
        self.type = inner.type  # type: ignore[misc]  # a class attribute everywhere but here
        self.name = inner.name
        self.told_checksums = inner.told_checksums
        self.atomic_replace = inner.atomic_replace
        self.sorted_scan = inner.sorted_scan
        self.max_connections = inner.max_connections
        self.disabled_powers = inner.disabled_powers

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        return await call()

    def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        """`stream(start)` opens it; a `read` can be opened again further on."""
        return stream(start)

    def around_chunks(self, chunks: AsyncIterable[Chunk]) -> AsyncIterable[Chunk]:
        """The bytes of a write on their way in."""
        return chunks

    async def stat(self, pfn: str) -> ObjectInfo:
        return await self.around("stat", pfn, lambda: self.inner.stat(pfn))

    def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        return self.around_stream("read", pfn, start, lambda at: self.inner.read(pfn, at, stop))

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        inner = self.inner
        return await self.around(
            "write", pfn, lambda: inner.write(pfn, chunks, size=size, overwrite=overwrite, checksums=checksums)
        )

    async def remove(self, pfn: str) -> None:
        await self.around("remove", pfn, lambda: self.inner.remove(pfn))

    def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        return self.around_stream("scan", prefix, 0, lambda _: self.inner.scan(prefix))

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        return await self.around("probe", "", lambda: self.inner.probe(prepare=prepare, write=write))

    async def aclose(self) -> None:
        await self.inner.aclose()
