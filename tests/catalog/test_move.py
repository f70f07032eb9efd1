"""Moving and renaming: files, links and whole directories."""

from __future__ import annotations

import pytest

from lading.model.api import Move
from lading.model.file import Kind

from .world import World, faults, file


async def test_a_file_keeps_everything_but_its_name(world: World) -> None:
    await world.elements("one", "two")
    await world.declare(k="int")
    await world.mkdir(world.admin, "/vo/b")
    await world.register(
        world.admin, file("/vo/a/f", 7, "one", "two", checksums={"md5": "0" * 32}, comment="c", metadata={"k": 1})
    )
    before = await world.stat(world.admin, "/vo/a/f")
    assert await world.move(world.admin, ("/vo/a/f", "/vo/b/g")) == ["ok"]
    after = await world.stat(world.admin, "/vo/b/g")
    before.lfn = "/vo/b/g"
    assert after == before
    assert await world.looks(world.admin, "/vo/a/f") == ["not_found"]
    assert await world.usage("/vo/a") == (0, 0, {})
    assert await world.usage("/vo/b") == (1, 7, {"one": (1, 7), "two": (1, 7)})


async def test_a_directory_moves_with_all_below_it(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, *(file(f"/vo/a/d/{n % 7}/x/{n}", n, "one") for n in range(100)))
    before = {p.removeprefix("/vo/a/d"): p for p in await world.tree("/vo/a/d")}
    counted = await world.usage("/vo/a/d")
    await world.mkdir(world.admin, "/vo/b")
    assert await world.move(world.admin, ("/vo/a/d", "/vo/b/e")) == ["ok"]
    assert {p.removeprefix("/vo/b/e") for p in await world.tree("/vo/b/e")} == set(before)
    assert await world.ls(world.admin, "/vo/a") == []
    assert await world.usage("/vo/b/e") == counted
    assert (await world.stat(world.admin, "/vo/b/e/3/x/10")).size == 10


async def test_a_target_that_is_a_directory_takes_the_source_in(world: World) -> None:
    await world.register(world.admin, "/vo/f", "/vo/a/g", "/vo/d/sub/h")
    assert await world.move(world.admin, ("/vo/f", "/vo/d"), ("/vo/a", "/vo/d/")) == ["ok", "ok"]
    assert await world.tree("/vo") == ["/vo/d/", "/vo/d/a/", "/vo/d/a/g", "/vo/d/f", "/vo/d/sub/", "/vo/d/sub/h"]


async def test_nothing_is_ever_replaced(world: World) -> None:
    await world.register(world.admin, "/vo/f", "/vo/g", "/vo/d/f", "/vo/d/e/x", "/vo/e/y")
    await world.link(world.admin, vo__dangling="/nowhere", vo__to_g="/vo/g", vo__to_d="/vo/d")
    tree = await world.tree()
    for source, target in (
        ("/vo/f", "/vo/g"),
        ("/vo/f", "/vo/d"),  # there is /vo/d/f
        ("/vo/e", "/vo/d"),  # there is /vo/d/e, though it could be merged
        ("/vo/e", "/vo/f"),
        ("/vo/f", "/vo/to_g"),
        ("/vo/f", "/vo/dangling"),
        ("/vo/e", "/vo/dangling"),
        ("/vo/f", "/vo/to_d"),
    ):
        assert await world.move(world.admin, (source, target)) == ["conflict"], (source, target)
    assert await world.tree() == tree


async def test_a_name_moved_to_itself_stays(world: World) -> None:
    await world.register(world.admin, "/vo/d/f")
    await world.link(world.admin, vo__l="/vo/d")
    for pair in (
        ("/vo/d/f", "/vo/d/f"),
        ("/vo/d", "/vo/d"),
        ("/vo/d", "/vo"),
        ("/vo/d/f", "/vo/d"),
        ("/vo/d", "/vo/l"),
        ("/vo/l/f", "/vo/d/f"),
    ):
        assert await world.move(world.admin, pair) == ["same"], pair


async def test_a_directory_does_not_go_into_itself(world: World) -> None:
    await world.mkdir(world.admin, "/vo/d/sub/deep", "/vo/e")
    await world.link(world.admin, vo__e__back="/vo/d/sub")
    for target in ("/vo/d/sub", "/vo/d/x", "/vo/d/sub/deep/x", "/vo/e/back", "/vo/e/back/x"):
        assert await world.move(world.admin, ("/vo/d", target)) == ["invalid_request"], target
    assert await world.tree("/vo/d") == ["/vo/d/sub/", "/vo/d/sub/deep/"]


async def test_the_root_stays(world: World) -> None:
    await world.mkdir(world.admin, "/vo")
    assert await world.move(world.admin, ("/", "/vo/x"), ("/vo", "/")) == ["invalid_request", "same"]


