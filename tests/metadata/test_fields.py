"""Declaring, changing, deleting and indexing fields, with writers at work."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg
import pytest

from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.field import Field, FieldSpec, FieldType, IndexState
from lading.model.metadata import FieldChange
from lading.model.search import Find
from metadata.index_store import names
from tests.catalog.world import World, codes, file

from .test_values import spec


async def change(world: World, field: str, **wishes: Any) -> tuple[int, int]:
    effect = await world.services.fields.change(world.admin, "vo", field, FieldChange(**wishes))
    return effect.files, effect.directories


async def test_declaring(world: World) -> None:
    every = [
        spec("a", "int", unit="mm", description="how long", minimum=1, maximum=5, allowed=[1, 2, 5]),
        spec("t", "timestamp", minimum="2020-01-01T00:00:00Z"),
        spec("s", "string", pattern="^x", required_below=["/vo/raw"]),
    ]
    assert codes(await world.services.fields.declare(world.admin, every, dry_run=True)) == ["ok"] * 3
    assert await world.services.fields.every(world.admin) == []
    assert codes(await world.services.fields.declare(world.admin, [*every, *every])) == ["ok"] * 3 + ["conflict"] * 3
    assert codes(await world.services.fields.declare(world.admin, every)) == ["same"] * 3
    found = {f.name: f for f in await world.services.fields.every(world.admin, "vo")}
    assert found["a"] == Field("vo", "a", FieldType.INT, "mm", "how long", [1, 2, 5], None, 1, 5)
    assert found["t"].minimum == "2020-01-01T00:00:00Z"
    assert found["s"].required_below == ["/vo/raw"]
    assert await world.services.fields.every(world.admin, "other") == []
    with pytest.raises(NotFound):
        await world.services.fields.show(world.admin, "vo", "none")


@pytest.mark.parametrize(
    "bad",
    [spec("a b", "int"), spec("size", "int"), spec("and", "int"), spec("a", "int", pattern="x"), spec("a", "bool", minimum=1),
     spec("a", "int", minimum=2, maximum=1), spec("a", "string", pattern="("), spec("a", "json", indexed=True),
     spec("a", "int", required_below=["/other/raw"]), spec("a", "int", required_below=["raw"]), spec("a", "int", allowed=["x"]),
     FieldSpec("", "a", FieldType.INT), FieldSpec("a/b", "a", FieldType.INT), spec("a", "int", unit="\0")],
)  # fmt: skip
async def test_declarations_that_are_none(world: World, bad: FieldSpec) -> None:
    assert codes(await world.services.fields.declare(world.admin, [bad, spec("good", "int")])) == [
        "invalid_request",
        "ok",
    ]


async def test_only_administrators_of_the_vo_declare(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["staff"])
    await world.vo("vo", "alice")
    await world.vo("other")
    alice, fields = await world.caller("alice"), world.services.fields
    specs = [spec("a", "int"), FieldSpec("other", "a", FieldType.INT)]
    assert codes(await fields.declare(alice, specs)) == ["ok", "forbidden"]
    assert codes(await fields.declare(bob, specs)) == ["forbidden", "forbidden"]
    assert codes(await fields.declare(await world.caller("alice", "read", "write"), [spec("b", "int")])) == [
        "forbidden"
    ]
    assert [f.name for f in await fields.every(bob)] == ["a"]
    for call in (
        fields.change(bob, "vo", "a", FieldChange(unit="x")),
        fields.remove(bob, "vo", "a"),
        fields.remove(bob, "vo", "a", dry_run=True),
        fields.set_index(bob, "vo", "a", on=True),
    ):
        with pytest.raises(Forbidden):
            await call
    await fields.change(alice, "vo", "a", FieldChange(unit="x"))
    await fields.remove(alice, "vo", "a")


async def found(world: World, query: str, under: str = "/vo") -> list[str]:
    page = await world.services.search.page(world.admin, Find(query, under))
    return [item["lfn"] for item in json.loads(page)["items"]]


async def populate(world: World, name: str, values: list[Any]) -> None:
    """Values on files, directories and in the trash: two files, two directories and a subtree's worth for each."""
    for i, value in enumerate(values):
        at = f"/vo/{i}"
        await world.register(
            world.admin, file(f"{at}/d/f", metadata={name: value}), f"{at}/d/plain", f"{at}/gone/f", f"{at}/g"
        )
        assert await world.describe(world.admin, {at: {name: value}, f"{at}/g": {name: value}}) == ["ok", "ok"]
        await world.remove(world.admin, f"{at}/gone", f"{at}/g", recursive=True)


