"""Removing, restoring, and letting go for good."""

from __future__ import annotations

import pytest

from lading.model.errors import Forbidden, InvalidRequest
from lading.model.file import FileSpec, Kind
from lading.model.outcome import Outcomes

from .world import World, codes, file


async def test_what_is_removed_is_gone_from_every_look_and_in_the_trash(world: World) -> None:
    await world.elements("one", "two")
    await world.register(world.admin, file("/vo/d/f", 7, "one", "two"), file("/vo/g", 5, "one"))
    outcomes = await world.services.trash.remove(world.admin, ["/vo/d/f", "/vo/g"], keep=3600)
    items = [o.value for o in outcomes.outcomes]
    assert codes(outcomes) == ["ok", "ok"]
    assert [(i.lfn, i.kind, i.removed_by, i.files, i.bytes) for i in items if i] == [
        ("/vo/d/f", Kind.FILE, "admin", 1, 7),
        ("/vo/g", Kind.FILE, "admin", 1, 5),
    ]
    assert all(i and i.expires == i.removed_at + 3600 * 10**6 for i in items)
    assert await world.tree() == ["/vo/", "/vo/d/"]
    assert await world.usage() == (0, 0, {})
    assert await world.trash(world.admin) == {i.lfn: i for i in items if i}
    assert await world.looks(world.admin, "/vo/d/f") == ["not_found"]
    assert await world.register(world.admin, file("/vo/d/f", 99)) == ["ok"], "the name is free"


async def test_a_directory_that_is_not_empty_needs_recursion(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, *(file(f"/vo/d/{n % 3}/{n}", n, "one") for n in range(10)))
    await world.mkdir(world.admin, "/vo/empty")
    await world.link(world.admin, vo__d__l="/vo")
    tree, counted = await world.tree("/vo/d"), await world.usage("/vo/d")
    assert await world.remove(world.admin, "/vo/d", "/vo/empty") == ["conflict", "ok"]
    assert await world.remove(world.admin, "/vo/d", recursive=True) == ["ok"]
    item = (await world.trash(world.admin))["/vo/d"]
    assert (item.kind, item.files, item.bytes) == (Kind.DIRECTORY, 10, 45)
    assert await world.tree() == ["/vo/"]
    assert await world.restore(world.admin, "/vo/d") == ["ok"]
    assert await world.tree("/vo/d") == tree
    assert await world.usage("/vo/d") == counted
    assert list(await world.trash(world.admin)) == ["/vo/empty"]


async def test_restoring(world: World) -> None:
    await world.elements("one")
    await world.declare(k="int")
    await world.register(world.admin, file("/vo/d/f", 7, "one", comment="c", metadata={"k": 1}), "/vo/g", "/vo/h")
    before = await world.stat(world.admin, "/vo/d/f")
    await world.remove(world.admin, "/vo/d/f", "/vo/g", "/vo/h")
    await world.remove(world.admin, "/vo/d")
    await world.register(world.admin, file("/vo/g", 1))
    assert await world.restore(world.admin, "/vo/d/f", "/vo/g") == ["ok", "conflict"]
    assert await world.stat(world.admin, "/vo/d/f") == before, "the directory above is made again"
    assert await world.restore(world.admin, "/vo/g", "/vo/h", to="/vo/back/in") == ["ok", "ok"]
    assert await world.tree() == [
        "/vo/",
        "/vo/back/",
        "/vo/back/in/",
        "/vo/back/in/g",
        "/vo/back/in/h",
        "/vo/d/",
        "/vo/d/f",
        "/vo/g",
    ]
    assert (await world.usage())[:2] == (4, 28)


async def test_the_answer_says_where_it_is(world: World) -> None:
    await world.register(world.admin, "/vo/d/f")
    await world.link(world.admin, vo__l="/vo/d")
    removed = await world.services.trash.remove(world.admin, ["/vo/d/f"])
    item = removed.outcomes[0].get()
    assert item
    restored: Outcomes[str] = await world.services.trash.restore(world.admin, [item.id, item.id, 999], to="/vo/l")
    assert [o.value for o in restored.outcomes] == ["/vo/d/f", None, None]
    assert codes(restored) == ["ok", "not_found", "not_found"]
    assert [o.item for o in restored.outcomes] == [str(item.id), str(item.id), "999"]


async def test_a_directory_comes_back_elsewhere_even_through_a_link(world: World) -> None:
    await world.register(world.admin, "/one/d/sub/f", "/two/x/y")
    await world.link(world.admin, one__in="/two/x")
    await world.remove(world.admin, "/one/d", recursive=True)
    assert await world.restore(world.admin, "/one/d", to="/one/in") == ["ok"]
    assert await world.tree("/two/x") == ["/two/x/d/", "/two/x/d/sub/", "/two/x/d/sub/f", "/two/x/y"]
    await world.check()
    assert (await world.stat(world.admin, "/one/in/d/sub/f")).lfn == "/two/x/d/sub/f"


