"""Facets: for a query so far, the fields still in play, with their values and how many files have each."""

from __future__ import annotations

import asyncio
import math
import time
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lading.model.field import FieldType
from lading.model.search import Bucket, Facet, FacetAnswer, FacetValue

from .clicks_store import CLICKS, ClicksStore
from .facets_store import MOST, NUMBERS, WHOLE, FacetsStore
from .known import show
from .search import TookTooLong
from .standard import StandardField

if TYPE_CHECKING:
    from lading.model.principal import Caller
    from lading.model.search import Facets

    from .compile_shown import Column
    from .facets_store import Summary
    from .search import SearchService

_AT_ONCE = 2


class FacetService:
    def __init__(self, search: SearchService) -> None:
        self._search = search
        self._store = FacetsStore()
        self._clicks = ClicksStore()

    async def facets(self, caller: Caller, body: Facets) -> FacetAnswer:
        """Of the matching files that the caller may see: every field that one of them has, in order of the names; then
        of what every file has that by which people narrow down.

        Fields for which `seconds` were not enough are listed in `left`. Raises as a search does; InvalidRequest for a
        standard field whose values can't be counted.
        """
        until = time.monotonic() + body.seconds
        async with self._search.asking(caller, body.query, body.under) as (connection, asked):
            names = list(dict.fromkeys(body.fields))
            if not names:
                declared = sorted(n for n, f in asked.fields.items() if f.on_files or f.on_dirs)
                names = [*declared, *(n for n in CLICKS if n != "kind")]  # which is always the same: files are searched
            columns = [self._search.preparer.column(asked, name) for name in names]
            counts = await self._store.per_directory(connection, asked) if asked.where else ([], [])
        answer = FacetAnswer(sum(counts[1]))
        if not answer.count:
            return answer
        shape = (body.top, body.buckets)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def some(columns: list[Column], way: _Way) -> list[Facet | str]:
            async with gate:
                rest = until - time.monotonic()
                try:
                    if rest <= 0:
                        raise TookTooLong("no time is left")
                    async with self._search.asking(caller, "", asked=asked, seconds=rest) as (connection, _):
                        if way is _Way.CLICKS:
                            clicks = [c.bound.field.name for c in columns]
                            found = await self._clicks.count(connection, asked, clicks, body.top)
                        elif way is _Way.DIRECTORIES:
                            found = await self._store.of_directories(connection, columns, counts, *shape)
                        else:
                            found = await self._store.of_files(connection, asked, columns, *shape)
                except TookTooLong:
                    return [c.name for c in columns]
                return [_facet(c, f) for c, f in zip(columns, found, strict=True)]

        tasks = [asyncio.create_task(some(*part)) for part in _parts(columns)]
        try:
            parts = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        made = [one for part in parts for one in part]
        answer.left = sorted(one for one in made if isinstance(one, str))
        facets = {one.field: one for one in made if isinstance(one, Facet) and one.count}
        answer.facets = [facets[name] for name in names if name in facets]
        return answer


class _Way(Enum):
    """How fields are counted: from the values of directories, from those of files, or by what every file has."""

    DIRECTORIES = 0
    FILES = 1
    CLICKS = 2


def _parts(columns: list[Column]) -> list[tuple[list[Column], _Way]]:
    """What to ask in one statement, and how."""
    parts: list[tuple[list[Column], _Way]] = []
    for way in _Way:
        some = [c for c in columns if _way(c) is way]
        size = max(1, min(MOST, -(-len(some) // _AT_ONCE))) if way is _Way.FILES else MOST
        parts += [(some[n : n + size], way) for n in range(0, len(some), size)]
    return parts


def _way(column: Column) -> _Way:
    field: Any = column.bound.field
    if isinstance(field, StandardField):
        return _Way.CLICKS if field.name in CLICKS else _Way.FILES
    return _Way.FILES if field.on_files else _Way.DIRECTORIES


def _facet(column: Column, found: Summary) -> Facet:
    field: Any = column.bound.field
    type_ = column.type
    facet = Facet(column.name, type_, getattr(field, "unit", ""), found.files)
    facet.values = [FacetValue(show(type_, value), count) for value, count in found.top]
    facet.others = found.distinct - len(found.top)
    if type_ in NUMBERS and found.low is not None and found.high is not None:
        low, high = Fraction(found.low), Fraction(found.high)
        edges = [_edge(type_, low + (high - low) * i / found.buckets) for i in range(found.buckets)] + [
            _edge(type_, high)
        ]
        facet.minimum, facet.maximum = edges[0], edges[-1]
        if low < high:
            facet.histogram = [Bucket(a, b, found.bars.get(str(i), 0)) for i, (a, b) in enumerate(pairwise(edges))]
    return facet


def _edge(type_: FieldType, at: Fraction) -> Any:
    """An end of a bucket in its shown form; of whole numbers the first at or after it."""
    return show(type_, math.ceil(at)) if type_ in WHOLE else float(at)
