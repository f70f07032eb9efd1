"""What is on tape alone is brought to disk before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_plugins.errors import Nearline, ObjectNotFound
from storage_plugins.powers import Locality, Stages, supports

if TYPE_CHECKING:
    from storage_plugins.base import Element

_KEEP = 86_400  # seconds that it is wanted on disk: whoever asked is going to ask again
_LATER = 60.0


async def at_hand(storage: Element, pfn: str) -> None:
    """Returns when an object can be read at once. Has it staged where it is on tape alone, once however many ask, and
    raises Nearline until it is there; ObjectNotFound when the library has lost it. Safe to repeat."""
    if not supports(storage, Stages):
        return
    where = (await storage.locality([pfn])).get(pfn, Locality.ONLINE)  # what it does not know, reading tells
    if where is Locality.LOST:
        raise ObjectNotFound("the tape library has lost it", pfn=pfn)
    if where is Locality.NEARLINE:
        await storage.stage([pfn], keep_seconds=_KEEP)
    if where is not Locality.ONLINE:
        raise Nearline("it is on its way from tape to disk: try again later", pfn=pfn, retry_after=_LATER)