async def test_a_deep_tree_comes_back_to_its_place_and_not_to_one_too_deep(world: World) -> None:
    deep = "/vo/top" + ("/" + "d" * 200) * 10
    await world.mkdir(world.admin, deep)
    await world.remove(world.admin, "/vo/top", recursive=True)
    assert await world.restore(world.admin, "/vo/top", to="/vo/" + "e" * 200) == ["invalid_request"]
    assert await world.restore(world.admin, "/vo/top") == ["ok"]
    assert await world.looks(world.admin, deep) == ["ok"]


async def test_what_expired_does_not_come_back(world: World) -> None:
    await world.register(world.admin, "/vo/f", "/vo/g")
    await world.remove(world.admin, "/vo/f", keep=0)
    await world.remove(world.admin, "/vo/g")
    assert await world.restore(world.admin, "/vo/f") == ["not_found"]
    item = (await world.trash(world.admin))["/vo/g"]
    assert codes(await world.services.trash.purge(world.admin, [item.id, 999])) == ["ok", "not_found"]
    assert codes(await world.services.trash.purge(world.admin, [item.id])) == ["ok"], "safe to repeat"
    assert await world.restore(world.admin, "/vo/g") == ["not_found"], "it may be half gone already"


async def test_names_removed_twice_in_a_call(world: World) -> None:
    await world.register(world.admin, "/vo/d/f", "/vo/d/g", "/vo/e/f")
    assert await world.remove(world.admin, "/vo/d/f", "/vo/d/f", "/vo/d", "/vo/d/g", "/vo/d", recursive=True) == [
        "ok", "not_found", "ok", "not_found", "not_found",
    ]  # fmt: skip
    assert await world.remove(world.admin, "/vo/e/f", "/vo/e") == ["ok", "conflict"], "judged as it was before the call"
    assert await world.restore(world.admin, "/vo/d", "/vo/d/f") == ["ok", "ok"]
    assert await world.tree("/vo") == ["/vo/d/", "/vo/d/f", "/vo/d/g", "/vo/e/"]


async def test_a_directory_does_not_count_what_the_call_took_out_of_it_before(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, file("/vo/d/f", 5, "one"), file("/vo/d/e/g", 6), file("/vo/d/h", 7))
    outcomes = await world.services.trash.remove(world.admin, ["/vo/d/f", "/vo/d/e", "/vo/d"], recursive=True)
    told = [(i.lfn, i.files, i.bytes) for o in outcomes.outcomes if (i := o.value)]
    assert told == [("/vo/d/f", 1, 5), ("/vo/d/e", 1, 6), ("/vo/d", 1, 7)]
    assert {(i.lfn, i.files, i.bytes) for i in (await world.trash(world.admin)).values()} == set(told)
    audited = await world.sql("select details from audit where action = 'remove'")
    assert [r["details"] for r in audited] == ['{"bytes": 18, "files": 3}']


async def test_each_item_has_its_own_outcome(world: World) -> None:
    await world.register(world.admin, "/vo/f", "/vo/g")
    assert await world.remove(world.admin, "/vo/f", "bad", "/vo/none", "/", "/vo/f/x", "/vo/g") == [
        "ok", "invalid_request", "not_found", "invalid_request", "not_found", "ok",
    ]  # fmt: skip


async def test_thousands_at_once(world: World) -> None:
    await world.register(world.admin, *(f"/vo/{n % 10}/{n}" for n in range(5000)))
    await world.mkdir(world.admin, *(f"/vo/e/{n}" for n in range(300)))
    assert (
        await world.remove(
            world.admin, *(f"/vo/{n % 10}/{n}" for n in range(5000)), *(f"/vo/e/{n}" for n in range(300))
        )
        == ["ok"] * 5300
    )
    assert (await world.usage())[:2] == (0, 0)
    page = await world.services.trash.page(world.admin, limit=1000)
    assert page.next is not None
    found = list(page.items)
    while page.next is not None:
        page = await world.services.trash.page(world.admin, cursor=page.next, limit=1000)
        found += page.items
    assert len({i.id for i in found}) == len(found) == 5300
    with pytest.raises(InvalidRequest):
        await world.services.trash.page(world.admin, cursor="x")


