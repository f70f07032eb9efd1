"""The plans of what else must be quick: values set, read, inherited and rewritten; facets, counts, whole directories.

Statements about values know none when they are planned (`tests.plans`), those of searches know all: each is explained as
its store runs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from catalog.db import Connection
from catalog.namespace.inheritance_store import InheritanceStore
from lading.model.principal import Caller
from metadata.facets_store import FacetsStore
from metadata.prepared import Prepared
from metadata.rewrite_store import DELETE, RewriteStore, Scope
from metadata.search_store import Dir, SearchStore
from metadata.values_store import ValuesStore
from tests.catalog.world import World
from tests.metadata import bulk
from tests.plans import plans_of

BIG = {"file", "dir", "dir_usage"}


@pytest_asyncio.fixture
async def big(world: World) -> AsyncIterator[World]:
    """40,000 files in 2,000 directories; `run` is indexed, fifty files are not everybody's."""
    await bulk.fill(world, 2000, 20)
    await bulk.index(world, "run")
    await world.sql("update file set mode = 384 where kind = 0 and id % 800 = 0")
    await world.sql("vacuum analyze")
    yield world


values, inheritance, rewrite = ValuesStore(), InheritanceStore(), RewriteStore()
P = ["/vo/d000001", "/vo/d000002"]
PK, DIR, PATH, IN_DIR = "file_pkey id", "dir_pkey id", "dir_path_key path", "file_dir_name_key dir_id"


async def below(c: Connection) -> list[Any]:
    return [row async for row in inheritance.below(c, ["/vo"])]


async def test_values_are_set_read_and_inherited_by_keys(big: World) -> None:
    ids = [r["id"] for r in await big.sql("select id from dir where path = any($1::text[])", P)]
    scope = Scope(ids, ids)
    works: dict[str, tuple[set[str], Callable[[Connection], Awaitable[Any]], bool]] = {
        "lock": ({PK}, lambda c: values.lock(c, ids), False),
        "set": ({PK}, lambda c: values.set(c, ids, [{"site": "s"}, {}]), False),
        "ids": ({PATH}, lambda c: inheritance.ids(c, P), False),
        "effective": ({PATH}, lambda c: inheritance.effective(c, P), False),
        "own": ({PATH, PK}, lambda c: inheritance.own(c, P), False),
        "below": ({PATH}, below, False),
        "rework": ({PK, DIR}, lambda c: inheritance.rework(c, ids, [0, 0]), False),
        "scope": ({PATH}, lambda c: rewrite.scope(c, "/vo"), True),
        "count": ({PK, IN_DIR}, lambda c: rewrite.count(c, scope, "tag"), True),
        "misfit": ({PK, IN_DIR}, lambda c: rewrite.misfit(c, scope, "tag", ["string"]), True),
        "rewrite": ({PK, IN_DIR, DIR}, lambda c: rewrite.rewrite(c, scope, DELETE, "tag"), True),
    }
    for name, (indexes, work, wide) in works.items():
        plans = await plans_of(big.dsn, work, wide=wide)
        assert plans, name
        assert not [p.statement for p in plans if p.scans & BIG], name
        for wanted in indexes:
            assert any(p.uses(*wanted.split()) for p in plans), (
                name,
                wanted,
                [(p.indexes, p.statement) for p in plans],
            )


