"""Facets of what every file has: who owns it, where its replicas are, in what state.

These have few values, so the files are grouped by all of them at once, in one look at their narrow columns, and what is told
of each is made from the groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.model.file import FileStatus
from lading.model.replica import STATES

from .compile_shown import names_table, words
from .compile_standard import text
from .facets_store import Summary
from .params import Params
from .search_store import each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Connection

    from .compile import Names
    from .prepared import Prepared

CLICKS = ("se", "state", "status", "kind", "owner", "group", "ext")
"""The standard fields that this counts."""
_MANY = ("se", "state")
# What files are grouped by. `rstate` is null when all replicas are available.
_COLUMNS = {
    "se": "f.se",
    "state": "case when cardinality(f.se) > 0 then coalesce(f.rstate, '{0}') end",
    "status": "coalesce(f.status, 0)",
    "kind": "0",
    "owner": "f.owner_id",
    "group": "f.group_id",
    "ext": text("ext", False),
}
_HASHED = "select set_config('enable_sort', 'off', true), set_config('work_mem', '64MB', true)"


class ClicksStore:
    async def count(self, connection: Connection, asked: Prepared, names: Sequence[str], top: int) -> list[Summary]:
        """Of each of these fields; a file of several values counts for each of them, once."""
        params = Params()
        columns = ", ".join(f"{_COLUMNS[name]} as v{n}" for n, name in enumerate(names))
        groups = ", ".join(f"v{n}" for n in range(len(names)))
        rows = each(
            asked,
            lambda part: f"select {columns} from file f join dir d on d.id = f.dir_id where {part.of_all(params)}",
        )
        most = params.add(top, "int")
        told = " union all ".join(_told(name, f"v{n}", asked.names, params, most) for n, name in enumerate(names))
        await connection.execute(_HASHED)
        statement = (
            f"""with c as materialized (select {groups}, count(*) as n from ({rows}) s group by {groups}) {told}"""
        )
        return [Summary(r[0], r[1], r[2], None, None, 0, {}) for r in await connection.fetch(statement, *params.values)]


def _told(name: str, column: str, names: Names, params: Params, most: str) -> str:
    """SQL of a row (distinct values, files that have one, [value, files] of the most frequent)."""
    source, here = "c", f"c.{column}"
    if name in _MANY:
        source, here = f"c cross join lateral (select distinct coalesce(x, 0) as x from unnest(c.{column}) x) y", "y.x"
    files = f"(select coalesce(sum(n), 0) from c where {f'cardinality({column}) > 0' if name in _MANY else 'true'})"
    if name == "ext":
        files = f"(select coalesce(sum(n), 0) from c where {column} is not null)"
    value = _value(name, here, names, params)
    return f"""select * from (with g as materialized (select v collate "C" as v, sum(n)::bigint as n
            from (select {value} as v, c.n from {source}) z where v is not null group by 1)
        select (select count(*) from g), {files}::bigint,
            (select coalesce(jsonb_agg(jsonb_build_array(v, n) order by n desc, v), '[]') from (select v, n from g order by n desc, v limit {most}) t)) r"""


def _value(name: str, here: str, names: Names, params: Params) -> str:
    known = {"se": names.elements, "owner": names.users, "group": names.groups}.get(name)
    if known is not None:
        return f"coalesce({names_table(known, params)} ->> {here}::text, {here}::text)"
    if name == "state":
        return f"({words([s.value for s in STATES])})[{here} + 1]"
    if name == "status":
        return f"({words([s.value for s in FileStatus])})[{here} + 1]"
    return "'file'" if name == "kind" else here