async def test_renaming_takes_every_value_along(world: World) -> None:
    await world.declare(a="int", other="int")
    await world.declare("vo2", a="int")
    await populate(world, "a", [1, 2])
    await world.register(world.admin, file("/vo2/f", metadata={"a": 5}))
    with pytest.raises(Conflict):
        await change(world, "a", name="other")
    with pytest.raises(InvalidRequest):
        await change(world, "a", name="size")
    assert await change(world, "a", name="b", dry_run=True) == (4, 2)
    assert (await world.stat(world.admin, "/vo/1/d/f")).metadata == {"a": 2}
    assert await change(world, "a", name="b") == (4, 2)
    assert await world.restore(world.admin, "/vo/1/gone", "/vo/1/g") == ["ok", "ok"]
    for lfn in ("/vo/1", "/vo/1/d/f", "/vo/1/d/plain", "/vo/1/gone/f", "/vo/1/g"):
        assert (await world.described(world.admin, lfn)).values == {"b": 2}, lfn
    assert (await world.stat(world.admin, "/vo2/f")).metadata == {"a": 5}
    assert await world.describe(world.admin, {"/vo/1/d/f": {"a": 1}}) == ["invalid_request"]
    with pytest.raises(NotFound):
        await change(world, "a", name="c")


@pytest.mark.parametrize(
    ("old", "new", "values", "shown"),
    [
        ("int", "float", [1, -(2**53)], [1.0, -float(2**53)]),
        ("date", "timestamp", ["2024-02-29", "0001-01-01"], ["2024-02-29T00:00:00Z", "0001-01-01T00:00:00Z"]),
        (
            "timestamp",
            "string",
            ["2024-02-29T01:02:03Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.000001Z"],
            None,
        ),
        ("timestamp", "json", ["0001-01-01T00:00:00.5Z"], ["0001-01-01T00:00:00.500000Z"]),
        ("date", "string", ["2024-02-29", "9999-12-31"], None),
        ("date", "json", ["0001-01-01"], None),
        ("int", "string", [1, -(2**63)], ["1", str(-(2**63))]),
        ("float", "string", [1.5, 0.1], ["1.5", "0.1"]),
        ("bool", "string", [True, False], ["true", "false"]),
        ("json", "string", ["a", ""], None),
        ("int", "json", [1], None),
        ("float", "json", [1.5], None),
        ("bool", "json", [True], None),
        ("string", "json", ["x"], None),
    ],
)
async def test_widening(world: World, old: str, new: str, values: list[Any], shown: list[Any] | None) -> None:
    await world.declare(a=old)
    await populate(world, "a", values)
    assert await change(world, "a", type=FieldType(new)) == (2 * len(values), len(values))
    assert (await world.services.fields.show(world.admin, "vo", "a")).type == FieldType(new)
    for i, value in enumerate(shown or values):
        assert await world.restore(world.admin, f"/vo/{i}/gone", f"/vo/{i}/g") == ["ok", "ok"]
        for lfn in (f"/vo/{i}", f"/vo/{i}/d/f", f"/vo/{i}/d/plain", f"/vo/{i}/gone/f", f"/vo/{i}/g"):
            found = (await world.described(world.admin, lfn)).values
            assert found == {"a": value}, lfn
            assert await world.describe(world.admin, {lfn: found}) in (["same"], ["ok"]), "what is shown can be set"


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [("float", "int", 1.0), ("string", "int", "1"), ("int", "date", 1), ("bool", "int", True), ("json", "int", 1)],
)
async def test_what_is_no_wider_type(world: World, old: str, new: str, value: object) -> None:
    await world.declare(a=old)
    await world.register(world.admin, file("/vo/f", metadata={"a": value}))
    with pytest.raises(InvalidRequest):
        await change(world, "a", type=FieldType(new))


