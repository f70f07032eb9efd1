"""An element around an element: the common part of `wrappers.py`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry
from .powers import POWERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping

T = TypeVar("T")

# What the operations of the contract and of the powers are like.
_DIRECT = frozenset(("local_upload", "finish_local_upload", "abort_local_upload"))
_PARTS = frozenset(("start_parts", "write_part", "finish_parts", "abort_parts"))
_CHANGES = frozenset(("write", "remove", "copy_from", "pull", "rename", "presign_put", "set_metadata", "clean_staging"))
_LOOKS = frozenset(
    ("stat", "checksum", "usage", "presign_get", "get_metadata", "locality", "parts", "local_path", "open_local")
)
CHANGING = _CHANGES | _PARTS | _DIRECT
INTAKE = frozenset(("write", "copy_from", "pull", "push", "write_part", "finish_local_upload"))
LONG = INTAKE | {"checksum", "finish_parts", "clean_staging"}  # no saying how long they may take
REPEATABLE = _LOOKS | {"presign_put", "set_metadata", "release", "abort_parts", "local_upload", "abort_local_upload"}


class Wrapper(Element):
    """Passes every call to `inner` by way of `around` or, for read, scan and scan_staging, `around_stream`.

    An instance has exactly the powers of `inner`, for `isinstance` too: its class is made for it.
    """

    def __new__(cls, inner: Element, *args: Any, **kwargs: Any) -> Wrapper:
        namespace: dict[str, Any] = {"type": inner.type, "__module__": cls.__module__}
        for power in POWERS.values():
            if isinstance(inner, power):
                namespace |= {name: _passing_on(name, getattr(power, name, None)) for name in _members(power)}
        return super().__new__(type(cls.__name__, (cls,), namespace))

    def __init__(self, inner: Element) -> None:
        self.inner = inner
        self.name = inner.name
        self.told_checksums = inner.told_checksums
        self.atomic_replace = inner.atomic_replace
        self.sorted_scan = inner.sorted_scan
        self.max_connections = inner.max_connections
        self.url_base = inner.url_base
        self.disabled_powers = inner.disabled_powers

    async def around(self, operation: str, pfn: str, call: Callable[[], Awaitable[T]]) -> T:
        return await call()

    def around_stream(
        self, operation: str, pfn: str, start: int, stream: Callable[[int], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        """`stream(start)` opens it; a `read` can be opened again further on."""
        return stream(start)

    async def stat(self, pfn: str) -> ObjectInfo:
        return await self.around("stat", pfn, lambda: self.inner.stat(pfn))

    def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        return self.around_stream("read", pfn, start, lambda at: self.inner.read(pfn, at, stop))

    def of_one_version(self) -> Element:
        inner = self.inner.of_one_version()
        if inner is self.inner:
            return self
        again = object.__new__(type(self))  # with the same limits
        again.__dict__ |= {**self.__dict__, "inner": inner}
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
        def call() -> Awaitable[ObjectInfo]:
            return self.inner.write(pfn, chunks, size=size, overwrite=overwrite, checksums=checksums)

        return await self.around("write", pfn, call)

    async def remove(self, pfn: str) -> None:
        await self.around("remove", pfn, lambda: self.inner.remove(pfn))

    def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        return self.around_stream("scan", prefix, 0, lambda _: self.inner.scan(prefix))

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        return await self.around("probe", "", lambda: self.inner.probe(prepare=prepare, write=write))

    async def aclose(self) -> None:
        await self.inner.aclose()


def _members(power: type) -> list[str]:
    return [name for name in (*vars(power), *inspect.get_annotations(power)) if not name.startswith("_")]


def _passing_on(name: str, member: Any) -> Any:
    """What stands for a member of a power: async calls and streams go around, plain values are read through."""
    if member is None:
        return property(lambda self: getattr(self.inner, name))

    if inspect.iscoroutinefunction(member):

        async def call(self: Wrapper, *args: Any, **kwargs: Any) -> Any:
            pfn = next((value for value in args if isinstance(value, str)), "")
            return await self.around(name, pfn, lambda: getattr(self.inner, name)(*args, **kwargs))

        return call

    def stream(self: Wrapper, *args: Any, **kwargs: Any) -> Any:
        return self.around_stream(name, "", 0, lambda _: getattr(self.inner, name)(*args, **kwargs))

    return stream
