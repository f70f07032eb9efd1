"""What only some storages can do. Each power is a small protocol with a fallback for elements without it.

    if supports(element, Renames):
        await element.rename(old, new)      # mypy knows both faces of `element` here
    else:
        ...                                 # the fallback

Ask with `supports`, not `isinstance`: an operator can switch powers off (option `disabled_powers`), which also is how a
fallback is tested. Errors are as in `base.py`; any method may raise Unsupported for this one case: then use the
fallback.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, cast, runtime_checkable
from weakref import WeakKeyDictionary

from msgspec import Struct

from .base import NONE, Chunk, Element, ObjectInfo, ScanEntry

if TYPE_CHECKING:
    from typing_extensions import TypeIs

P = TypeVar("P")
Progress = Callable[[int], None]  # called with the bytes moved so far, from the event loop


class Presigned(Struct, frozen=True):
    """A URL that anybody may use once he has it: `headers` must be sent as they are; it ends at `expires` (epoch
    seconds)."""

    url: str
    method: str
    expires: int
    headers: dict[str, str] = {}


class Remote(Struct, frozen=True):
    """An object on a foreign server, as that server's protocol names it. `headers` carry its credentials: never log
    them."""

    url: str
    headers: dict[str, str] = {}


class Part(Struct, frozen=True):
    number: int  # from 1
    size: int
    tag: str = ""


class Locality(StrEnum):
    """`online` on disk · `nearline` on tape alone · `staging` on its way to disk · `lost` the storage knows it is
    gone."""

    ONLINE = "online"
    NEARLINE = "nearline"
    STAGING = "staging"
    LOST = "lost"


class SpaceUsage(Struct, frozen=True):
    """Bytes as the storage counts them; None where it does not say."""

    total_bytes: int | None = None
    free_bytes: int | None = None
    used_bytes: int | None = None


@runtime_checkable
class Presigns(Protocol):
    """URLs good for `expires_in` seconds, made without asking the storage: no ObjectNotFound. Fallback: through the
    server."""

    async def presign_get(self, pfn: str, *, expires_in: int) -> Presigned: ...

    async def presign_put(self, pfn: str, *, expires_in: int, size: int | None = None) -> Presigned:
        """`size` binds the upload to so many bytes, where the storage can."""


@runtime_checkable
class ServerCopies(Protocol):
    """Fallback: read from the one, write to the other."""

    async def copies_from(self, source: Element) -> bool:
        """Whether `copy_from` may take objects of that element. Told from the options of both, without asking a
        storage."""

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        """Copy an object of `source` (this element too) to `pfn` here without its bytes passing through us.

        All or nothing as `write`. Raises Unsupported when these two cannot (nothing was done), ObjectNotFound for the
        source, ObjectExists, NoSpace. Nobody has read the bytes: `verify` the result.
        """


@runtime_checkable
class PullsRemote(Protocol):
    """Third-party copy towards us. Fallback: PushesRemote at the other end, else streaming."""

    async def pull(
        self,
        pfn: str,
        source: Remote,
        *,
        size: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """All or nothing as `write`; verify the result. Raises Unsupported for a URL scheme it does not speak."""


@runtime_checkable
class PushesRemote(Protocol):
    """Third-party copy away from us. Fallback: PullsRemote at the other end, else streaming."""

    async def push(
        self, pfn: str, target: Remote, *, overwrite: bool = False, progress: Progress | None = None
    ) -> None:
        """Returns when the target has it all. Raises ObjectNotFound for `pfn`, ObjectExists, NoSpace of the target."""


@runtime_checkable
class Renames(Protocol):
    """Fallback: copy, verify, remove."""

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """One step, no moment without the object. Raises ObjectNotFound, ObjectExists. Renaming to itself is not an
        error."""


@runtime_checkable
class Checksums(Protocol):
    """Fallback: read it all and compute (`verify.verify` does)."""

    async def checksum(self, pfn: str, kinds: Collection[str]) -> dict[str, str]:
        """{kind: hex} computed from the stored bytes by the storage. Kinds it cannot do are absent, not an error.
        ObjectNotFound."""


@runtime_checkable
class WritesParts(Protocol):
    """Resumable writes in parts. Fallback: write it whole again.

    Every part but the last has the size that is told at the start, `min_part_size` bytes at least; there are at most
    `max_parts`.
    """

    min_part_size: int
    max_parts: int

    async def start_parts(self, pfn: str, *, part_size: int, size: int | None = None) -> str:
        """An upload id, good after a restart too. Nothing is visible at `pfn`."""

    async def write_part(self, pfn: str, upload: str, number: int, chunks: AsyncIterable[Chunk], *, size: int) -> Part:
        """Parts come in any order, also at once; the same number again replaces. ObjectNotFound when the upload is
        gone."""

    async def parts(self, pfn: str, upload: str) -> list[Part]:
        """The complete parts, by number. ObjectNotFound when the upload is gone."""

    async def finish_parts(
        self,
        pfn: str,
        upload: str,
        parts: Sequence[Part],
        *,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        """Put `parts` together and show the object, as the end of `write`. On an error the upload and its parts
        stay."""

    async def abort_parts(self, pfn: str, upload: str) -> None:
        """Forget the upload and its parts. An upload that is gone is not an error."""


@runtime_checkable
class Stages(Protocol):
    """Tape behind disk; bulk, as tape wants it. Fallback: every object counts as online."""

    async def stage(self, pfns: Sequence[str], *, keep_seconds: int) -> str:
        """Ask for them on disk; returns a request id at once. What is online already is not an error."""

    async def locality(self, pfns: Sequence[str]) -> dict[str, Locality]:
        """Where each is now; PFNs the storage does not know are absent."""

    async def release(self, pfns: Sequence[str], request: str) -> None:
        """They may leave the disk. Safe to repeat."""


@runtime_checkable
class ReportsUsage(Protocol):
    """Fallback: the catalogue's own sums."""

    async def usage(self) -> SpaceUsage: ...