class Watched:
    """A connection that explains each statement and runs it: `found` is {kind of node: tables and indexes} of all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.found: dict[str, set[str]] = {}
        self.execute = connection.execute  # settings

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def run(statement: str, *given: Any, **options: Any) -> Any:
            raw = await self._connection.fetchval(f"explain (format json) {statement}", *given)
            self._walk((msgspec.json.decode(raw) if isinstance(raw, str) else raw)[0]["Plan"])
            return await getattr(self._connection, name)(statement, *given, **options)

        return run

    def _walk(self, node: dict[str, Any]) -> None:
        for key in ("Index Name", "Relation Name"):
            if key in node:
                self.found.setdefault(node["Node Type"], set()).add(node[key])
        for part in node.get("Plans", ()):
            self._walk(part)


async def looked_at(
    world: World, who: Caller, query: str, work: Callable[[Any, Prepared], Awaitable[Any]], under: str = "/"
) -> set[str]:
    """The indexes that `work` uses for this question. Files are not all read; directories, few here, may be."""
    async with world.services.search.asking(who, query, under) as (connection, asked):
        watched = Watched(connection)
        await work(watched, asked)
    assert "file" not in watched.found.get("Seq Scan", set()), (query, watched.found)
    return {i for kind, names in watched.found.items() if "Index" in kind for i in names}


search, facets = SearchStore(), FacetsStore()


@pytest.mark.parametrize("person", ["admin", "alice"])
async def test_facets_look_only_into_directories_that_fit(big: World, person: str) -> None:
    who = big.admin if person == "admin" else (await big.people(alice=["g1"]))[0]

    async def all_of(connection: Any, asked: Prepared) -> None:
        columns = {n: big.services.search.preparer.column(asked, n) for n in ("site", "subject", "run", "tag")}
        counts = await facets.per_directory(connection, asked)
        await facets.of_directories(connection, [columns["site"], columns["subject"]], counts, 20, 20)
        await facets.of_files(connection, asked, [columns["run"], columns["tag"]], 20, 20)

    for query in ('site = "s7"', 'site = "s7" and tag = "t3"'):
        indexes = await looked_at(big, who, query, all_of)
        assert {"dir_eff", "file_dir_name_key"} <= indexes, query
    assert "field_" in " ".join(await looked_at(big, who, "run between 5 and 8", all_of))


@pytest.mark.parametrize("person", ["admin", "alice"])
async def test_counts_and_routes_look_only_at_what_fits(big: World, person: str) -> None:
    who = big.admin if person == "admin" else (await big.people(alice=["g1"]))[0]
    for query, wanted in (
        ('site = "s7"', {"dir_eff"} if person == "admin" else {"dir_eff", "file_guarded"}),
        ('site = "s7" and tag = "t3"', {"dir_eff", "file_dir_name_key"}),
        ("run between 5 and 8", {await _index(big)}),
        ("subject = 7 and size > 1", {"dir_eff", "file_dir_name_key"}),
    ):
        assert wanted <= await looked_at(big, who, query, search.count), query
    few = await looked_at(big, who, 'site = "s7" and run < 50', lambda c, s: search.flat(c, s, [], None, None, 5000))
    assert {"dir_eff", await _index(big) + "_dir"} <= few
    for most in (500, 5000):
        indexes = await looked_at(big, who, 'site = "s7"', lambda c, a, most=most: search.extent(c, a, most))
        assert "dir_eff" in indexes


@pytest.mark.parametrize("person", ["admin", "alice"])
async def test_files_of_whole_directories_are_read_by_their_key(big: World, person: str) -> None:
    """With no limit, as large answers are written; and for other slices."""
    who = big.admin if person == "admin" else (await big.people(alice=["g1"]))[0]
    rows = await big.sql("select id, path from dir where path like '/vo/d%' order by path limit 20")
    dirs = [Dir(r["id"], r["path"], 20) for r in rows]
    for query in ('site = "s7"', 'site = "s7" and tag = "t3"'):
        assert "file_dir_name_key" in await looked_at(big, who, query, lambda c, a: search.files(c, a, dirs, [], None))
        assert "file_dir_name_key" in await looked_at(big, who, query, lambda c, a: search.batch(c, a, dirs))
    indexes = await looked_at(big, who, "true", lambda c, a: search.directories(c, a, "", 200), "/vo/d000001")
    assert "dir_path_key" in indexes


async def _index(world: World) -> str:
    return "field_" + str((await world.sql("select id from field where name = 'run'"))[0]["id"])
