"""Statements of facets: how many of the matching files have which values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.field import FieldType

from .compile_shown import json_value, sort_key
from .compile_values import NUMBER, scalar
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
        found = json_value(column.bound, params, directories=True)
        groups = f"select v, sum(n)::bigint as c from (select {found} as v, m.n from unnest({ids}, {numbers}) m(id, n) join dir d on d.id = m.id) s where v is not null group by v"
        return await self._summary(connection, groups, params, column, top, buckets)

    async def of_files(
        self, connection: Connection, asked: Prepared, column: Column, top: int, buckets: int
    ) -> Summary:
        """Of any field. Raises InvalidRequest for a standard one whose values can't be counted."""
        params = Params()
        if isinstance(column.bound.field, StandardField):
            found = f"to_jsonb({sort_key(column, asked.names, params, False).sql})"
        else:
            found = json_value(column.bound, params, directories=False)
        source = f"from file f join dir d on d.id = f.dir_id where {asked.of_all(params)}"
        groups = f"select v, count(*) as c from (select {found} as v {source}) s where v is not null group by v"
        return await self._summary(connection, groups, params, column, top, buckets)

    async def _summary(
        self, connection: Connection, groups: str, params: Params, column: Column, top: int, buckets: int
    ) -> Summary:
        number = scalar("v", NUMBER) if column.type in NUMBERS else "null::numeric"
        most = params.add(buckets, "int")
        if column.type in WHOLE:
            most = f"least({most}, r.high - r.low + 1)"
        statement = f"""with g as materialized ({groups}), x as materialized (select {number} as x, c from g),
            r as (select min(x) as low, max(x) as high from x),
            b as (select r.low, r.high, trunc({most})::int as n from r)
            select (select count(*) from g)::bigint, (select coalesce(sum(c), 0) from g)::bigint,
                (select coalesce(jsonb_agg(jsonb_build_array(v, c) order by c desc, v), '[]') from (select v, c from g order by c desc, v limit {params.add(top, "int")}) t),
                b.low, b.high, coalesce(b.n, 0),
                (select coalesce(jsonb_object_agg(i, c), '{{}}') from (select case when b.high = b.low then 0
                    else least(b.n - 1, floor((x.x - b.low) * b.n / (b.high - b.low))) end::int as i, sum(x.c)::bigint as c
                    from x where x.x is not null group by 1) h)
            from b"""
        row = await connection.fetchrow(statement, *params.values)
        assert row is not None
        return Summary(*row)
