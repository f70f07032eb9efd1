"""Facets: for a query so far, the fields still in play, with their values and how many files have each."""

from __future__ import annotations

import asyncio
import math
import time
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lading.model.field import FieldType
from lading.model.search import Bucket, Facet, FacetAnswer, FacetValue

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

    async def facets(self, caller: Caller, body: Facets) -> FacetAnswer:
        """Of the matching files that the caller may see: every field that one of them has, in order of the names.

        Fields for which `seconds` were not enough are listed in `left`. Raises as a search does; InvalidRequest for a
        standard field whose values can't be counted.
        """
        until = time.monotonic() + body.seconds
        async with self._search.asking(caller, body.query, body.under) as (connection, asked):
            names = list(dict.fromkeys(body.fields)) or sorted(
                n for n, f in asked.fields.items() if f.on_files or f.on_dirs
            )
            columns = [self._search.preparer.column(asked, name) for name in names]
            counts = await self._store.per_directory(connection, asked) if asked.where else ([], [])
        answer = FacetAnswer(sum(counts[1]))
        if not answer.count:
            return answer
        shape = (body.top, body.buckets)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def some(columns: list[Column], directories: bool) -> list[Facet | str]:
            async with gate:
                rest = until - time.monotonic()
                try:
                    if rest <= 0:
                        raise TookTooLong("no time is left")
                    async with self._search.asking(caller, "", asked=asked, seconds=rest) as (connection, _):
                        if directories:
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


def _parts(columns: list[Column]) -> list[tuple[list[Column], bool]]:
    """What to ask in one statement: (fields, are they of directories alone)."""
    parts: list[tuple[list[Column], bool]] = []
    for directories in (True, False):
        some = [c for c in columns if _of_directories(c) is directories]
        size = MOST if directories else max(1, min(MOST, -(-len(some) // _AT_ONCE)))
        parts += [(some[n : n + size], directories) for n in range(0, len(some), size)]
    return parts


def _of_directories(column: Column) -> bool:
    field: Any = column.bound.field
    return not isinstance(field, StandardField) and not field.on_files


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
