"""What is set on a directory holds below it, whatever moves. The world's invariants compare every directory with its parent."""

from __future__ import annotations

import asyncio
import random

import pytest

from lading.model.metadata import Overridden
from tests.catalog.world import World, file


async def test_values_come_down_and_are_overridden(world: World) -> None:
    await world.declare(a="int", b="string", c="float")
    await world.register(world.admin, "/vo/d/e/f", "/vo/d/g")
    done = {"/vo": {"a": 1, "b": "x"}, "/vo/d": {"a": 2}, "/vo/d/e/f": {"a": 3, "c": 1}}
    assert await world.describe(world.admin, done) == ["ok"] * 3
    assert await world.describe(world.admin, done) == ["same"] * 3
    found = await world.described(world.admin, "/vo/d/e/f")
    assert found.values == {"a": 3, "b": "x", "c": 1.0}
    assert sorted(found.own) == ["a", "c"]
    assert found.inherited == {"b": "/vo"}
    assert found.overridden == {"a": Overridden("/vo/d", 2)}
    lower = await world.described(world.admin, "/vo/d")
    assert (lower.values, lower.own, lower.inherited) == ({"a": 2, "b": "x"}, ["a"], {"b": "/vo"})
    assert lower.overridden == {"a": Overridden("/vo", 1)}
    top = await world.described(world.admin, "/")
    assert (top.values, top.own, top.inherited) == ({}, [], {})
    await world.check()


async def test_taking_a_value_away_shows_what_it_hid(world: World) -> None:
    await world.declare(a="int", b="int")
    await world.register(world.admin, "/vo/d/e/f")
    await world.describe(world.admin, {"/vo": {"a": 1}, "/vo/d": {"a": 2, "b": 2}, "/vo/d/e/f": {"a": 3}})
    assert await world.describe(world.admin, {"/vo/d/e/f": {"a": None, "none": None}}) == ["ok"]
    assert (await world.described(world.admin, "/vo/d/e/f")).values == {"a": 2, "b": 2}
    assert await world.describe(world.admin, {"/vo/d": {"a": None}}) == ["ok"]
    assert (await world.described(world.admin, "/vo/d/e/f")).values == {"a": 1, "b": 2}
    assert await world.describe(world.admin, {"/vo/d": {}}, replace=True) == ["ok"]
    assert (await world.described(world.admin, "/vo/d/e/f")).values == {"a": 1}
    assert await world.describe(world.admin, {"/vo": {}}, replace=True) == ["ok"]
    assert {r["eff"] for r in await world.sql("select eff::text from dir")} == {"{}"}


async def test_a_value_changes_its_kind(world: World) -> None:
    """1, 1.0 and true are not the same, though Python says so."""
    await world.declare(j="json")
    await world.mkdir(world.admin, "/vo/d")
    for value in (1, True, [1], [True], {"a": None}, "x"):
        assert await world.describe(world.admin, {"/vo": {"j": value}}) == ["ok"]
        found = (await world.described(world.admin, "/vo/d")).values["j"]
        assert (found, type(found)) == (value, type(value))
        await world.check()


async def test_a_moved_directory_inherits_from_where_it_is(world: World) -> None:
    await world.declare(a="int", b="int", own="int")
    await world.register(world.admin, "/vo/x/d/e/f", "/vo/y/g")
    await world.describe(
        world.admin, {"/vo/x": {"a": 1}, "/vo/y": {"a": 2, "b": 2}, "/vo/x/d/e": {"own": 5}, "/vo/x/d/e/f": {"b": 9}}
    )
    assert await world.move(world.admin, ("/vo/x/d", "/vo/y/d")) == ["ok"]
    await world.check()
    assert (await world.described(world.admin, "/vo/y/d/e/f")).values == {"a": 2, "b": 9, "own": 5}
    assert await world.move(world.admin, ("/vo/y/d/e", "/vo")) == ["ok"]
    await world.check()
    assert (await world.described(world.admin, "/vo/e/f")).values == {"b": 9, "own": 5}


async def test_what_comes_back_from_the_trash_inherits_from_where_it_is(world: World) -> None:
    await world.declare(a="int", own="int")
    await world.register(world.admin, "/vo/x/d/e/f")
    await world.describe(world.admin, {"/vo/x": {"a": 1}, "/vo/x/d": {"own": 5}})
    await world.remove(world.admin, "/vo/x/d", recursive=True)
    await world.describe(world.admin, {"/vo/x": {"a": 2}, "/vo": {"own": 1}})
    assert await world.restore(world.admin, "/vo/x/d") == ["ok"]
    await world.check()
    assert (await world.described(world.admin, "/vo/x/d/e/f")).values == {"a": 2, "own": 5}
    await world.remove(world.admin, "/vo/x/d", recursive=True)
    assert await world.restore(world.admin, "/vo/x/d", to="/vo/z/new") == ["ok"]
    await world.check()
    assert (await world.described(world.admin, "/vo/z/new/d/e/f")).values == {"own": 5}


