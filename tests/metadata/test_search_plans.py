"""The plans of the statements that must be quick: which index, and never a scan of all files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio

from lading.model.principal import Caller
from lading.model.search import Question
from metadata.params import Params
from metadata.search_store import (
    Dir,
    count_statement,
    directories_statement,
    extent_statement,
    files_statement,
    flat_statement,
    guarded_count_statement,
)
from tests.catalog.world import World
from tests.metadata import bulk


@pytest_asyncio.fixture
async def big(world: World) -> AsyncIterator[World]:
    """40,000 files in 2,000 directories; `run` is indexed."""
    await bulk.fill(world, 2000, 20)
    await bulk.index(world, "run")
    await world.sql("analyze")
    yield world


async def plan(world: World, who: Caller, query: str, write: Any, under: str = "/") -> dict[str, list[str]]:
    """{kind of node: the tables and indexes it reads} of the statement that `write` makes."""
    found: dict[str, list[str]] = {}

    def walk(node: dict[str, Any]) -> None:
        for key in ("Index Name", "Relation Name"):
            if key in node:
                found.setdefault(node["Node Type"], []).append(node[key])
        for part in node.get("Plans", ()):
            walk(part)

    async with world.services.search.asking(who, query, under) as (connection, asked):
        params = Params()
        raw = await connection.fetchval("explain (format json) " + write(asked, params), *params.values)
        walk((msgspec.json.decode(raw) if isinstance(raw, str) else raw)[0]["Plan"])
    return found


def _directories(asked: Any, params: Params) -> str:
    ((low, high),) = asked.ranges()
    return directories_statement(asked, params, low, high, 200)


async def test_values_of_directories_are_found_by_their_index(big: World) -> None:
    (alice,) = await big.people(alice=["g1"])
    for who in (big.admin, alice):
        for query in (
            'site = "s7"',
            'site in ("s7", "s8")',
            'site = "s7" and subject > 100',
            "subject = 7 and size > 1",
        ):
            for statement in (_directories, extent_statement):
                found = await plan(big, who, query, statement)
                assert "dir_eff" in found["Bitmap Index Scan"], query
                assert "dir" not in found.get("Seq Scan", [])


async def test_files_of_directories_are_read_by_their_key(big: World) -> None:
    (alice,) = await big.people(alice=["g1"])
    rows = await big.sql("select id, path from dir where path like '/vo/d%' order by path limit 100")
    dirs = [Dir(r["id"], r["path"], 20) for r in rows]
    for who in (big.admin, alice):
        found = await plan(big, who, 'site = "s7"', lambda a, p: files_statement(a, p, dirs, [], 5000))
        assert "file_dir_name_key" in [*found.get("Index Scan", []), *found.get("Bitmap Index Scan", [])]
        assert "file" not in found.get("Seq Scan", [])
        found = await plan(big, who, 'site = "s7" and run < 50', lambda a, p: files_statement(a, p, dirs, [], 5000))
        names = [*found.get("Index Scan", []), *found.get("Bitmap Index Scan", [])]
        assert any(n.startswith(("field_", "file_dir_name_key")) for n in names)
        assert "file" not in found.get("Seq Scan", [])


async def test_an_indexed_value_of_files_is_found_by_its_index(big: World) -> None:
    (alice,) = await big.people(alice=["g1"])
    for who in (big.admin, alice):
        for query in ("run = 5", "run between 5 and 8", "run in (1, 2)", "run < 3 and size > 1"):
            found = await plan(big, who, query, lambda a, p: flat_statement(a, p, [], None, None, 5000))
            names = [*found.get("Index Scan", []), *found.get("Bitmap Index Scan", [])]
            assert any(n.startswith("field_") for n in names), query
            assert "file" not in found.get("Seq Scan", [])


async def test_a_field_of_files_and_directories_is_found_by_the_indexes_of_both(big: World) -> None:
    """Own values by the field's index, inherited ones through the directories; the files of other directories unread."""
    (alice,) = await big.people(alice=["g1"])
    both = """with changed as (update file set meta = meta || '{"run": 20000}'
            where kind = 1 and name like 'd00001%' returning id),
        inherited as (update dir set eff = eff || '{"run": 20000}' where id in (select id from changed) returning id)
        update file set meta = nullif(meta - 'run', '{}') where dir_id in (select id from inherited) and name > 'f00003'"""
    await big.sql(both)
    await big.sql("update field set on_dirs = true where name = 'run'")
    await big.sql("update field_epoch set epoch = epoch + 1")
    big.services.known_fields.forget()
    await big.sql("vacuum analyze file, dir")
    rows = await big.sql("select id, path from dir where path like '/vo/d%' order by path limit 100")
    dirs = [Dir(r["id"], r["path"], 20) for r in rows]
    for who in (big.admin, alice):
        for query in ("run = 20000", "run in (5, 20000)", "run between 19999 and 20001", "run = 20000 and size > 1"):
            equal = "between" not in query
            for statement in (
                _directories,
                count_statement,
                lambda a, p: flat_statement(a, p, [], None, None, 5000),
                lambda a, p: files_statement(a, p, dirs, [], 5000),
            ):
                found = await plan(big, who, query, statement)
                names = [
                    *found.get("Index Scan", []),
                    *found.get("Bitmap Index Scan", []),
                    *found.get("Index Only Scan", []),
                ]
                assert any(n.startswith("field_") for n in names), (query, found)
                assert "file" not in found.get("Seq Scan", []), (query, found)
                if statement is _directories and equal:
                    assert "dir_eff" in names, (query, found)
        number = sum(r["n"] for r in await big.sql(
            """select count(*)::int as n from file f join dir d on d.id = f.dir_id
            where f.kind = 0 and coalesce(f.meta -> 'run', d.eff -> 'run') = '20000'"""
        ))  # fmt: skip
        assert number == 10 * 17
        assert (await big.services.search.count(who, Question("run = 20000"))).count == number
        steps = (await big.services.search.explain(who, Question("run = 20000"))).steps
        assert any("the index of run finds the files with a value of their own" in s for s in steps)


async def test_a_guid_and_an_lfn_are_found_by_their_keys(big: World) -> None:
    guid = (await big.sql("select guid::text as g from file where kind = 0 limit 1"))[0]["g"]
    found = await plan(big, big.admin, f'guid = "{guid}"', lambda a, p: flat_statement(a, p, [], None, None, 10))
    assert "file_guid_key" in found["Index Scan"]
    found = await plan(big, big.admin, 'lfn = "/vo/d000001/f00001"', _directories)
    assert "dir_path_key" in [*found.get("Index Scan", []), *found.get("Bitmap Index Scan", [])]


async def test_counting_looks_only_at_files_that_not_everybody_may_read(big: World) -> None:
    (alice,) = await big.people(alice=["g1"])
    await big.sql("update file set mode = 384 where kind = 0 and id % 1000 = 0")
    await big.sql("analyze file")
    (hidden,) = await big.sql("select count(*)::int as n from file where kind = 0 and mode = 384")
    for query in ("true", 'site = "s7"'):
        found = await plan(big, alice, query, guarded_count_statement)
        assert "file_guarded" in [*found.get("Index Scan", []), *found.get("Bitmap Index Scan", [])]
        assert "file" not in found.get("Seq Scan", [])
    assert (await big.services.search.count(alice, Question("true"))).count == 40_000 - hidden["n"]
