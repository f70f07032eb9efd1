"""Which element can copy to which, and by what means: told from their options, or tried with a small object."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from itertools import product
from typing import TYPE_CHECKING

from catalog.access.rights import require_admin
from lading.model.element import Link, Trial
from lading.model.errors import CatalogError, InvalidRequest
from storage_plugins.base import RESERVED
from storage_plugins.chunks import chunked
from storage_plugins.errors import StorageError

from .ways import carry, ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.elements.service import Element, ElementsService
    from lading.model.principal import Caller
    from storage_plugins.base import Element as StorageElement

MOST = 50  # elements a call: 2,450 pairs
_AT_ONCE = 8
_SIZE = 4096
_PATIENCE = 60.0  # seconds for one trial


class Links:
    def __init__(self, elements: ElementsService) -> None:
        self._elements = elements

    async def links(self, caller: Caller, names: Sequence[str] = (), *, trial: bool = False) -> list[Link]:
        """Every ordered pair of two of the elements named, or of all but placeholders; by source and target.

        `trial` writes, copies and removes a small object for each pair whose source takes one. Raises Forbidden,
        NotFound, InvalidRequest (too many elements).
        """
        require_admin(caller.principal)
        await self._elements.load()
        chosen = [self._elements.named(n) for n in names] or [e for e in self._elements.every() if not e.placeholder]
        if len(chosen) > MOST:
            raise InvalidRequest(f"at most {MOST} elements at a time: name those you mean", elements=len(chosen))
        chosen.sort(key=lambda e: e.name)
        turns = asyncio.Semaphore(_AT_ONCE)
        pairs = [(source, target) for source, target in product(chosen, chosen) if source.id != target.id]
        return await asyncio.gather(*(self._link(source, target, turns, trial) for source, target in pairs))

    async def _link(self, source: Element, target: Element, turns: asyncio.Semaphore, trial: bool) -> Link:
        link = Link(source.name, target.name)
        if not source.readable:
            link.why = source.why_not("read")
        elif not target.writable:
            link.why = target.why_not("write")
        else:
            async with turns:
                try:
                    here, there = await self._elements.storage(source), await self._elements.storage(target)
                    link.ways = await ways(here, there)
                    if trial and source.writable:
                        link.trial = await _tried(here, there)
                    elif trial:
                        link.why = f"not tried: {source.why_not('write')}"
                except (CatalogError, StorageError) as error:
                    link.why = error.message
        return link


async def _tried(source: StorageElement, target: StorageElement) -> Trial:
    data = secrets.token_bytes(_SIZE)
    name = f"{RESERVED}probe/{secrets.token_hex(16)}"
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE):
            await source.write(name, chunked(data), size=_SIZE)
            copy = f"{name}-copy"
            began = time.perf_counter()
            _, way = await carry(source, name, target, copy, size=_SIZE, checksums={}, overwrite=False)
            seconds = time.perf_counter() - began
            read = b"".join([bytes(chunk) async for chunk in target.read(copy)])
        if read != data:
            return Trial(False, way, error="the copy has other bytes")
        return Trial(True, way, round(seconds * 1000, 1))
    except StorageError as error:
        return Trial(False, error=error.message)
    except TimeoutError:
        return Trial(False, error=f"nothing came of it within {_PATIENCE:g} seconds")
    finally:
        for element, pfn in ((source, name), (target, f"{name}-copy")):
            with contextlib.suppress(StorageError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await element.remove(pfn)
