"""Statements of facets: how many of the matching files have which values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.field import FieldType

from .compile_fields import value
from .compile_shown import json_value, sort_key
from .params import Params
from .standard import StandardField

if TYPE_CHECKING:
    from decimal import Decimal

    from catalog.db import Connection

    from .compile_shown import Column
    from .prepared import Prepared

WHOLE = (FieldType.INT, FieldType.TIMESTAMP, FieldType.DATE)
NUMBERS = (*WHOLE, FieldType.FLOAT)


class Summary(NamedTuple):
    """Of one field. `top` are [value, count]; `bars` {number of the bucket: files} of `buckets` equal ones."""

    distinct: int
    files: int
    top: list[tuple[Any, int]]
    low: Decimal | None
    high: Decimal | None
    buckets: int
    bars: dict[str, int]


class FacetsStore:
    async def per_directory(self, connection: Connection, asked: Prepared) -> tuple[list[int], list[int]]:
        """(directories, matching files in each), of those that have any."""
        params = Params()
        if asked.only_directories:
            places = [
                f"(d.path >= {params.add(a, 'text')} and d.path < {params.add(b, 'text')})" for a, b in asked.ranges()
            ]
            statement = f"""select d.id, u.nfiles from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0
                where ({" or ".join(places)}) and {asked.of_directories(params)} and u.nfiles > 0"""
        else:
            statement = f"select f.dir_id, count(*) from file f join dir d on d.id = f.dir_id where {asked.of_all(params)} group by f.dir_id"
        rows = await connection.fetch(statement, *params.values)
        return [r[0] for r in rows], [r[1] for r in rows]

    async def of_directories(
        self, connection: Connection, column: Column, counts: tuple[list[int], list[int]], top: int, buckets: int
    ) -> Summary:
        """Of a field that only directories have, from the files that match in each."""
        params = Params()
        ids, numbers = params.add(counts[0], "bigint[]"), params.add(counts[1], "bigint[]")
        found = _raw(column, params, directories=True)
        groups = f"select {found} as v, sum(m.n)::bigint as c from unnest({ids}, {numbers}) m(id, n) join dir d on d.id = m.id group by 1"
        return await self._summary(connection, groups, params, column, top, buckets)

    async def of_files(
        self, connection: Connection, asked: Prepared, column: Column, top: int, buckets: int
    ) -> Summary:
        """Of any field. Raises InvalidRequest for a standard one whose values can't be counted."""
        params = Params()
        if isinstance(column.bound.field, StandardField):
            found = f"{sort_key(column, asked.names, params, False).sql}::text"
        else:
            found = _raw(column, params, directories=False)
        groups = f"select {found} as v, count(*) as c from file f join dir d on d.id = f.dir_id where {asked.of_all(params)} group by 1"
        return await self._summary(connection, groups, params, column, top, buckets)

    async def _summary(
        self, connection: Connection, groups: str, params: Params, column: Column, top: int, buckets: int
    ) -> Summary:
        """`groups` are (text or JSON of a value, files that have it); those without a value are one of them."""
        most = params.add(buckets, "int")
        if column.type in WHOLE:
            most = f"least({most}, r.high - r.low + 1)"
        number, json = _typed(column.type)
        statement = f"""with g as materialized (select v, c from ({groups}) s where v is not null),
            x as materialized (select {number} as x, c from g), r as (select min(x) as low, max(x) as high from x),
            b as (select r.low, r.high, trunc({most})::int as n from r)
            select (select count(*) from g)::bigint, (select coalesce(sum(c), 0) from g)::bigint,
                (select coalesce(jsonb_agg(jsonb_build_array({json}, c) order by c desc, v), '[]') from (select v, c from g order by c desc, v limit {params.add(top, "int")}) t),
                b.low, b.high, coalesce(b.n, 0),
                (select coalesce(jsonb_object_agg(i, c), '{{}}') from (select case when b.high = b.low then 0
                    else least(b.n - 1, floor((x.x - b.low) * b.n / (b.high - b.low))) end::int as i, sum(x.c)::bigint as c
                    from x where x.x is not null group by 1) h)
            from b"""
        row = await connection.fetchrow(statement, *params.values)
        assert row is not None
        return Summary(*row)


def _raw(column: Column, params: Params, *, directories: bool) -> str:
    """What to group by: the text of a value (quicker by half than its JSON), or, of JSON, the value."""
    field: Any = column.bound.field
    if column.type is FieldType.JSON:
        return json_value(column.bound, params, directories)
    return f'({value(field, directories, text=True)} collate "C")'


def _typed(type_: FieldType) -> tuple[str, str]:
    """SQL of the number and of the JSON of the text `v`. What is none of the type is shown as text."""
    if type_ in NUMBERS:
        number = f"case when v ~ '{_NUMBER}' then v::numeric end"
        return number, f"coalesce(to_jsonb({number}), to_jsonb(v))"
    if type_ is FieldType.BOOL:
        return "null::numeric", "case when v in ('true', 'false') then to_jsonb(v::boolean) else to_jsonb(v) end"
    return "null::numeric", "v" if type_ is FieldType.JSON else "to_jsonb(v)"


_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
