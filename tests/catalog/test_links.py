"""Symbolic links, as the LFC has them; and aliases."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from catalog.namespace.store import NamesStore
from lading.model.api import Alias, Link, Names
from lading.model.errors import Forbidden, InvalidRequest, NotFound
from lading.model.file import Kind

from .world import World, codes, file, stuck


async def test_a_link_is_followed_by_whoever_looks(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, file("/vo/d/f", 5, "one"))
    assert (
        await world.link(world.admin, vo__abs="/vo/d/f", vo__rel="d/f", vo__d__up="../d/f", vo__dir="/vo/d")
        == ["ok"] * 4
    )
    for name in ("/vo/abs", "/vo/rel", "/vo/d/up", "/vo/dir/f", "/vo/dir/up"):
        entry = await world.stat(world.admin, name)
        assert (entry.lfn, entry.kind, entry.size) == ("/vo/d/f", Kind.FILE, 5), name
        assert [s.se for s in (await world.resolve(world.admin, name)).sources] == ["one"]
    link = await world.stat(world.admin, "/vo/abs", follow=False)
    assert (link.kind, link.target, link.size, link.guid, link.mode) == (Kind.LINK, "/vo/d/f", None, None, 0o777)
    assert (await world.stat(world.admin, "/vo/dir/up", follow=False)).target == "../d/f"
    assert await world.ls(world.admin, "/vo/dir") == ["f", "up"]


async def test_links_on_the_way_lead_every_call(world: World) -> None:
    await world.elements("one")
    await world.mkdir(world.admin, "/vo/d")
    await world.link(world.admin, vo__l="/vo/d")
    assert await world.mkdir(world.admin, "/vo/l/sub", "/vo/l") == ["ok", "same"]
    assert await world.register(world.admin, file("/vo/l/sub/f", 1, "one"), "/vo/l/new/deep/g") == ["ok", "ok"]
    assert await world.link(world.admin, vo__l__m="sub") == ["ok"]
    assert await world.set(world.admin, "/vo/l/m/f", comment="seen") == ["ok"]
    assert await world.usage("/vo/l") == (2, 11, {"one": (1, 1)})
    assert await world.remove(world.admin, "/vo/l/new", recursive=True) == ["ok"]
    assert await world.tree("/vo") == ["/vo/d/", "/vo/d/m", "/vo/d/sub/", "/vo/d/sub/f", "/vo/l"]
    assert (await world.stat(world.admin, "/vo/d/sub/f")).comment == "seen"
    assert list(await world.trash(world.admin)) == ["/vo/d/new"], "the trash knows the true path"


async def test_a_call_through_a_link_waits_for_who_moves_what_it_leads_to(world: World) -> None:
    """The lock is that of the VO where the names come to be, not of the VO where the link is."""
    for vo in ("vo", "other"):
        await world.vo(vo)
    await world.register(world.admin, "/vo/f", "/vo/d/g", "/vo/e", "/other/in/x")
    await world.link(world.admin, vo__l="/other/in")
    await world.remove(world.admin, "/vo/f")
    await world.remove(world.admin, "/vo/d", recursive=True)
    gate = await asyncpg.connect(world.dsn)
    crowd = World(world.dsn, world.folder, pool=20)
    try:
        async with gate.transaction():
            await NamesStore().lock(gate, ["/other"], exclusive=True)
            calls = [
                crowd.mkdir(world.admin, "/vo/l/made"),
                crowd.register(world.admin, "/vo/l/new/file"),
                crowd.link(world.admin, vo__l__link="/vo"),
                crowd.restore(world.admin, "/vo/f", to="/vo/l"),
                crowd.restore(world.admin, "/vo/d", to="/vo/l"),
                crowd.move(world.admin, ("/vo/e", "/vo/l/e")),
                crowd.register(world.admin, "/vo/l/file", parents=False),
            ]
            tasks = [asyncio.create_task(call) for call in calls]
            await stuck(gate, tasks)
            assert not [t for t in tasks if t.done()]
            await gate.execute("update file set name = 'out' where name = 'in'")
            await gate.execute("update dir set path = '/other/out' where path = '/other/in'")
        done = await asyncio.gather(*tasks)
    finally:
        await gate.close()
        await crowd.close()
    makers, others = done[:5], done[5:]
    assert makers == [["ok"]] * 5
    assert all(one in (["ok"], ["not_found"]) for one in others), "as somebody made the directory again by then, or not"
    names = {f"/other/in/{name}" for name in ("d/", "d/g", "f", "link", "made/", "new/", "new/file")}
    assert names <= set(await world.tree("/other/in"))
    assert await world.tree("/other/out") == ["/other/out/x"]


async def test_five_links_are_followed_and_not_six(world: World) -> None:
    await world.register(world.admin, "/vo/d/f")
    await world.link(world.admin, vo__1="/vo/d", vo__2="1", vo__3="2", vo__4="3", vo__5="4", vo__6="5")
    assert await world.looks(world.admin, "/vo/5/f", "/vo/6/f", "/vo/5", "/vo/6") == [
        "ok",
        "not_found",
        "ok",
        "not_found",
    ]
    assert await world.mkdir(world.admin, "/vo/5/x", "/vo/6/x") == ["ok", "not_found"]
    assert await world.register(world.admin, "/vo/5/g", "/vo/6/g") == ["ok", "not_found"]
    assert await world.ls(world.admin, "/vo/5") == ["f", "g", "x"]
    with pytest.raises(NotFound, match="more than 5 links"):
        await world.ls(world.admin, "/vo/6")


async def test_loops_and_broken_links_are_not_found(world: World) -> None:
    await world.mkdir(world.admin, "/vo")
    await world.link(
        world.admin,
        vo__a="b",
        vo__b="/vo/a",
        vo__self="self",
        vo__in="in/side",
        vo__broken="/no/where",
        vo__odd="/vo/../..//x",
    )
    names = ["/vo/a", "/vo/b/x", "/vo/self", "/vo/in", "/vo/broken", "/vo/broken/x", "/vo/odd"]
    assert await world.looks(world.admin, *names) == ["not_found"] * 7
    assert codes(await world.services.names.exists(world.admin, Names(names))) == ["ok"] * 7
    assert {o.value for o in (await world.services.names.exists(world.admin, Names(names))).outcomes} == {False}
    for call in (world.mkdir, world.register):
        assert await call(world.admin, "/vo/a/x", "/vo/self/x", "/vo/in/x") == ["not_found"] * 3
    assert codes(await world.services.names.stat(world.admin, Names(names, follow=False))) == [
        "ok", "not_found", "ok", "ok", "ok", "not_found", "ok",
    ]  # fmt: skip


async def test_a_link_to_a_file_is_no_directory(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    await world.link(world.admin, vo__l="f")
    assert await world.looks(world.admin, "/vo/l/x") == ["not_found"]
    assert await world.mkdir(world.admin, "/vo/l/x", "/vo/l") == ["conflict", "conflict"]
    assert await world.register(world.admin, "/vo/l/x") == ["conflict"]
    assert await world.register(world.admin, file("/vo/l", 10)) == ["conflict"], "the link itself has that name"


async def test_the_same_link_again_is_a_success_and_another_a_conflict(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    make = world.services.names.make_links
    assert codes(await make(world.admin, [Link("/vo/l", "f"), Link("/vo/l", "f"), Link("/vo/l", "g")]))[::2] == [
        "ok",
        "conflict",
    ]
    assert await world.link(world.admin, vo__l="f") == ["same"]
    assert await world.link(world.admin, vo__l="/vo/f", vo__f="x") == ["conflict", "conflict"]
    assert codes(await make(world.admin, [Link("/new/l", "x")], parents=False)) == ["not_found"]
    assert codes(await make(world.admin, [Link("/", "x"), Link("bad", "x"), Link("/new/l", "x")])) == [
        "conflict",
        "invalid_request",
        "ok",
    ]


async def test_one_bad_target_does_not_hurt_the_others(world: World) -> None:
    links = [
        Link("/vo/a", "x"),
        Link("/vo/b", ""),
        Link("/vo/c", "x\0y"),
        Link("/vo/d", "x" * 2049),
        Link("/vo/e", "\ud800"),
        Link("/vo/f", "y"),
    ]
    outcomes = await world.services.names.make_links(world.admin, links)
    assert codes(outcomes) == ["ok", *["invalid_request"] * 4, "ok"]
    assert await world.ls(world.admin, "/vo") == ["a", "f"]


async def test_removing_a_link_leaves_what_it_led_to(world: World) -> None:
    await world.register(world.admin, "/vo/d/f")
    await world.link(world.admin, vo__l="/vo/d", vo__broken="/x")
    assert await world.remove(world.admin, "/vo/l", "/vo/broken", recursive=True) == ["ok", "ok"]
    assert await world.tree("/vo") == ["/vo/d/", "/vo/d/f"]
    assert await world.restore(world.admin, "/vo/l") == ["ok"]
    assert (await world.stat(world.admin, "/vo/l/f")).lfn == "/vo/d/f"


async def test_a_link_gives_no_right(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, file("/vo/open/f", mode=0o600), "/vo/shut/f")
    await world.set(alice, "/vo/shut", mode=0o700)
    await world.link(bob, vo__f="/vo/open/f", vo__s="/vo/shut")
    assert await world.looks(bob, "/vo/f", "/vo/s", "/vo/s/f", "/vo/s/none") == ["ok", "ok", "forbidden", "forbidden"]
    with pytest.raises(Forbidden):
        await world.resolve(bob, "/vo/f")
    assert await world.register(bob, "/vo/s/x") == ["forbidden"]
    assert await world.set(bob, "/vo/f", mode=0o777) == ["forbidden"], "a link is followed to its end"


# ── aliases ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def alias(world: World, prefix: str, target: str) -> None:
    await world.services.names.set_alias(world.admin, Alias(prefix, target))


async def test_an_alias_stands_for_another_prefix_everywhere(world: World) -> None:
    await world.elements("one")
    await world.mkdir(world.admin, "/biomed")
    await alias(world, "/grid/biomed", "/biomed")
    assert await world.register(world.admin, file("/grid/biomed/d/f", 3, "one")) == ["ok"]
    assert await world.tree() == ["/biomed/", "/biomed/d/", "/biomed/d/f"]
    assert (await world.stat(world.admin, "/grid/biomed/d/f")).lfn == "/biomed/d/f"
    assert (await world.resolve(world.admin, "/grid/biomed/d/f")).size == 3
    assert await world.ls(world.admin, "/grid/biomed/") == ["d"]
    assert await world.mkdir(world.admin, "/grid/biomed", "/grid/biomed/e") == ["same", "ok"]
    assert await world.move(world.admin, ("/grid/biomed/d/f", "/grid/biomed/e")) == ["ok"]
    assert await world.remove(world.admin, "/grid/biomed/e", recursive=True) == ["ok"]
    assert list(await world.trash(world.admin, "/grid/biomed")) == ["/biomed/e"]
    assert await world.looks(world.admin, "/grid", "/grid/biomed2", "/grid/biomed") == ["not_found", "not_found", "ok"]


async def test_the_longest_prefix_wins_and_aliases_may_lead_to_aliases(world: World) -> None:
    await alias(world, "/old", "/a")
    await alias(world, "/old/deep", "/b")
    await alias(world, "/a", "/c")
    await alias(world, "/all", "/")
    await world.register(world.admin, "/old/f", "/old/deep/f", "/all/z/f")
    assert await world.tree() == ["/b/", "/b/f", "/c/", "/c/f", "/z/", "/z/f"]
    assert await world.move(world.admin, ("/old/f", "/old/deep/g")) == ["ok"]
    assert await world.ls(world.admin, "/all/b") == ["f", "g"]
    assert (await world.stat(world.admin, "/all")).lfn == "/"


async def test_links_may_lead_through_aliases(world: World) -> None:
    await world.register(world.admin, "/biomed/d/f")
    await alias(world, "/grid/biomed", "/biomed")
    await world.link(world.admin, biomed__l="/grid/biomed/d", grid__biomed__m="d")
    assert (await world.stat(world.admin, "/grid/biomed/l/f")).lfn == "/biomed/d/f"
    assert (await world.stat(world.admin, "/biomed/m/f")).lfn == "/biomed/d/f"
    assert await world.mkdir(world.admin, "/grid/biomed/l/x") == ["ok"]
    assert await world.ls(world.admin, "/biomed/d") == ["f", "x"]


async def test_a_path_that_its_alias_makes_too_long_is_refused(world: World) -> None:
    await alias(world, "/s", "/" + "/".join(["t" * 250] * 8))
    for name in ("/s/" + "x" * 100, "/s/a/b/c/d/" + "x" * 60):
        assert await world.mkdir(world.admin, name) == ["invalid_request"]
        assert await world.register(world.admin, name) == ["invalid_request"]
        assert await world.looks(world.admin, name) == ["invalid_request"]


async def test_who_may_set_aliases_and_which(world: World) -> None:
    (bob,) = await world.people(bob=[])
    names = world.services.names
    with pytest.raises(Forbidden):
        await names.set_alias(bob, Alias("/x", "/y"))
    with pytest.raises(Forbidden):
        await names.remove_alias(bob, "/x")
    for prefix, target in (("/", "/x"), ("/x", "/x"), ("/x", "/x/y"), ("x", "/y"), ("/x", "y")):
        with pytest.raises(InvalidRequest):
            await alias(world, prefix, target)
    with pytest.raises(NotFound):
        await names.remove_alias(world.admin, "/x")
    await alias(world, "/x", "/y")
    await alias(world, "/x", "/z")
    with pytest.raises(InvalidRequest):
        await alias(world, "/z", "/x")
    assert await names.aliases(bob) == [Alias("/x", "/z")]
    assert await world.looks(bob, "/x/y") == ["not_found"]
    await names.remove_alias(world.admin, "/x/")
    assert await names.aliases(bob) == []
