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


async def test_what_was_undeclared_is_declared(world: World) -> None:
    await world.services.open_trees.open(world.admin, "/vo")
    await world.register(world.admin, file("/vo/f", metadata={"n": 1, "s": "x"}))
    specs = [spec("n", "string"), spec("s", "string"), spec("n", "float"), spec("none", "date")]
    outcomes = await world.services.fields.declare(world.admin, specs)
    assert codes(outcomes) == ["conflict", "ok", "ok", "ok"]
    assert (await world.services.fields.show(world.admin, "vo", "s")).on_files
    assert (await world.stat(world.admin, "/vo/f")).metadata == {"n": 1.0, "s": "x"}


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