@runtime_checkable
class KeepsMetadata(Protocol):
    """Key and value pairs kept beside the object by the storage. Fallback: the catalogue alone has them."""

    async def get_metadata(self, pfn: str) -> dict[str, str]:
        """All pairs. Raises ObjectNotFound; none is {}."""

    async def set_metadata(self, pfn: str, values: Mapping[str, str | None]) -> None:
        """Set these pairs and take away those with None; others stay. Raises ObjectNotFound."""


@runtime_checkable
class LocalFiles(Protocol):
    """The bytes are files of this host: sendfile, and clients on the same host. Fallback: read."""

    async def local_path(self, pfn: str) -> str:
        """The object's absolute path, right at this moment. Raises ObjectNotFound."""

    async def open_local(self, pfn: str) -> BinaryIO:
        """The object opened for unbuffered reading; the caller closes it. Raises ObjectNotFound."""


@runtime_checkable
class LocalUploads(Protocol):
    """A client on this host (or one that mounts the same disk) writes a new object itself. Fallback: `write`, through
    us."""

    async def local_upload(self, upload: str) -> str | None:
        """A file:// URL to create and write, named after the upload id; None when the operator allows no such thing."""

    async def finish_local_upload(
        self,
        upload: str,
        pfn: str,
        *,
        size: int | None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
        kinds: Collection[str] = (),
    ) -> ObjectInfo:
        """Read what was written, compare it, show it at `pfn`; the result has the checksums of `kinds`. As the end of
        `write`: all or nothing. Raises ObjectNotFound when nothing was written, ChecksumMismatch, ObjectExists.
        """

    async def abort_local_upload(self, upload: str) -> None:
        """Take away what was written. Nothing there is not an error."""


@runtime_checkable
class KeepsStaging(Protocol):
    """Leftovers of writes that were killed can be told and taken away. Fallback: the storage expires them, or leaves
    none."""

    def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        """Everything that a write in progress or a dead one has put somewhere. `pfn` only names it for people."""

    async def clean_staging(self, older_than_us: int) -> int:
        """Take away what nobody wrote to for `older_than_us` microseconds; returns how many. Safe to repeat and in
        parallel."""


POWERS: dict[str, Any] = {
    p.__name__: p
    for p in (
        Presigns,
        ServerCopies,
        PullsRemote,
        PushesRemote,
        Renames,
        Checksums,
        WritesParts,
        Stages,
        ReportsUsage,
        KeepsMetadata,
        LocalFiles,
        LocalUploads,
        KeepsStaging,
    )
}


_KNOWN: WeakKeyDictionary[type, dict[type, bool]] = WeakKeyDictionary()  # isinstance of a protocol takes 50 us


def supports(
    element: object, power: Callable[..., P]
) -> TypeIs[P]:  # Callable: mypy takes no protocol class as type[P]
    """True when `element` has the power (a class of this module) and the operator left it on."""
    kind = cast("type", power)
    if kind.__name__ in getattr(element, "disabled_powers", ()):
        return False
    known = _KNOWN.setdefault(type(element), {})
    if kind not in known:
        known[kind] = isinstance(element, kind)
    return known[kind]


def powers(element: Element) -> list[str]:
    """The names of what `element` can do, in the order of this module."""
    return [name for name, power in POWERS.items() if supports(element, power)]
