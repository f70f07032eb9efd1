"""Is the object what the catalogue says? Asked of the storage itself when it can tell, else by reading it all back."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from lading.model.checksum import differing, kind, normalise

from .base import NONE, Element, ObjectInfo
from .chunks import CheckedChunks, mismatch
from .errors import Unsupported
from .powers import Checksums, supports

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


async def verify(
    element: Element,
    pfn: str,
    expected: Mapping[str, str] = NONE,
    size: int | None = None,
    *,
    kinds: Collection[str] = (),
) -> ObjectInfo:
    """Hold the stored bytes against `expected` ({kind: hex}) and `size`; `kinds` are computed beside them.

    Returns the object with every checksum of `expected` and `kinds`, all from the stored bytes. With neither, only the
    size is looked at. Raises ChecksumMismatch, ObjectNotFound, ValueError for a kind or value that is none. Changes
    nothing, safe to repeat.
    """
    wanted = {kind(name): normalise(name, value) for name, value in expected.items()}
    missing = list(dict.fromkeys([*wanted, *map(kind, kinds)]))
    info = await element.stat(pfn)
    if size is not None and info.size != size:
        raise mismatch({"size": str(size)}, {"size": str(info.size)}, pfn)
    computed: dict[str, str] = {}
    if missing and supports(element, Checksums):
        try:
            computed = await element.checksum(pfn, missing)
        except Unsupported:
            computed = {}
        if differing(wanted, computed):
            raise mismatch(wanted, computed, pfn)
        missing = [name for name in missing if name not in computed]
    if missing:
        rest = {name: value for name, value in wanted.items() if name in missing}
        async with aclosing(element.read(pfn)) as chunks:
            checked = CheckedChunks(chunks, missing, size=info.size, expected=rest, pfn=pfn)
            async for _ in checked:
                pass
        computed |= checked.checksums
    return ObjectInfo(info.size, info.mtime_us, computed)