async def test_a_value_that_does_not_fit_the_wider_type(world: World) -> None:
    await world.declare(a="json")
    await populate(world, "a", ["x", {"y": 1}])
    with pytest.raises(Conflict, match="no string"):
        await change(world, "a", type=FieldType.STRING)
    assert (await world.stat(world.admin, "/vo/1/d/f")).metadata == {"a": {"y": 1}}


async def test_rules_go_along_change_and_go(world: World) -> None:
    await world.declare(d=spec("d", "date", minimum="2020-01-01", allowed=["2020-01-01", "2021-01-01"]))
    await change(world, "d", type=FieldType.TIMESTAMP)
    found = await world.services.fields.show(world.admin, "vo", "d")
    assert (found.minimum, found.allowed) == ("2020-01-01T00:00:00Z", ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])
    await change(world, "d", allowed=None, minimum=None, maximum="2030-01-01T00:00:00Z", unit="u", description="e")
    found = await world.services.fields.show(world.admin, "vo", "d")
    assert found == Field("vo", "d", FieldType.TIMESTAMP, "u", "e", [], None, None, "2030-01-01T00:00:00Z")
    await world.mkdir(world.admin, "/vo")
    assert await world.describe(world.admin, {"/vo": {"d": "2031-01-01T00:00:00Z"}}) == ["invalid_request"]
    with pytest.raises(InvalidRequest):
        await change(world, "d", minimum="2040-01-01T00:00:00Z")


async def test_deleting_takes_every_value(world: World) -> None:
    await world.declare(a="int", b="int")
    await populate(world, "a", [1, 2])
    await world.describe(world.admin, {"/vo/1/d/f": {"b": 1}})
    before = await world.sql("select * from file order by id")
    gone = await world.services.fields.remove(world.admin, "vo", "a", dry_run=True)
    assert (gone.files, gone.directories, gone.dry_run) == (4, 2, True)
    assert await world.sql("select * from file order by id") == before
    gone = await world.services.fields.remove(world.admin, "vo", "a")
    assert (gone.files, gone.directories, gone.dry_run) == (4, 2, False)
    assert await world.sql("select 1 from file where meta ? 'a' union all select 1 from dir where eff ? 'a'") == []
    assert await world.restore(world.admin, "/vo/1/gone", "/vo/1/g") == ["ok", "ok"]
    assert (await world.described(world.admin, "/vo/1/d/f")).values == {"b": 1}
    assert [f.name for f in await world.services.fields.every(world.admin)] == ["b"]


async def test_another_process_hears_of_it(world: World) -> None:
    """Writers look at the epoch in their own snapshot: not even a lost notice makes them use what was deleted."""
    other = World(world.dsn, world.folder)
    try:
        await world.declare(a="int", b="int")
        await world.mkdir(world.admin, "/vo")
        assert await other.describe(other.admin, {"/vo": {"a": 1}}) == ["ok"]
        await change(world, "a", name="c")
        assert await other.describe(other.admin, {"/vo": {"a": 1}}) == ["invalid_request"]
        assert await other.describe(other.admin, {"/vo": {"c": 2}}) == ["ok"]
        assert await other.register(other.admin, file("/vo/f", metadata={"a": 1})) == ["invalid_request"]
    finally:
        await other.close()


async def test_renaming_and_deleting_while_writers_write(world: World) -> None:
    await world.declare(a="int", z="int")
    await world.register(world.admin, *(f"/vo/{n}/f" for n in range(8)))
    stop = asyncio.Event()
    refused = 0

    async def writer(n: int) -> None:
        nonlocal refused
        turn = 0
        while not stop.is_set():
            turn += 1
            key = "a" if turn % 2 else "b"
            for lfn in (f"/vo/{n}", f"/vo/{n}/f"):
                refused += await world.describe(world.admin, {lfn: {key: turn}}) == ["invalid_request"]
            await world.register(world.admin, file(f"/vo/{n}/{turn}", metadata={"z": turn}))
            await world.mkdir(world.admin, f"/vo/{n}/d/{turn}")

    writers = [asyncio.create_task(writer(n)) for n in range(3)]
    for old, new in (("a", "b"), ("b", "a"), ("a", "b")):
        await asyncio.sleep(0.1)
        await change(world, old, name=new)
    await asyncio.sleep(0.1)
    await world.services.fields.remove(world.admin, "vo", "z")
    stop.set()
    await asyncio.gather(*writers)
    assert refused
    assert (
        await world.sql("select 1 from file where meta ? 'a' or meta ? 'z' union all select 1 from dir where eff ? 'a'")
        == []
    )
    await world.check()


