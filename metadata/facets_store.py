"""Statements of facets: how many of the matching files have which values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.field import FieldType

from .compile_fields import value
from .compile_shown import json_value, sort_key
from .params import Params
from .search_store import each, unreadable
from .standard import StandardField

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from catalog.db import Connection

    from .compile_shown import Column
    from .prepared import Prepared

WHOLE = (FieldType.INT, FieldType.TIMESTAMP, FieldType.DATE)
NUMBERS = (*WHOLE, FieldType.FLOAT)
MOST = 8  # fields of one statement


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
        if not asked.file_terms:
            places = [
                f"(d.path >= {params.add(a, 'text')} and d.path < {params.add(b, 'text')})" for a, b in asked.ranges()
            ]
            statement = f"""select id, n from (select d.id, u.nfiles - {unreadable(asked, params)} as n
                from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0
                where ({" or ".join(places)}) and {asked.of_directories(params)}) s where n > 0"""
        else:
            found = each(
                asked,
                lambda part: f"select f.dir_id from file f join dir d on d.id = f.dir_id where {part.of_all(params)}",
            )
            statement = f"select dir_id, count(*) from ({found}) f group by dir_id"
        rows = await asked.clock.fetch(connection, statement, params.values)
        return [r[0] for r in rows], [r[1] for r in rows]

    async def of_directories(
        self,
        connection: Connection,
        columns: Sequence[Column],
        counts: tuple[list[int], list[int]],
        top: int,
        buckets: int,
    ) -> list[Summary]:
        """Of fields that only directories have, from the files that match in each."""
        params = Params()
        ids, numbers = params.add(counts[0], "bigint[]"), params.add(counts[1], "bigint[]")
        values = _values([_raw(c, params, directories=True) for c in columns])
        rows = f"select {values}, m.n from unnest({ids}, {numbers}) m(id, n) join dir d on d.id = m.id"
        return await self._summaries(connection, columns, "sum(n)::bigint", rows, params, top, buckets)

    async def of_files(
        self, connection: Connection, asked: Prepared, columns: Sequence[Column], top: int, buckets: int
    ) -> list[Summary]:
        """Of any fields, in one look at the files. Raises InvalidRequest for one whose values can't be counted."""
        params = Params()
        raw = [
            f"{sort_key(c, asked.names, params, False).sql}::text"
            if isinstance(c.bound.field, StandardField)
            else _raw(c, params, directories=False)
            for c in columns
        ]
        rows = each(
            asked,
            lambda part: f"select {_values(raw)} from file f join dir d on d.id = f.dir_id where {part.of_all(params)}",
        )
        return await self._summaries(connection, columns, "count(*)", rows, params, top, buckets)

    # The planner takes each file for a group of its own, and would sort all of them once a field.
    _HASHED = "select set_config('enable_sort', 'off', true), set_config('work_mem', '64MB', true)"

    async def _summaries(
        self,
        connection: Connection,
        columns: Sequence[Column],
        counted: str,
        rows: str,
        params: Params,
        top: int,
        buckets: int,
    ) -> list[Summary]:
        """Groups by each value (text, or JSON) of `rows`, and what is to be told of them; no value is no group."""
        assert len(columns) <= MOST
        await connection.execute(self._HASHED)
        names = [f"v{n}" for n in range(len(columns))]
        every = (1 << len(columns)) - 1  # grouping() has a bit for each column that a row is not grouped by
        which = [every - (1 << (len(columns) - 1 - n)) for n in range(len(columns))]
        values = " ".join(f"when {bits} then {v}::text" for bits, v in zip(which, names, strict=True))
        most, first = params.add(buckets, "int"), params.add(top, "int")
        parts = [_summary(c.type, f"g where i = {bits}", most, first) for c, bits in zip(columns, which, strict=True)]
        statement = f"""with a as (select {", ".join(names)}, grouping({", ".join(names)}) as i, {counted} as c
                from ({rows}) s
                group by grouping sets ({", ".join(f"({v})" for v in names)})),
            g as materialized (select i, v, c from (select i, case i {values} end collate "C" as v, c from a) t where v is not null)
            {" union all ".join(f"select * from ({p}) p" for p in parts)}"""
        return [Summary(*row) for row in await connection.fetch(statement, *params.values)]


def _values(raw: Sequence[str]) -> str:
    return ", ".join(f"{r} as v{n}" for n, r in enumerate(raw))


def _summary(type_: FieldType, groups: str, buckets: str, top: str) -> str:
    number, json = _typed(type_)
    most = f"least({buckets}, r.high - r.low + 1)" if type_ in WHOLE else buckets
    bar = "case when b.high = b.low then 0 else least(b.n, width_bucket(x.x, b.low, b.high, b.n)) - 1 end"
    return f"""with x as materialized (select v, c, {number} as x from {groups}),
            r as (select min(x) as low, max(x) as high, count(*) as distinct, coalesce(sum(c), 0)::bigint as files from x),
            b as materialized (select r.*, trunc({most})::int as n from r)
        select b.distinct, b.files,
            (select coalesce(jsonb_agg(jsonb_build_array({json}, c) order by c desc, v), '[]') from (select v, c from x order by c desc, v limit {top}) t),
            b.low, b.high, coalesce(b.n, 0),
            (select coalesce(jsonb_object_agg(i, c), '{{}}') from (select {bar} as i, sum(x.c)::bigint as c
                from x where x.x is not null group by 1) h)
        from b"""


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
    return "null::numeric", "v::jsonb" if type_ is FieldType.JSON else "to_jsonb(v)"


_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