async def test_everybody_has_their_own_trash_and_administrators_see_that_of_their_vo(world: World) -> None:
    alice, bob, _ = await world.people(alice=["staff"], bob=["staff"], ada=[])
    await world.vo("one", "ada")
    await world.vo("two")
    ada = await world.caller("ada")
    await world.set(world.admin, "/one", "/two", mode=0o777)
    await world.register(alice, "/one/a", "/two/a")
    await world.register(bob, "/one/b")
    await world.remove(alice, "/one/a", "/two/a")
    await world.remove(bob, "/one/b")
    assert list(await world.trash(alice)) == ["/one/a", "/two/a"]
    assert list(await world.trash(bob)) == ["/one/b"]
    assert list(await world.trash(ada)) == ["/one/a", "/one/b"]
    assert list(await world.trash(world.admin)) == ["/one/a", "/two/a", "/one/b"]
    assert list(await world.trash(alice, "/two")) == ["/two/a"]
    assert list(await world.trash(alice, "/tw")) == []
    assert await world.restore(bob, "/one/a", "/one/b") == ["not_found", "ok"]
    items = await world.trash(world.admin)
    assert codes(await world.services.trash.purge(ada, [items["/one/a"].id, items["/two/a"].id])) == ["ok", "not_found"]


async def test_a_token_for_reading_neither_restores_nor_purges(world: World) -> None:
    await world.people(alice=["staff"])
    alice = await world.caller("alice")
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, "/vo/a/f", "/vo/b/f")
    await world.remove(alice, "/vo/a/f", "/vo/b/f")
    reader = await world.caller("alice", "read")
    narrow = await world.caller("alice", "read:/vo/a", "write:/vo/a")
    ids = [i.id for i in (await world.trash(alice)).values()]
    assert list(await world.trash(reader)) == ["/vo/a/f", "/vo/b/f"]
    assert codes(await world.services.trash.purge(reader, ids)) == ["not_found", "not_found"]
    assert codes(await world.services.trash.restore(reader, ids)) == ["not_found", "not_found"]
    with pytest.raises(Forbidden):
        await world.trash(narrow)
    assert list(await world.trash(narrow, "/vo/a")) == ["/vo/a/f"]
    assert codes(await world.services.trash.restore(narrow, ids)) == ["ok", "not_found"]


# ── the cleaner ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_cleaner_takes_what_expired_and_its_bytes(world: World) -> None:
    await world.elements("one", "two")
    for element in ("one", "two"):
        for name in ("x", "y", "z"):
            (world.folder / "se" / element / name).write_bytes(b"0123456789")

    def spec(lfn: str, pfn: str) -> FileSpec:
        made = file(lfn, 10, "one", "two")
        for replica in made.replicas:
            replica.pfn = pfn
        return made

    await world.register(world.admin, spec("/vo/f", "x"), spec("/vo/d/e/g", "y"), spec("/vo/d/h", "z"))
    await world.link(world.admin, vo__d__l="/vo/f", vo__l="/vo/f")
    await world.services.provenance.add(
        world.admin, [__import__("lading.model.api", fromlist=["Ancestry"]).Ancestry("/vo/f", ["/vo/d/h"])]
    )
    await world.remove(world.admin, "/vo/d", "/vo/l", recursive=True, keep=0)
    await world.remove(world.admin, "/vo/f")
    await world.clean()
    assert await world.tree() == ["/vo/"]
    assert [world.objects(e) for e in ("one", "two")] == [["x"], ["x"]]
    assert list(await world.trash(world.admin)) == ["/vo/f"]
    assert await world.sql("select * from edge") == []
    assert len(await world.sql("select * from dir")) == 3
    assert len(await world.sql("select * from file")) == 4
    await world.check()
    assert await world.restore(world.admin, "/vo/f") == ["ok"]
    await world.remove(world.admin, "/vo/f", keep=0)
    await world.clean()
    assert [world.objects(e) for e in ("one", "two")] == [[], []]
    assert await world.sql("select * from deletion") == []
    actions = [r["action"] for r in await world.sql("select action from audit order by id desc limit 1")]
    assert actions == ["expire"]


async def test_a_large_tree_goes_in_batches_and_no_half_of_it_comes_back(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, *(file(f"/vo/d/{n % 7}/{n}", 1, "one") for n in range(2500)))
    await world.remove(world.admin, "/vo/d", recursive=True, keep=0)
    assert await world.services.cleaner.step()
    assert 0 < len(await world.sql("select 1 from file where kind = 0")) < 2500
    await world.check()
    assert await world.restore(world.admin, "/vo/d") == ["not_found"]
    await world.clean()
    assert len(await world.sql("select 1 from file")) == 3
    assert await world.sql("select * from dir_usage where dir_id <> 2 and (nfiles <> 0 or bytes <> 0)") == []


async def test_a_guid_is_free_again_when_its_file_is_gone_for_good(world: World) -> None:
    guid = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
    await world.register(world.admin, file("/vo/f", guid=guid))
    await world.remove(world.admin, "/vo/f", keep=0)
    assert await world.register(world.admin, file("/vo/g", guid=guid)) == ["conflict"]
    await world.clean()
    assert await world.register(world.admin, file("/vo/g", guid=guid)) == ["ok"]