# ── where values are ──


async def use(world: World, name: str = "a", vo: str = "vo") -> tuple[bool, bool]:
    field = await world.services.fields.show(world.admin, vo, name)
    return field.on_files, field.on_dirs


async def test_a_recount_forgets_where_no_value_is_left(world: World) -> None:
    await world.declare(a="int", b="int")
    await populate(world, "a", [1])
    assert await use(world) == (True, True)
    assert await change(world, "a", recount=True) == (2, 1), "one of the files lies in the trash"
    assert await world.describe(world.admin, {"/vo/0": {"a": None}, "/vo/0/d/f": {"a": None}}) == ["ok", "ok"]
    assert await use(world) == (True, True)
    preview = await world.services.fields.change(world.admin, "vo", "a", FieldChange(recount=True, dry_run=True))
    assert (preview.files, preview.directories, preview.field.on_files, preview.field.on_dirs) == (1, 0, True, False)
    assert await use(world) == (True, True)
    assert await change(world, "a", recount=True) == (1, 0), "in the trash"
    assert await use(world) == (True, False)
    for item in (await world.services.trash.page(world.admin)).items:
        await world.services.trash.purge(world.admin, [item.id])
    await world.clean()
    assert await change(world, "a", recount=True) == (0, 0)
    assert await use(world) == (False, False)
    assert await found(world, "a exists") == []
    # Another process that remembers the old state notes what it sets all the same.
    assert await world.describe(world.admin, {"/vo/0/d/f": {"a": 1}, "/vo/0": {"b": 1}}) == ["ok", "ok"]
    assert (await use(world), await use(world, "b")) == ((True, False), (False, True))
    assert await found(world, "a = 1") == ["/vo/0/d/f"]


async def test_values_that_are_set_during_recounts_are_found(world: World) -> None:
    other = World(world.dsn, world.folder)
    try:
        await world.declare(a="int")
        await world.register(world.admin, *(f"/vo/{n}/f" for n in range(6)))

        async def turn(of: World, n: int) -> None:
            for value in (1, None, 2, None, 3):
                assert await of.describe(of.admin, {f"/vo/{n}/f": {"a": value}}) == ["ok"]

        async def count() -> None:
            for _ in range(12):
                await world.services.fields.change(world.admin, "vo", "a", FieldChange(recount=True))

        await asyncio.gather(*(turn(w, n) for n in range(6) for w in (world, other)[n % 2 :][:1]), count())
        assert await found(world, "a = 3") == [f"/vo/{n}/f" for n in range(6)]
    finally:
        await other.close()


async def test_what_comes_from_another_vo_is_found(world: World) -> None:
    for vo in ("vo", "vo2"):
        await world.declare(vo, a="int", b="int", c="int")
    await world.mkdir(world.admin, "/vo2/in")
    await world.register(world.admin, file("/vo/d/e/f", metadata={"a": 1}), file("/vo/g", metadata={"c": 3}), "/vo/h")
    assert await world.describe(world.admin, {"/vo/d/e": {"b": 2}, "/vo/h": {"c": 4}}) == ["ok", "ok"]
    assert await world.move(world.admin, ("/vo/d", "/vo2/in/d"), ("/vo/g", "/vo2/g")) == ["ok", "ok"]
    assert [await use(world, n, "vo2") for n in "abc"] == [(True, False), (False, True), (True, False)]
    assert await found(world, "a = 1 and b = 2", "/vo2") == ["/vo2/in/d/e/f"]
    assert await found(world, "c = 3", "/vo2") == ["/vo2/g"]
    await world.declare("vo3", a="int", b="int", c="int")
    await world.mkdir(world.admin, "/vo3")
    await world.remove(world.admin, "/vo/h", "/vo2/in/d", recursive=True)
    assert await world.restore(world.admin, "/vo/h", "/vo2/in/d", to="/vo3") == ["ok", "ok"]
    assert await found(world, "b = 2 or c = 4", "/vo3") == ["/vo3/h", "/vo3/d/e/f"]
    assert await found(world, "a = 1", "/vo3") == ["/vo3/d/e/f"]