async def test_a_missing_source_or_place_is_not_found(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    pairs = [
        ("/vo/none", "/vo/x"),
        ("/none/none", "/vo/x"),
        ("/vo/f", "/vo/none/x"),
        ("/vo/f", "/none/x"),
        ("/vo/f/x", "/vo/y"),
        ("/vo/f", "/vo/f/x"),
    ]
    assert await world.move(world.admin, *pairs) == ["not_found"] * 6


async def test_paths_that_would_be_too_long_are_refused(world: World) -> None:
    long, longer = "n" * 255, "m" * 255
    base = "/vo" + f"/{long}" * 6
    await world.mkdir(world.admin, base, "/vo/short/" + "/".join([longer] * 2))
    await world.register(world.admin, "/vo/f" + "f" * 200)
    assert await world.move(world.admin, ("/vo/short", base)) == ["invalid_request"]
    await world.mkdir(world.admin, f"{base}/{'k' * 250}/{'k' * 100}")
    assert await world.move(world.admin, ("/vo/f" + "f" * 200, f"{base}/{'k' * 250}/{'k' * 100}")) == [
        "invalid_request"
    ]
    assert await world.move(world.admin, ("/vo/short/" + longer, "/vo/x")) == ["ok"], "it only gets shorter"


async def test_links_are_moved_and_not_followed_but_on_the_way(world: World) -> None:
    await world.register(world.admin, "/vo/d/f")
    await world.link(world.admin, vo__l="/vo/d", vo__rel="d/f")
    assert await world.move(world.admin, ("/vo/l", "/vo/m"), ("/vo/m/f", "/vo/m/g")) == ["ok", "not_found"]
    assert await world.move(world.admin, ("/vo/m/f", "/vo/m/g")) == ["ok"]
    assert (await world.stat(world.admin, "/vo/m", follow=False)).kind is Kind.LINK
    assert await world.tree() == ["/vo/", "/vo/d/", "/vo/d/g", "/vo/m", "/vo/rel"]


async def test_a_directory_moves_through_links_from_one_vo_to_another(world: World) -> None:
    await world.register(world.admin, "/one/d/sub/f", "/two/x/y")
    await world.link(world.admin, two__out="/one/d", one__in="/two/x")
    assert await world.move(world.admin, ("/two/out/sub", "/one/in/sub")) == ["ok"]
    assert await world.tree("/two/x") == ["/two/x/sub/", "/two/x/sub/f", "/two/x/y"]
    await world.check()
    assert await world.looks(world.admin, "/two/x/sub/f") == ["ok"]


async def test_a_file_named_twice_in_a_call_moves_once(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, file("/vo/f", 5, "one"), file("/vo/g", 5, "one"))
    await world.mkdir(world.admin, "/vo/a", "/vo/b")
    assert await world.move(world.admin, ("/vo/f", "/vo/a/f"), ("/vo/f", "/vo/b/f")) == ["ok", "not_found"]
    assert await world.move(world.admin, ("/vo/a/f", "/vo/x"), ("/vo/g", "/vo/x")) == ["ok", "conflict"]


@pytest.mark.parametrize(
    ("moves", "tree"),
    [
        # a directory and then what is below it, by its old name and by its new one
        ([("/d", "/e"), ("/d/sub", "/x")], ["/e/", "/e/sub/", "/e/sub/deep/", "/e/sub/deep/f", "/q/"]),
        ([("/d", "/e"), ("/e/sub", "/x")], ["/e/", "/q/", "/x/", "/x/deep/", "/x/deep/f"]),
        ([("/d/sub", "/x"), ("/d", "/e")], ["/e/", "/q/", "/x/", "/x/deep/", "/x/deep/f"]),
        # a place that moves away, or comes
        ([("/q", "/e"), ("/d", "/q/d")], ["/d/", "/d/sub/", "/d/sub/deep/", "/d/sub/deep/f", "/e/"]),
        ([("/q", "/e"), ("/d", "/e")], ["/e/", "/e/d/", "/e/d/sub/", "/e/d/sub/deep/", "/e/d/sub/deep/f"]),
        ([("/q", "/e"), ("/d", "/q")], ["/e/", "/q/", "/q/sub/", "/q/sub/deep/", "/q/sub/deep/f"]),
        (
            [("/q", "/d/sub"), ("/d/sub/deep", "/d/sub/q")],
            ["/d/", "/d/sub/", "/d/sub/q/", "/d/sub/q/deep/", "/d/sub/q/deep/f"],
        ),
        # two that exchange their places
        ([("/q", "/t"), ("/d", "/q"), ("/t", "/d")], ["/d/", "/q/", "/q/sub/", "/q/sub/deep/", "/q/sub/deep/f"]),
    ],
)
async def test_directories_of_one_call_move_one_after_the_other(
    world: World, moves: list[tuple[str, str]], tree: list[str]
) -> None:
    await world.register(world.admin, "/d/sub/deep/f")
    await world.mkdir(world.admin, "/q")
    await world.move(world.admin, *moves)
    assert await world.tree() == tree


async def test_ten_thousand_files_in_one_call(world: World) -> None:
    await world.mkdir(world.admin, "/vo/new")
    await world.register(world.admin, *(f"/vo/old/{n % 10}/{n}" for n in range(10_000)))
    moves = [(f"/vo/old/{n % 10}/{n}", "/vo/new" if n % 2 else f"/vo/new/m{n}") for n in range(10_000)]
    assert await world.move(world.admin, *moves) == ["ok"] * 10_000
    assert (await world.usage("/vo/new"))[:2] == (10_000, 100_000)
    assert (await world.usage("/vo/old"))[:2] == (0, 0)


async def test_each_item_has_its_own_outcome(world: World) -> None:
    await world.register(world.admin, "/vo/f", "/vo/g", "/vo/h")
    moves = [
        Move("/vo/f", "/vo/x"),
        Move("bad", "/vo/y"),
        Move("/vo/g", "/vo/../y"),
        Move("/vo/none", "/vo/y"),
        Move("/vo/h", "/vo/g"),
    ]
    outcomes = await world.services.tree.move(world.admin, moves)
    assert [f.code for f in faults(outcomes)] == ["invalid_request", "invalid_request", "not_found", "conflict"]
    assert [o.item for o in outcomes.outcomes] == [m.source for m in moves]
    assert await world.ls(world.admin, "/vo") == ["g", "h", "x"]
