"""How PostgreSQL goes about a statement: for tests that guard the plans of the hot ones.

The plans are the generic ones (no value is known), which is what a server uses once it has run a statement a few times,
made under the settings of the pool that the statement runs on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from catalog.db import Connection, Database

_PREPARED = (
    "select name, statement, cardinality(parameter_types) as given from pg_prepared_statements where from_sql is false"
)


class _Undo(Exception):
    pass


@dataclass
class Plan:
    """`indexes`: those used, each with the conditions it is searched by; None where an index only decides conflicts.
    `scans`: the tables that are read from start to end, in whatever way."""

    statement: str
    indexes: dict[str, list[str | None]] = field(default_factory=dict)
    scans: set[str] = field(default_factory=set)

    def uses(self, index: str, *columns: str) -> bool:
        """Is the index used, and wherever it is, to look for these columns?"""
        found = self.indexes.get(index, [])
        return bool(found) and all(c is None or all(name in c for name in columns) for c in found)


async def plans_of(dsn: str, work: Callable[[Connection], Awaitable[Any]], *, wide: bool = False) -> list[Plan]:
    """The plans of the statements that `work` runs on the pool of that kind. What it changes is undone.

    Every statement of the session is taken as the driver prepared it, so nothing needs to know how a store names its SQL.
    """
    async with _opened(dsn) as database, database.read(wide=wide) as connection:
        with contextlib.suppress(_Undo):
            async with connection.transaction():
                before = {r["name"] for r in await connection.fetch(_PREPARED)}
                await work(connection)
                made = [r for r in await connection.fetch(_PREPARED) if r["name"] not in before]
                await connection.execute("set local plan_cache_mode = force_generic_plan")
                plans = [await _explain(connection, r["name"], r["statement"], r["given"]) for r in made]
                raise _Undo
    return plans


@contextlib.asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn, size=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def _explain(connection: Connection, name: str, statement: str, given: int) -> Plan:
    values = f"({', '.join(['null'] * given)})" if given else ""
    text = await connection.fetchval(f'explain (format json) execute "{name}"{values}')
    plan = Plan(statement)
    for node in _nodes(json.loads(text)[0]["Plan"], None):
        for arbiter in node.get("Conflict Arbiter Indexes", ()):
            plan.indexes.setdefault(arbiter, []).append(None)
        if "Index Cond" in node:
            plan.indexes.setdefault(node["Index Name"], []).append(node["Index Cond"])
        elif "Index Name" in node or node["Node Type"] == "Seq Scan":
            plan.scans.add(node["Relation Name"])
    return plan


def _nodes(node: dict[str, Any], relation: str | None) -> Iterator[dict[str, Any]]:
    """A node and all below it; a bitmap's index scan is told its table."""
    relation = node.setdefault("Relation Name", relation)
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child, relation)
