"""Making directories."""

from __future__ import annotations

import pytest

from lading.model.errors import NotFound
from lading.model.file import Kind

from .world import World, codes


async def test_missing_directories_above_are_made(world: World) -> None:
    assert await world.mkdir(world.admin, "/vo/a/b/c") == ["ok"]
    assert await world.tree() == ["/vo/", "/vo/a/", "/vo/a/b/", "/vo/a/b/c/"]
    entry = await world.stat(world.admin, "/vo/a/b/c")
    assert (entry.kind, entry.owner, entry.group, entry.mode) == (Kind.DIRECTORY, "admin", "admin", 0o775)
    assert entry.size is None
    assert entry.ctime == entry.mtime > 1_700_000_000_000_000


async def test_without_parents_a_directory_above_must_exist(world: World) -> None:
    assert await world.mkdir(world.admin, "/vo/a", parents=False) == ["not_found"]
    assert await world.tree() == []
    assert await world.mkdir(world.admin, "/vo", parents=False) == ["ok"]
    assert await world.mkdir(world.admin, "/vo/a", parents=False) == ["ok"]


async def test_one_that_exists_is_a_success_with_parents_and_a_conflict_without(world: World) -> None:
    await world.mkdir(world.admin, "/vo/a", mode=0o700)
    before = await world.stat(world.admin, "/vo/a")
    assert await world.mkdir(world.admin, "/vo/a", mode=0o777) == ["same"]
    assert await world.mkdir(world.admin, "/vo/a", parents=False) == ["conflict"]
    assert await world.stat(world.admin, "/vo/a") == before
    assert await world.mkdir(world.admin, "/") == ["same"]
    assert await world.mkdir(world.admin, "/", parents=False) == ["conflict"]


async def test_a_file_in_the_way_is_a_conflict(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    assert await world.mkdir(world.admin, "/vo/f", "/vo/f/sub", "/vo/f/sub/deep") == ["conflict"] * 3
    assert await world.mkdir(world.admin, "/vo/f", parents=False) == ["conflict"]


async def test_each_item_has_its_own_outcome(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    outcomes = await world.services.names.make_directories(
        world.admin, ["/vo/a", "bad", "/vo/f/x", "/vo//b", "/vo/a/b", "/vo/c\nd", "/vo", "/vo/e"]
    )
    assert [o.item for o in outcomes.outcomes][:2] == ["/vo/a", "bad"]
    assert codes(outcomes) == [
        "ok",
        "invalid_request",
        "conflict",
        "invalid_request",
        "ok",
        "invalid_request",
        "same",
        "ok",
    ]
    assert outcomes.failed == 4
    assert await world.tree() == ["/vo/", "/vo/a/", "/vo/a/b/", "/vo/e/", "/vo/f"]


async def test_the_same_name_twice_in_a_call_is_made_once(world: World) -> None:
    await world.mkdir(world.admin, "/vo")
    assert (await world.mkdir(world.admin, "/vo/a", "/vo/a/"))[0] == "ok"
    assert await world.mkdir(world.admin, "/vo/b", "/vo/b", parents=False) == ["ok", "conflict"]
    assert await world.tree() == ["/vo/", "/vo/a/", "/vo/b/"]


async def test_thousands_in_one_call(world: World) -> None:
    wanted = [f"/vo/{n % 50}/{n}" for n in range(3000)]
    assert await world.mkdir(world.admin, *wanted) == ["ok"] * 3000
    assert len(await world.tree()) == 3051


AWKWARD = [
    "a b",
    "'; drop table file; --",
    '"',
    "\\",
    "%s$1",
    "é日本",
    "\U0001f4e6",
    "x" * 255,
    "...",
    "T",
    "-rf",
    "$(id)",
    "*",
    "{}",
]


async def test_awkward_names_come_back_as_they_went(world: World) -> None:
    for n, name in enumerate(AWKWARD):
        assert await world.mkdir(world.admin, f"/vo{n}/{name}/{name}") == ["ok"]
        assert await world.register(world.admin, f"/vo{n}/{name}/{name}/{name}") == ["ok"]
        assert await world.ls(world.admin, f"/vo{n}/{name}/{name}") == [name]
        assert await world.move(world.admin, (f"/vo{n}/{name}", f"/vo{n}/moved")) == ["ok"]
        assert await world.tree(f"/vo{n}/moved") == [f"/vo{n}/moved/{name}/", f"/vo{n}/moved/{name}/{name}"]


async def test_paths_may_be_2048_bytes_long(world: World) -> None:
    deep = "/vo" + "/d" * 1022
    assert await world.mkdir(world.admin, deep) == ["ok"]
    assert (await world.stat(world.admin, deep)).kind is Kind.DIRECTORY
    assert await world.mkdir(world.admin, deep + "/dd") == ["invalid_request"]
    with pytest.raises(NotFound):
        await world.stat(world.admin, "/vo" + "/d" * 500 + "/e")


async def test_names_that_differ_in_case_or_normal_form_are_two(world: World) -> None:
    names = ["a", "A", "\u00e9", "e\u0301"]
    assert await world.mkdir(world.admin, *(f"/vo/{n}" for n in names)) == ["ok"] * 4
    assert await world.ls(world.admin, "/vo") == sorted(names, key=str.encode)
