"""Setting and reading values: types, rules, open trees, what is required, many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lading.model.api import NewUpload
from lading.model.errors import Forbidden, InvalidRequest, NotFound
from lading.model.field import FieldSpec, FieldType
from lading.model.metadata import NameValues, SetMetadata
from tests.catalog.world import World, codes, faults, file


def spec(name: str, kind: str, **rules: Any) -> FieldSpec:
    return FieldSpec("vo", name, FieldType(kind), **rules)


async def test_values_are_stored_by_their_types_and_shown_as_people_write_them(world: World) -> None:
    await world.declare(i="int", f="float", b="bool", s="string", t="timestamp", d="date", j="json")
    values = {
        "i": -(2**63), "f": 3, "b": False, "s": "ü\n", "t": "2024-01-02T03:04:05.5+01:00", "d": "0001-01-01",
        "j": [1, {"a": None}],
    }  # fmt: skip
    shown = values | {"f": 3.0, "t": "2024-01-02T02:04:05.500000Z"}
    await world.register(world.admin, file("/vo/f", metadata=values), "/vo/g")
    await world.describe(world.admin, {"/vo/g": values, "/vo": values})
    for lfn in ("/vo/f", "/vo/g", "/vo"):
        assert (await world.described(world.admin, lfn)).values == shown
        assert (await world.stat(world.admin, lfn)).metadata == shown
    (row,) = await world.sql("select meta -> 't' as t, meta -> 'd' as d from file where name = 'f'")
    assert (int(row["t"]), int(row["d"])) == (1704161045500000, -719162)
    assert await world.describe(world.admin, {"/vo/g": shown}) == ["same"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("i", "1"), ("i", 2**63), ("i", 1.5), ("i", True), ("f", "x"), ("b", 1), ("s", 1), ("s", "a\0b"), ("t", "tomorrow"),
     ("t", "2024-02-30T00:00:00Z"), ("d", "2023-02-29"), ("d", 3), ("j", 2**64), ("x", 1), ("a b", 1), ("j", "x" * 65_600),
     ("r", 0), ("r", 11), ("p", "abd"), ("o", "c")],
)  # fmt: skip
async def test_what_is_none_of_a_type_or_breaks_a_rule(world: World, name: str, value: object) -> None:
    await world.declare(i="int", f="float", b="bool", s="string", t="timestamp", d="date", j="json")
    await world.declare(
        r=spec("r", "int", minimum=1, maximum=10),
        p=spec("p", "string", pattern="^abc"),
        o=spec("o", "string", allowed=["a", "b"]),
    )
    await world.register(world.admin, "/vo/f")
    assert await world.describe(world.admin, {"/vo/f": {name: value}, "/vo": {"r": 10, "p": "abcd", "o": "a"}}) == [
        "invalid_request", "ok",
    ]  # fmt: skip
    assert await world.register(world.admin, file("/vo/new", metadata={name: value}), "/vo/h") == [
        "invalid_request",
        "ok",
    ]
    assert (await world.stat(world.admin, "/vo/f")).metadata == {}


async def test_a_misspelt_key_gets_a_suggestion(world: World) -> None:
    await world.declare(modality="string")
    await world.mkdir(world.admin, "/vo")
    body = SetMetadata([NameValues("/vo", {"modalty": "MRI"}), NameValues("/", {"modality": "MRI"})])
    first, second = faults(await world.services.values.set(world.admin, body))
    assert "did you mean 'modality'" in first.message
    assert first.details == {"lfn": "/vo", "field": "modalty"}
    assert "the root" in second.message


async def test_every_item_has_its_own_outcome(world: World) -> None:
    await world.declare(a="int")
    await world.register(world.admin, "/vo/f", "/vo/d/g")
    items = [("/vo/f", 1), ("bad", 1), ("/vo/none", 1), ("/vo/d", 1), ("/vo/f", 2), ("/vo/d/g", "x"), ("/vo/d/g", 1)]
    body = SetMetadata([NameValues(lfn, {"a": value}) for lfn, value in items])
    outcomes = await world.services.values.set(world.admin, body)
    assert codes(outcomes) == ["ok", "invalid_request", "not_found", "ok", "conflict", "invalid_request", "ok"]
    assert (await world.described(world.admin, "/vo/d/g")).own == ["a"]


async def test_different_keys_of_one_file_at_a_time(world: World) -> None:
    names = [f"k{n}" for n in range(24)]
    await world.declare(**dict.fromkeys(names, "int"))
    await world.register(world.admin, "/vo/f", "/vo/g")
    done = await asyncio.gather(*(world.describe(world.admin, {"/vo/f": {k: 1}, "/vo/g": {k: 2}}) for k in names))
    assert done == [["ok", "ok"]] * 24
    assert (await world.stat(world.admin, "/vo/f")).metadata == dict.fromkeys(names, 1)


async def test_a_dry_run_changes_nothing(world: World) -> None:
    await world.declare(a="int")
    await world.register(world.admin, "/vo/d/f")
    before = await world.sql("select d.*, f.meta from dir d join file f on f.id = d.id order by d.id")
    assert await world.describe(world.admin, {"/vo": {"a": 1}, "/vo/d/f": {"a": 1}}, dry_run=True) == ["ok", "ok"]
    assert await world.sql("select d.*, f.meta from dir d join file f on f.id = d.id order by d.id") == before
    assert not (await world.services.fields.show(world.admin, "vo", "a")).on_files


async def test_where_a_field_was_ever_set_is_learnt(world: World) -> None:
    await world.declare(a="int", b="int", c="int")

    async def where() -> dict[str, tuple[bool, bool]]:
        return {f.name: (f.on_files, f.on_dirs) for f in await world.services.fields.every(world.admin, "vo")}

    await world.register(world.admin, file("/vo/f", metadata={"a": 1}))
    await world.describe(world.admin, {"/vo": {"b": 1}})
    assert await where() == {"a": (True, False), "b": (False, True), "c": (False, False)}
    await world.describe(world.admin, {"/vo": {"a": 1, "b": None, "c": None}, "/vo/f": {"b": 1}})
    assert await where() == {"a": (True, True), "b": (True, True), "c": (False, False)}


async def test_open_trees_keep_undeclared_keys(world: World) -> None:
    (alice,) = await world.people(alice=["staff"])
    await world.declare(a="int")
    await world.register(world.admin, "/vo/open/d/f", "/vo/openly/f")
    trees = world.services.open_trees
    with pytest.raises(Forbidden):
        await trees.open(alice, "/vo/open")
    await trees.open(world.admin, "/vo/open", dry_run=True)
    assert await trees.every(alice) == []
    await trees.open(world.admin, "/vo/open")
    await trees.open(world.admin, "/vo/open")
    assert await trees.every(alice) == ["/vo/open"]
    undeclared: dict[str, Any] = {"new": {"x": [1]}}
    items = {"/vo/open": undeclared, "/vo/open/d/f": undeclared, "/vo/openly/f": undeclared, "/vo": undeclared}
    assert await world.describe(world.admin, items) == ["ok", "ok", "invalid_request", "invalid_request"]
    assert await world.describe(world.admin, {"/vo/open/d/f": {"a": "x"}}) == ["invalid_request"], "it is declared"
    assert await world.describe(world.admin, {"/vo/open/d/f": {"size": 1}}) == ["invalid_request"], (
        "it is a standard one"
    )
    assert (await world.described(world.admin, "/vo/open/d/f")).values == undeclared
    await trees.close(world.admin, "/vo/open")
    with pytest.raises(NotFound):
        await trees.close(world.admin, "/vo/open")
    assert await world.describe(world.admin, {"/vo/open/d/f": {"other": 1}}) == ["invalid_request"]
    assert (await world.described(world.admin, "/vo/open/d/f")).values == undeclared


@pytest.mark.parametrize("closed", [False, True])
async def test_what_was_undeclared_is_declared(world: World, closed: bool) -> None:
    await world.services.open_trees.open(world.admin, "/vo")
    await world.register(world.admin, file("/vo/f", metadata={"n": 1, "s": "x"}))
    if closed:
        await world.services.open_trees.close(world.admin, "/vo")
    specs = [spec("n", "string"), spec("s", "string"), spec("n", "float"), spec("none", "date")]
    outcomes = await world.services.fields.declare(world.admin, specs)
    assert codes(outcomes) == ["conflict", "ok", "ok", "ok"]
    assert (await world.services.fields.show(world.admin, "vo", "s")).on_files
    assert (await world.stat(world.admin, "/vo/f")).metadata == {"n": 1.0, "s": "x"}


@pytest.mark.parametrize(
    ("type_", "values", "shown", "misfit"),
    [
        ("int", [1, 3.0, -(2**63)], [1, 3, -(2**63)], "7"),
        ("float", [1, 0.5, 1e22], [1.0, 0.5, 1e22], True),
        ("date", ["2024-02-29", "0001-01-01"], None, "2024-02-30"),
        ("timestamp", ["2024-01-01", "2024-01-01T01:00:00.5+01:00"], ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.500000Z"], "x"),
        ("bool", [True, False], None, "true"),
        ("string", ["", "é\n"], None, 5),
        ("json", [1, [{"x": "y"}]], None, None),
    ],
)  # fmt: skip
async def test_undeclared_values_take_the_form_of_a_type(
    world: World, type_: str, values: list[Any], shown: list[Any] | None, misfit: Any
) -> None:
    """On files, on directories, inherited and in the trash; or none of them, and it is told which do not fit."""
    await world.services.open_trees.open(world.admin, "/vo")
    for n, value in enumerate(values):
        await world.register(
            world.admin, file(f"/vo/{n}/d/f", metadata={"k": value, "o": 1}), f"/vo/{n}/g", f"/vo/{n}/t"
        )
        assert await world.describe(world.admin, {f"/vo/{n}": {"k": value}, f"/vo/{n}/t": {"k": value}}) == ["ok", "ok"]
        await world.remove(world.admin, f"/vo/{n}/t")
    declare, one = world.services.fields.declare, [spec("k", type_)]
    before = await world.sql("select id, meta from file order by id")
    if misfit is not None:
        await world.register(world.admin, *(file(f"/vo/0/{n}", metadata={"k": misfit}) for n in "xyz"))
        for dry_run in (True, False):
            (outcome,) = (await declare(world.admin, one, dry_run=dry_run)).outcomes
            assert outcome.error is not None
            told = outcome.error.details
            assert (outcome.error.code, told["misfits"]) == ("conflict", 3)
            assert (told["files"], told["directories"]) == (2 * len(values) + 3, len(values))
            assert told["examples"][0].startswith("/vo/0/x: "), "where one of them is"
        await world.describe(world.admin, {f"/vo/0/{n}": {"k": None} for n in "xyz"})
    (outcome,) = (await declare(world.admin, one, dry_run=True)).outcomes
    assert outcome.value is not None
    assert outcome.value.taken == 3 * len(values)
    assert (await world.sql("select id, meta from file order by id"))[: len(before)] == before
    assert codes(await declare(world.admin, one)) == ["ok"]
    field = await world.services.fields.show(world.admin, "vo", "k")
    assert (field.on_files, field.on_dirs, field.taken) == (True, True, 0)
    for n, value in enumerate(shown or values):
        assert await world.restore(world.admin, f"/vo/{n}/t") == ["ok"]
        for path in (f"/vo/{n}", f"/vo/{n}/d", f"/vo/{n}/d/f", f"/vo/{n}/g", f"/vo/{n}/t"):
            found = (await world.described(world.admin, path)).values["k"]
            assert (type(found), found) == (type(value), value), path
            assert await world.describe(world.admin, {path: {"k": found}}) in (["same"], ["ok"])
    kinds = await world.sql("select distinct jsonb_typeof(meta -> 'k') as k from file where meta ? 'k'")
    stored = await world.sql("select distinct jsonb_typeof(eff -> 'k') as k from dir where eff ? 'k'")
    number = {"int", "float", "date", "timestamp"}
    assert type_ == "json" or kinds == stored
    assert type_ not in number or [r["k"] for r in kinds] == ["number"]


async def test_required_below(world: World) -> None:
    await world.declare(a="int", site=spec("site", "string", required_below=["/vo/raw"]))
    await world.elements("one")
    await world.register(world.admin, "/vo/f")
    await world.mkdir(world.admin, "/vo/raw/old")
    assert await world.register(world.admin, "/vo/raw/d/f", "/vo/rawest/f", file("/vo/raw/g", metadata={"site": "x"})) == [
        "invalid_request", "ok", "ok",
    ]  # fmt: skip
    assert await world.register(world.admin, "/vo/raw/g") == ["same"], "it is there, with what it must have"
    with pytest.raises(InvalidRequest, match="site"):
        await world.services.direct.begin(world.admin, NewUpload("/vo/raw/d/f", 1))
    with pytest.raises(InvalidRequest, match="no field"):
        await world.services.direct.begin(world.admin, NewUpload("/vo/f2", 1, metadata={"none": 1}))
    assert await world.sql("select * from upload") == []
    assert await world.describe(world.admin, {"/vo/raw/g": {"site": None}}) == ["invalid_request"]
    assert await world.describe(world.admin, {"/vo/raw/g": {"a": 1}}, replace=True) == ["invalid_request"]
    assert await world.describe(world.admin, {"/vo/raw": {"site": "all"}}) == ["ok"]
    assert await world.register(world.admin, "/vo/raw/d/f", "/vo/raw/old/f") == ["ok", "ok"]
    assert await world.describe(world.admin, {"/vo/raw/g": {"site": None}}) == ["ok"], "it is inherited now"
    assert await world.describe(world.admin, {"/vo/raw": {"site": None}}) == ["invalid_request"]
    assert await world.describe(world.admin, {"/vo": {"site": "vo"}}) == ["ok"]
    assert await world.describe(world.admin, {"/vo/raw": {"site": None}}) == ["ok"], "it is inherited from above"
    assert await world.describe(world.admin, {"/vo": {"site": None}}) == ["invalid_request"]


async def test_ten_thousand_files_in_one_call(world: World) -> None:
    await world.declare(n="int", s="string")
    names = [f"/vo/{n % 10}/{n}" for n in range(10_000)]
    await world.register(world.admin, *names)
    assert (
        await world.describe(world.admin, {name: {"n": n, "s": "x"} for n, name in enumerate(names)}) == ["ok"] * 10_000
    )
    assert (await world.described(world.admin, names[-1])).values == {"n": 9999, "s": "x"}
