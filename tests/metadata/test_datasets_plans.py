"""The plans of the statements of data sets that must be quick: never a scan of all files or directories."""

from __future__ import annotations

from typing import Any

import msgspec

from catalog.namespace.frozen_store import FrozenStore
from catalog.namespace.tree_store import TreeStore
from metadata.search_store import flat_statement
from metadata.snapshots_store import SnapshotsStore
from tests.catalog.world import World
from tests.metadata import bulk
from tests.metadata.sets import create, freeze
from tests.metadata.test_search_plans import _directories, plan


async def test_only_the_directories_of_members_are_looked_into(world: World) -> None:
    await bulk.fill(world, 2000, 20)
    rows = await world.sql(
        "select d.path || '/' || f.name as lfn from file f join dir d on d.id = f.dir_id where f.kind = 0 limit 5"
    )
    await create(world, world.admin, "/vo/few", lfns=[r["lfn"] for r in rows])
    await create(world, world.admin, "/vo/site", 'site = "s7"', under="/vo")
    await freeze(world, world.admin, "/vo/few")
    await world.sql("analyze")
    (alice,) = await world.people(alice=["g1"])
    for who in (world.admin, alice):
        for query in ('in dataset "/vo/few"', 'in snapshot "/vo/few@1"', 'in dataset "/vo/site" and size > 1'):
            found = await plan(world, who, query, _directories)
            assert "dir" not in found.get("Seq Scan", []), query
        found = await plan(world, who, 'in dataset "/vo/few"', lambda a, p: flat_statement(a, p, [], None, None, 10))
        assert "file" not in found.get("Seq Scan", [])
        assert "dir_eff" in (await plan(world, who, 'in dataset "/vo/site"', _directories))["Bitmap Index Scan"]


async def test_what_a_removal_and_a_move_look_at(world: World) -> None:
    await bulk.fill(world, 2000, 20)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    await freeze(world, world.admin, "/vo/s")
    await world.sql("analyze")
    rows = await world.sql("select id, dir_id from file where kind = 0 order by id limit 100")
    ids, dirs = [r["id"] for r in rows], list({r["dir_id"] for r in rows})
    async with world.services.database.read(wide=True) as connection:
        found = await _relations(connection, FrozenStore._HELD, ids, dirs)
        assert not {"snapshot_part", "file", "dir"} & set(found.get("Seq Scan", []))
    async with world.services.database.read() as connection:
        names = [str(i) for i in ids]
        found = await _relations(connection, TreeStore._MOVE_ENTRIES, ids, [dirs[0]] * 100, names)
        assert not {"snapshot_part", "file"} & set(found.get("Seq Scan", []))


async def test_what_a_freeze_looks_at_while_others_wait(world: World) -> None:
    """The files of directories where something happened, by their ids: never all files."""
    await bulk.fill(world, 2000, 20)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    await freeze(world, world.admin, "/vo/s")
    await world.sql("analyze")
    async with world.services.database.read(wide=True) as connection:
        found = await _relations(connection, SnapshotsStore._STRAYED, 1, "1", "/vo", "/vo/", "/vo0")
    assert "file" not in found.get("Seq Scan", [])


async def _relations(connection: Any, statement: str, *values: Any) -> dict[str, list[str]]:
    """{kind of node: tables it reads}."""
    raw = await connection.fetchval("explain (format json) " + statement, *values)
    found: dict[str, list[str]] = {}

    def walk(node: dict[str, Any]) -> None:
        if "Relation Name" in node:
            found.setdefault(node["Node Type"], []).append(node["Relation Name"])
        for part in node.get("Plans", ()):
            walk(part)

    walk((msgspec.json.decode(raw) if isinstance(raw, str) else raw)[0]["Plan"])
    return found