# ── indexes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ready(world: World, name: str = "a", state: IndexState = IndexState.READY) -> Field:
    show = world.services.fields.show
    while (found := await show(world.admin, "vo", name)).index_state is IndexState.BUILDING:  # noqa: ASYNC110  (the indexer tells nobody)
        await asyncio.sleep(0.02)
    assert found.index_state is state, found.index_error
    return found


async def indexes(world: World) -> list[str]:
    rows = await world.sql(
        """select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
            where i.indrelid = 'file'::regclass and c.relname like 'field%' and i.indisvalid order by 1"""
    )
    return [r[0] for r in rows]


async def until(world: World, statement: str) -> None:
    """Until it finds a row."""
    while not await world.sql(statement):  # noqa: ASYNC110  (PostgreSQL tells nobody)
        await asyncio.sleep(0.02)


async def gone(world: World) -> None:
    while await indexes(world):  # noqa: ASYNC110  (PostgreSQL tells nobody)
        await asyncio.sleep(0.02)


async def test_an_index_is_made_and_dropped_while_writers_write(world: World) -> None:
    values = {"i": 1, "f": 1.5, "s": "x", "b": True, "t": "2024-01-01T00:00:00Z", "d": "2024-01-01"}
    await world.declare(i="int", f="float", s="string", b="bool", t="timestamp", d="date")
    stop = asyncio.Event()
    written = 0

    async def writer() -> None:
        nonlocal written
        while not stop.is_set():
            written += 1
            assert await world.register(world.admin, file(f"/vo/{written}", metadata=values)) == ["ok"]

    task = asyncio.create_task(writer())
    for name in values:
        begun = await world.services.fields.set_index(world.admin, "vo", name, on=True)
        assert begun.index_state in (IndexState.BUILDING, IndexState.READY)
        assert (await ready(world, name)).indexed
    assert len(await indexes(world)) == 2 * len(values)
    stop.set()
    await task
    assert await world.services.fields.set_index(world.admin, "vo", "i", on=True) == await ready(world, "i")
    for name in values:
        await world.services.fields.set_index(world.admin, "vo", name, on=False)
    await gone(world)
    assert (await ready(world, "i", IndexState.NONE)).indexed is False


async def test_a_field_declared_with_an_index_and_deleted_with_it(world: World) -> None:
    assert codes(await world.services.fields.declare(world.admin, [spec("a", "int", indexed=True)])) == ["ok"]
    await ready(world)
    with pytest.raises(Conflict, match="indexed"):
        await change(world, "a", name="b")
    with pytest.raises(Conflict, match="indexed"):
        await change(world, "a", type=FieldType.FLOAT)
    await change(world, "a", unit="mm")
    assert len(await indexes(world)) == 2
    await world.services.fields.remove(world.admin, "vo", "a")
    await gone(world)


async def test_other_types_of_that_name_are_no_hindrance(world: World) -> None:
    """Another VO's field and an undeclared key, before and after the index is made."""
    await world.declare(a="int")
    await world.declare("vo2", a="string")
    await world.services.open_trees.open(world.admin, "/vo3")
    await world.register(world.admin, file("/vo/f", metadata={"a": 1}), file("/vo2/f", metadata={"a": "x"}))
    await world.services.fields.set_index(world.admin, "vo", "a", on=True)
    await ready(world)
    odd: list[Any] = [1.5, 2**63 - 1, {"x": 1}, [1], True, "9" * 50]
    assert (
        await world.register(world.admin, *(file(f"/vo3/{n}", metadata={"a": v}) for n, v in enumerate(odd)))
        == ["ok"] * 6
    )
    assert await world.register(world.admin, file("/vo2/g", metadata={"a": "y"})) == ["ok"]


async def test_json_has_no_index(world: World) -> None:
    await world.declare(a="json")
    with pytest.raises(InvalidRequest):
        await world.services.fields.set_index(world.admin, "vo", "a", on=True)


