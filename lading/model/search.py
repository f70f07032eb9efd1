"""Searches on the wire: what is asked, and what is answered beside the files themselves."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from .field import FieldType
from .file import Kind

_Query = Annotated[str, Meta(description="the query language; `true` asks for everything")]
_Under = Annotated[str, Meta(description="a directory: only what is in it or below")]


_Limit = Annotated[int, Meta(ge=1, description="how many at most; of a page, 1,000 without it")]


class _Body(Struct, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Find(_Body):
    """POST /v1/find. `select` are fields to tell of each file; `sort` is one to order by, with `-` before it downwards.

    Without `sort` the order is that of the directories' paths and the names in them, byte by byte. `cursor` is the
    `next` of the page before, or, after a broken stream, the last LFN; with `sort` the JSON of [its value as told,
    the LFN].
    """

    query: _Query
    under: _Under = "/"
    kind: Annotated[Kind, Meta(description="`file` or `directory`")] = Kind.FILE
    select: Annotated[list[str], Meta(max_length=100)] = []
    sort: str | None = None
    limit: _Limit | None = None
    cursor: str | None = None


class Question(_Body):
    """A query without what is told of each file: for counting and explaining."""

    query: _Query
    under: _Under = "/"
    kind: Annotated[Kind, Meta(description="`file` or `directory`")] = Kind.FILE


class Facets(_Body):
    """POST /v1/find/facets -> FacetAnswer. `fields` are those to tell of; by default every declared one, then se,
    state, status, owner, group and ext. A file of several elements or states counts for each."""

    query: _Query
    under: _Under = "/"
    fields: Annotated[list[str], Meta(max_length=100)] = []
    top: Annotated[int, Meta(ge=1, le=1000, description="how many values of each field")] = 20
    buckets: Annotated[int, Meta(ge=1, le=200, description="bars of a histogram")] = 20
    seconds: Annotated[float, Meta(gt=0, le=60, description="after these, the rest of the fields is left out")] = 10.0


class Count(Struct):
    count: int


class FacetValue(Struct):
    """`value` in its shown form."""

    value: Any
    count: int


class Bucket(Struct):
    """Values from `low` on, and below `high` (the last bucket: `high` too)."""

    low: Any
    high: Any
    count: int


class Facet(Struct, omit_defaults=True):
    """One field among the files that match. `count` of them have it; `values` are the most frequent, `others` counts
    the distinct values beyond those. `histogram` is for numbers and times."""

    field: str
    type: FieldType
    unit: str = ""
    count: int = 0
    values: list[FacetValue] = []
    others: int = 0
    minimum: Any = None
    maximum: Any = None
    histogram: list[Bucket] = []


class FacetAnswer(Struct, omit_defaults=True):
    """`count` files match. `left` are fields that there was no time for: ask for them by themselves."""

    count: int
    facets: list[Facet] = []
    left: list[str] = []


class Explained(Struct, omit_defaults=True):
    """How a query is answered. `route`: `directories` (first the directories, then the files in them) or `index`.

    `steps` tell it in words; `missing` are fields without an index that files are searched by.
    """

    route: str
    steps: list[str]
    directories: int | None = None
    files: int | None = None
    missing: list[str] = []
