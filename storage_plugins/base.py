"""The contract: what every storage element does, whatever holds its bytes.

A plug-in subclasses `Element` and may add any of the powers in `powers.py`. Errors are those of `errors.py` alone: a
plug-in lets no `OSError` and no exception of its SDK out. Besides the errors a method names, any may raise Denied,
InvalidPath, Transient or Unavailable. Methods may be called concurrently, from one event loop.

A PFN here is a path relative to the element (`ab/cd/file.root`), never a URL. The element decides what names it can
hold and refuses others with InvalidPath. PFNs whose first component begins with `.lading-` are the element's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

Chunk = bytes | bytearray | memoryview  # of bytes; once yielded its content never changes: a consumer may keep it
NONE: Mapping[str, str] = MappingProxyType({})
RESERVED = ".lading-"  # first component of the names that `scan` keeps to itself


class ObjectInfo(Struct, frozen=True):
    """An object as it is now. `mtime_us` is microseconds since the epoch; `checksums` is {kind: lower-case hex}."""

    size: int
    mtime_us: int | None = None
    checksums: dict[str, str] = {}


class ScanEntry(Struct, frozen=True):
    pfn: str
    size: int
    mtime_us: int | None = None


class ProbeReport(Struct, frozen=True, omit_defaults=True):
    """What was tried just now and worked. `ok`: nothing that was tried failed; `error` is the first failure, else
    None."""

    ok: bool
    read: bool = False
    write: bool = False
    delete: bool = False
    milliseconds: float = 0
    free_bytes: int | None = None
    total_bytes: int | None = None
    error: str | None = None


class Element(ABC):
    """One storage element. Facts are plain attributes, of the class or of the instance.

    type               the plug-in's name, as in the registry
    name               the element's name, for messages
    told_checksums     kinds that `stat` tells without reading the object
    atomic_replace     an overwriting write swaps old for new in one step: a reader sees one or the other, whole
    sorted_scan        `scan` yields in order of the PFN's UTF-8 bytes
    max_connections    how many operations it can take at once, None for no limit of its own
    url_base           what a PFN, percent-encoded, is appended to for a URL that clients can use without us, None
                       without
    disabled_powers    names of powers the operator switched off, or that its options rule out (`powers.supports`
                       honours it)
    """

    type: ClassVar[str]
    name: str = ""
    told_checksums: frozenset[str] = frozenset()
    atomic_replace: bool = False
    sorted_scan: bool = False
    max_connections: int | None = None
    url_base: str | None = None
    disabled_powers: frozenset[str] = frozenset()

    @abstractmethod
    async def stat(self, pfn: str) -> ObjectInfo:
        """Size, time and the checksums the storage tells without reading. Raises ObjectNotFound; a folder is not an
        object."""

    @abstractmethod
    def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        """The bytes from `start` up to `stop` (the end, when None), in non-empty chunks of the element's choice.

        As a slice: a `stop` beyond the end is cut there; a `start` at or beyond it yields nothing and is not an error;
        so does an empty object. Raises ObjectNotFound with the first chunk, ValueError for a negative or reversed span,
        and Transient when fewer bytes came than the storage promised: the end of the iteration means that all came.
        Close it when leaving early (`contextlib.aclosing`): the connection goes back at once.
        """

    def of_one_version(self) -> Element:
        """This element, for the reads of one object that make one stream: when a later one meets another version than
        the first it raises Transient, as far as the storage tells versions apart."""
        return self

    @abstractmethod
    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        """Store `chunks` at `pfn`, all or nothing: nobody sees the object before it is complete and, where the storage
        can promise that, durable. Whatever ends it early (error, cancellation, kill -9) leaves nothing visible at
        `pfn`, and an object that was there stays as it was; only Transient and cancellation can also come when all is
        done and the answer alone is lost: then the object is there, complete. Missing parent folders are made.

        Returns what was stored, with the checksums that were compared. Raises ObjectExists when something is there and
        not `overwrite`: at the latest before the object shows, and of two concurrent writers exactly one wins;
        ChecksumMismatch when the bytes differ from `size` or `checksums` ({kind: hex}; all kinds of
        `lading.model.checksum`); NoSpace. An exception of `chunks` itself goes through unchanged. An empty object is
        not an error. Not to be retried with the same `chunks`: they are used up.
        """

    @abstractmethod
    async def remove(self, pfn: str) -> None:
        """Take the object away. Raises ObjectNotFound. Folders this leaves empty may go too; a folder is not an
        object."""

    @abstractmethod
    def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        """Every complete object whose PFN begins with `prefix` (plain string: `a/b` matches `a/bc`), in constant
        memory.

        Objects that come and go meanwhile may or may not be told; all others are told once. What cannot be looked into
        raises: an incomplete answer must not pass for a complete one. No object at all is not an error. Names that are
        not UTF-8 come with surrogate escapes, and are taken back so.
        """

    @abstractmethod
    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        """Try the element: write, read back, compare and remove a small object, or only look at it when not `write`.

        `prepare` is for the moment an element is added, and safe to repeat: make what it needs (root folder, marker,
        bucket). Never raises a StorageError: a failure is a report with `ok` false.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Give back threads and connections. Safe to repeat. The element is of no use afterwards."""


def unwrapped(element: Element) -> Element:
    """The element below all wrappers (`wrappers.py`)."""
    while isinstance(inner := getattr(element, "inner", None), Element):
        element = inner
    return element


def check_span(start: int, stop: int | None) -> None:
    """Raises ValueError for what `read` takes for no span."""
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"no span of an object: {start} to {stop}")