async def test_new_directories_inherit_on_all_ways_in(world: World) -> None:
    await world.declare(a="int")
    await world.mkdir(world.admin, "/vo/d")
    await world.describe(world.admin, {"/vo/d": {"a": 1}})
    await world.mkdir(world.admin, "/vo/d/x/y/z", "/vo/d/x/w", "/vo/other/deep")
    await world.register(world.admin, "/vo/d/r/s/f")
    await world.link(world.admin, vo__d__l__m="/vo")
    await world.check()
    rows = await world.sql("select path from dir where eff = '{\"a\": 1}' order by 1")
    assert [r["path"] for r in rows] == [f"/vo/d{p}" for p in ("", "/l", "/r", "/r/s", "/x", "/x/w", "/x/y", "/x/y/z")]


async def test_directories_are_made_while_values_are_set_above(world: World) -> None:
    await world.declare(a="int")
    await world.mkdir(world.admin, "/vo/d")

    async def makes(n: int) -> None:
        assert await world.mkdir(world.admin, f"/vo/d/{n}/x", f"/vo/d/s/{n}") == ["ok", "ok"]

    async def sets(n: int) -> None:
        assert await world.describe(world.admin, {"/vo/d": {"a": n}}) == ["ok"]

    async def moves(n: int) -> None:
        await world.move(world.admin, (f"/vo/d/{n}", f"/vo/{n}"))

    await asyncio.gather(*(f(n) for n in range(12) for f in (makes, sets, moves)))
    await world.check()


async def test_many_directories_in_one_call_one_below_another(world: World) -> None:
    await world.declare(a="int", b="int")
    names = [f"/vo/{i}/{j}/{k}" for i in range(3) for j in range(3) for k in range(3)]
    await world.mkdir(world.admin, *names, "/vo/0-/x")
    items = {
        "/vo/1/1": {"a": 11},
        "/vo": {"b": 0},
        "/vo/1": {"a": 1, "b": 1},
        "/vo/0-": {"a": 5},
        "/vo/2/2/2": {"b": 222},
    }
    assert await world.describe(world.admin, items) == ["ok"] * 5
    await world.check()
    assert (await world.described(world.admin, "/vo/1/1/2")).values == {"a": 11, "b": 1}
    assert (await world.described(world.admin, "/vo/0-/x")).values == {"a": 5, "b": 0}


@pytest.mark.parametrize("seed", range(6))
async def test_random_changes_of_a_random_tree(world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few directories, so that trees are walked over several."""
    monkeypatch.setattr("catalog.namespace.inheritance._CHUNK", 3)
    dice = random.Random(seed)
    await world.declare(a="int", b="int", c="int")
    await world.mkdir(
        world.admin, *{"/vo" + "".join(f"/{dice.randrange(3)}" for _ in range(dice.randrange(1, 6))) for _ in range(40)}
    )
    for _ in range(25):
        paths = [p.rstrip("/") for p in await world.tree("/vo") if p.endswith("/")]
        what = dice.randrange(4)
        if what == 0:
            await world.move(world.admin, (dice.choice(paths), dice.choice(paths)))
        elif what == 1:
            await world.mkdir(world.admin, dice.choice(paths) + "/n/m")
        else:
            some = dice.sample(paths, min(len(paths), dice.randrange(1, 5)))
            values = {p: {k: dice.choice((1, 2, None)) for k in dice.sample("abc", 2)} for p in some}
            await world.describe(world.admin, values, replace=dice.random() < 0.3)
        await world.check()


async def test_a_file_is_found_through_links_and_only_where_one_may_go(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.declare(a="int")
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/closed", mode=0o700)
    await world.register(alice, file("/vo/closed/f", 1), file("/vo/open", 1, mode=0o644))
    await world.link(alice, vo__l="/vo/open")
    assert await world.describe(alice, {"/vo/closed/f": {"a": 1}, "/vo/l": {"a": 2}}) == ["ok", "ok"]
    assert (await world.described(bob, "/vo/l")).values == {"a": 2}
    tries = {
        "/vo/closed/f": {"a": 3},
        "/vo/open": {"a": 3},
        "/vo/closed": {"a": 3},
        "/vo/none": {"a": 3},
        "/vo": {"a": 3},
    }
    assert await world.describe(bob, tries) == ["forbidden", "forbidden", "forbidden", "not_found", "ok"]
    await world.describe(world.admin, {"/vo": {"a": None}})
    assert (await world.described(alice, "/vo/closed/f")).values == {"a": 1}
