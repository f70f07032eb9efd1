"""A tape library as far as its users can tell, in this process's memory: for tests and demonstrations.

An object is on disk for `online_seconds` after it was written, and for as long as somebody asked when it was staged;
then it is on tape alone, and takes `mount_seconds` to come back:

    online --time is up, released--> nearline --stage--> staging --mounted--> online

What is not online can't be read, but told of, renamed, removed, and its checksum is known.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated
from weakref import WeakKeyDictionary, WeakSet

from msgspec import Meta

from .errors import Nearline, ObjectNotFound
from .memory import MemoryElement, MemoryOptions
from .powers import Locality
from .registry import Plugin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .memory import Stored

Seconds = Annotated[float, Meta(ge=0)]
_WRITTEN = ""  # who holds on disk what was just written


class TapeOptions(MemoryOptions, kw_only=True, forbid_unknown_fields=True):
    online_seconds: Annotated[Seconds, Meta(description="how long what was written stays on disk")] = 3600.0
    mount_seconds: Annotated[Seconds, Meta(description="how long tape takes to come to disk")] = 5.0


class _Library:
    """Who wants what on disk, from when until when; shared by all elements, as the objects are."""

    def __init__(self) -> None:
        self.holds: WeakKeyDictionary[Stored, dict[str, tuple[float, float]]] = WeakKeyDictionary()
        self.lost: WeakSet[Stored] = WeakSet()


_LIBRARY = _Library()


class TapeElement(MemoryElement):
    """Powers beside those of MemoryElement: Stages."""

    type = "tape"

    def __init__(self, options: TapeOptions, *, name: str = "") -> None:
        super().__init__(options, name=name)
        self._online_seconds = options.online_seconds
        self._mount_seconds = options.mount_seconds

    async def stage(self, pfns: Sequence[str], *, keep_seconds: int) -> str:
        request = secrets.token_hex(8)
        now = time.time()
        for stored in filter(None, map(self._objects.get, pfns)):
            coming = [start for start, end in self._holds(stored).values() if now < end]
            begins = max(now, min(coming)) if coming else now + self._mount_seconds
            self._holds(stored)[request] = (begins, begins + keep_seconds)
        return request

    async def locality(self, pfns: Sequence[str]) -> dict[str, Locality]:
        return {pfn: self._where(stored) for pfn in pfns if (stored := self._objects.get(pfn))}

    async def release(self, pfns: Sequence[str], request: str) -> None:
        for stored in filter(None, map(self._objects.get, pfns)):
            self._holds(stored).pop(request, None)

    def evict(self, pfn: str) -> None:
        """Time is up for all who wanted it on disk."""
        _LIBRARY.holds[self._get(pfn)] = {}

    def lose(self, pfn: str) -> None:
        """The tape breaks, and the library knows."""
        _LIBRARY.lost.add(self._get(pfn))

    def _data(self, pfn: str) -> bytes:
        stored = self._get(pfn)
        where = self._where(stored)
        if where is Locality.LOST:
            raise ObjectNotFound("the library has lost its tape", pfn=pfn)
        if where is not Locality.ONLINE:
            raise Nearline("it is on tape alone: have it staged", pfn=pfn, retry_after=self._mount_seconds)
        return stored.data

    def _where(self, stored: Stored) -> Locality:
        now = time.time()
        if stored in _LIBRARY.lost:
            return Locality.LOST
        starts = [start for start, end in self._holds(stored).values() if now < end]
        if not starts:
            return Locality.NEARLINE
        return Locality.ONLINE if min(starts) <= now else Locality.STAGING

    def _holds(self, stored: Stored) -> dict[str, tuple[float, float]]:
        written = stored.mtime_us / 1e6
        return _LIBRARY.holds.setdefault(stored, {_WRITTEN: (written, written + self._online_seconds)})


PLUGIN = Plugin(
    name="tape",
    summary="a simulated tape library in the server's memory: for tests and demonstrations",
    config=TapeOptions,
    factory="storage_plugins.tape:TapeElement",
)