async def test_a_server_that_was_stopped_while_it_built(world: World) -> None:
    """The state says building, nobody is at it, and one of the indexes is half built: asking again repairs it."""
    await world.declare(a="int")
    await world.register(world.admin, file("/vo/f", metadata={"a": 1}))
    (row,) = await world.sql("update field set index_state = 'building' returning id")
    await world.sql("update field_epoch set epoch = epoch + 1")
    by_directory, by_value = names(row["id"])
    await world.sql(f"create index {by_directory} on file(dir_id)")
    await world.sql("update pg_index set indisvalid = false where indexrelid = $1::text::regclass", by_directory)
    await world.sql("create index field_999999 on file(dir_id)")  # of a field that was deleted
    found = await world.services.fields.show(world.admin, "vo", "a")
    assert found.index_state is IndexState.FAILED
    assert "ask again" in (found.index_error or "")
    await world.services.fields.set_index(world.admin, "vo", "a", on=True)
    await ready(world)
    assert await indexes(world) == sorted((by_directory, by_value))
    (definition,) = await world.sql("select pg_get_indexdef($1::text::regclass) as d", by_directory)
    assert "numeric" in definition["d"]


_BUILD = """
import asyncio, sys
from pathlib import Path
from tests.catalog.world import World
async def main():
    world = World(sys.argv[1], Path(sys.argv[2]))
    await world.services.fields.set_index(world.admin, "vo", "a", on=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_a_server_that_was_killed_while_it_built(world: World) -> None:
    """What it left half built is dropped and built again by the worker, without anybody asking."""
    await world.declare(a="int")
    await world.register(world.admin, file("/vo/f", metadata={"a": 1}))
    writer = await asyncpg.connect(world.dsn)
    try:
        async with writer.transaction():  # CREATE INDEX CONCURRENTLY waits for it, the index being there and invalid
            await writer.execute("update file set comment = 'x' where name = 'f'")
            server = await asyncio.create_subprocess_exec(sys.executable, "-c", _BUILD, world.dsn, str(world.folder))
            left = "select 1 from pg_index i where indrelid = 'file'::regclass and not indisvalid"
            await until(world, left)
            assert (await world.services.fields.show(world.admin, "vo", "a")).index_state is IndexState.BUILDING
            await world.services.indexer.resume()
            assert not world.services.indexer._tasks, "somebody is at it"
            server.kill()
            await server.wait()
            await world.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where query like 'create index concurrently%'"
            )
    finally:
        await writer.close()
    assert await world.sql(left)
    busy = f"select from pg_locks where locktype = 'advisory' and classid = {0x6C616466}::oid"
    await until(world, f"select 1 where not exists({busy})")
    await world.services.indexer.resume()
    await until(world, "select 1 from field where index_state = 'ready'")
    assert len(await indexes(world)) == 2
    assert await world.sql(left) == []


async def test_an_index_that_can_not_be_made_says_why(world: World) -> None:
    await world.declare(a="string")
    await world.register(world.admin, file("/vo/f", metadata={"a": "x" * 60_000}))
    await world.sql(
        "update file set meta = jsonb_build_object('a', (select string_agg(md5(n::text), '') from generate_series(1, 2000) n)) where name = 'f'"
    )
    await world.services.fields.set_index(world.admin, "vo", "a", on=True)
    found = await ready(world, state=IndexState.FAILED)
    assert "index row" in (found.index_error or "")
    await world.describe(world.admin, {"/vo/f": {"a": "short"}})
    await world.services.fields.set_index(world.admin, "vo", "a", on=True)
    await ready(world)


async def test_two_processes_build_one_index(world: World) -> None:
    other = World(world.dsn, world.folder)
    try:
        await world.declare(a="int")
        await asyncio.gather(*(w.services.fields.set_index(w.admin, "vo", "a", on=True) for w in (world, other, world)))
        await ready(world)
        assert len(await indexes(world)) == 2
    finally:
        await other.close()


async def test_every_change_can_be_refused(world: World) -> None:
    for call in (
        change(world, "none", unit="x"),
        world.services.fields.remove(world.admin, "vo", "none"),
        world.services.fields.set_index(world.admin, "vo", "none", on=True),
    ):
        with pytest.raises(CatalogError) as caught:
            await call
        assert caught.value.code == "not_found"
