"""Modes, ownership and traversal, in every call: reads, writes, lists, bulk."""

from __future__ import annotations

import pytest

from lading.model.api import Ancestry, Names, Relatives, Resolve
from lading.model.errors import Forbidden, NotFound
from lading.model.principal import Caller
from lading.model.replica import ReplicaRef, ReplicaState

from .world import World, codes, file


async def test_a_new_name_belongs_to_its_maker_and_the_group_of_its_directory(world: World) -> None:
    alice, bob = await world.people(alice=["staff", "vip"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.set(world.admin, "/vo", group="vip")
    await world.register(alice, "/vo/a")
    await world.register(bob, "/vo/b")
    a, b = await world.stat(alice, "/vo/a"), await world.stat(alice, "/vo/b")
    assert (a.owner, a.group, a.mode) == ("alice", "vip", 0o664)
    assert (b.owner, b.group) == ("bob", "guests")


@pytest.mark.parametrize(
    ("mode", "may"),
    [
        (0o700, {"alice": "lwx"}),
        (0o750, {"alice": "lwx", "ann": "lx"}),
        (0o770, {"alice": "lwx", "ann": "lwx"}),
        (0o711, {"alice": "lwx", "ann": "x", "bob": "x"}),
        (0o755, {"alice": "lwx", "ann": "lx", "bob": "lx"}),
        (0o777, {"alice": "lwx", "ann": "lwx", "bob": "lwx"}),
        (0o733, {"alice": "lwx", "ann": "wx", "bob": "wx"}),
        (0o077, {"ann": "lwx", "bob": "lwx"}),  # the owner's bits are for the owner, though others have more
        (0o606, {}),  # nothing without x
    ],
)
async def test_owner_group_and_others(world: World, mode: int, may: dict[str, str]) -> None:
    alice, ann, bob = await world.people(alice=["staff"], ann=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d")
    await world.register(alice, "/vo/d/f")
    await world.set(alice, "/vo/d", mode=mode, group="staff")
    for name, who in (("alice", alice), ("ann", ann), ("bob", bob)):
        rights = may.get(name, "")
        expected = "ok" if "x" in rights else "forbidden"
        assert await world.looks(who, "/vo/d/f") == [expected]
        assert await world.looks(who, "/vo/d/none") == ["not_found" if "x" in rights else "forbidden"]
        assert (await attempt(world.ls(who, "/vo/d")) is None) == ("l" in rights), (name, rights)
        assert codes(await world.services.names.usage(who, Names(["/vo/d"]))) == [
            "ok" if "l" in rights else "forbidden"
        ]
        writes = "ok" if "w" in rights else "forbidden"
        assert await world.mkdir(who, f"/vo/d/of-{name}") == [writes]
        assert await world.register(who, f"/vo/d/f-{name}") == [writes]
        assert await world.link(who, **{f"vo__d__l-{name}": "/x"}) == [writes]
        assert await world.move(who, ("/vo/d/f", "/vo/d/g")) == [writes]
        if writes == "ok":
            assert await world.move(who, ("/vo/d/g", "/vo/d/f")) == ["ok"]


async def attempt(call: object) -> Exception | None:
    try:
        await call  # type: ignore[misc]  # any coroutine
    except Exception as error:
        return error
    return None


async def everything(world: World, who: Caller, lfn: str) -> dict[str, str]:
    """The code of every call that names `lfn` (a name that nobody could make in vain)."""
    services = world.services
    listing = await attempt(services.listing.page(who, lfn))
    return {
        "stat": (await world.looks(who, lfn))[0],
        "exists": codes(await services.names.exists(who, Names([lfn])))[0],
        "usage": codes(await services.names.usage(who, Names([lfn])))[0],
        "list": getattr(listing, "code", "ok"),
        "resolve": codes(await services.resolver.resolve(who, Resolve([lfn])))[0],
        "mkdir": (await world.mkdir(who, lfn))[0],
        "register": (await world.register(who, lfn))[0],
        "link": (await world.link(who, **{lfn[1:].replace("/", "__"): "/x"}))[0],
        "remove": (await world.remove(who, lfn, recursive=True))[0],
        "move away": (await world.move(who, (lfn, "/vo/open/away")))[0],
        "move to": (await world.move(who, ("/vo/open/mine", lfn)))[0],
        "chmod": (await world.set(who, lfn, mode=0o777))[0],
        "comment": (await world.set(who, lfn, comment="x"))[0],
        "add replica": (await world.add_replicas(who, ReplicaRef(lfn, "one")))[0],
        "set state": (await world.set_state(who, ReplicaRef(lfn, "one", state=ReplicaState.SUSPECT)))[0],
        "drop": (await world.drop(who, ReplicaRef(lfn, "one"), force=True))[0],
        "relatives": codes(await services.provenance.relatives(who, Relatives([lfn])))[0],
        "ancestors": codes(await services.provenance.add(who, [Ancestry("/vo/open/mine", [lfn])]))[0],
    }


async def test_below_a_closed_directory_all_is_forbidden_whether_it_is_there_or_not(world: World) -> None:
    (bob,) = await world.people(bob=["guests"])
    await world.elements("one")
    await world.mkdir(world.admin, "/vo/closed/sub/deep")
    await world.mkdir(world.admin, "/vo/open", mode=0o777)
    await world.register(bob, "/vo/open/mine")
    await world.register(world.admin, file("/vo/closed/f", 1, "one"), file("/vo/closed/sub/f", 1, "one"))
    await world.link(world.admin, vo__closed__link="/vo/open", vo__open__into="/vo/closed")
    await world.set(world.admin, "/vo/closed/sub", mode=0o777)
    await world.set(world.admin, "/vo/closed", mode=0o700)
    there = ["f", "sub", "sub/f", "sub/deep", "link", "link/mine"]
    missing = ["none", "none/deep", "sub/none", "sub/none/deep", "f/x", "link/none"]
    before = await world.tree()
    for top in ("/vo/closed", "/vo/open/into"):
        for name in (*there, *missing):
            found = await everything(world, bob, f"{top}/{name}")
            assert set(found.values()) == {"forbidden"}, (name, {k: v for k, v in found.items() if v != "forbidden"})
    assert await world.tree() == before


async def test_reading_needs_r_on_the_file_and_changing_it_w(world: World) -> None:
    alice, ann, bob = await world.people(alice=["staff"], ann=["staff"], bob=["guests"])
    await world.elements("one", "two")
    await world.declare(a="int")
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, file("/vo/f", 1, "one", mode=0o640))
    await world.set(alice, "/vo/f", group="staff")
    reads = {
        who.principal.name: codes(await world.services.resolver.resolve(who, Resolve(["/vo/f"])))
        for who in (alice, ann, bob)
    }
    assert reads == {"alice": ["ok"], "ann": ["ok"], "bob": ["forbidden"]}
    for who, expected in ((ann, "forbidden"), (bob, "forbidden"), (alice, "ok")):
        assert await world.add_replicas(who, ReplicaRef("/vo/f", "two")) == [expected]
        assert await world.set_state(who, ReplicaRef("/vo/f", "one", state=ReplicaState.LOST)) == [expected]
        assert await world.drop(who, ReplicaRef("/vo/f", "one")) == [expected]
        assert await world.set(who, "/vo/f", comment="c") == [expected]
        assert await world.describe(who, {"/vo/f": {"a": 1}}) == [expected]
        assert codes(await world.services.provenance.add(who, [Ancestry("/vo/f", [])])) == [expected]


async def test_whoever_may_read_a_file_may_call_a_copy_suspect(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.elements("one")
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, file("/vo/f", 1, "one", mode=0o644), file("/vo/secret", 1, "one", mode=0o600))
    suspect = ReplicaState.SUSPECT
    assert await world.set_state(
        bob, ReplicaRef("/vo/f", "one", state=suspect), ReplicaRef("/vo/secret", "one", state=suspect)
    ) == [
        "ok",
        "forbidden",
    ]
    assert await world.set_state(bob, ReplicaRef("/vo/f", "one")) == ["forbidden"]


async def test_only_the_owner_changes_rights_and_only_administrators_give_away(world: World) -> None:
    alice, ann = await world.people(alice=["staff", "vip"], ann=["staff"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, file("/vo/f", mode=0o666))
    for change in ({"mode": 0o600}, {"acl": ["user:ann:rwx"]}, {"group": "staff"}):
        assert await world.set(ann, "/vo/f", **change) == ["forbidden"]
    assert await world.set(ann, "/vo/f", comment="group may write") == ["ok"]
    assert await world.set(alice, "/vo/f", group="vip") == ["ok"]
    assert await world.set(alice, "/vo/f", owner="ann") == ["forbidden"]
    assert await world.set(alice, "/vo/f", owner="alice") == ["ok"]
    await world.people(eve=["others"])
    assert await world.set(alice, "/vo/f", group="others") == ["forbidden"]
    assert await world.set(world.admin, "/vo/f", owner="ann", group="others") == ["ok"]
    entry = await world.stat(alice, "/vo/f")
    assert (entry.owner, entry.group) == ("ann", "others")


async def test_in_a_sticky_directory_only_owners_take_away(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["staff"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/tmp")
    await world.set(alice, "/vo/tmp", mode=0o1777)
    await world.register(alice, "/vo/tmp/a")
    await world.register(bob, "/vo/tmp/b", "/vo/tmp/b2")
    assert await world.move(bob, ("/vo/tmp/a", "/vo/tmp/x"), ("/vo/tmp/b", "/vo/tmp/y")) == ["forbidden", "ok"]
    assert await world.remove(bob, "/vo/tmp/a", "/vo/tmp/y") == ["forbidden", "ok"]
    assert await world.remove(bob, "/vo/tmp", recursive=True) == ["forbidden"], "it holds what is not his"
    assert await world.remove(alice, "/vo/tmp/b2", "/vo/tmp/a") == ["ok", "ok"], "the directory's owner"


async def test_removing_a_tree_needs_the_right_to_write_everywhere_in_it(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d", mode=0o777)
    await world.mkdir(bob, "/vo/d/empty", "/vo/d/full", mode=0o755)
    await world.register(bob, "/vo/d/full/f")
    assert await world.remove(alice, "/vo/d", recursive=True) == ["forbidden"]
    assert await world.remove(alice, "/vo/d/full", recursive=True) == ["forbidden"]
    assert await world.remove(alice, "/vo/d/empty") == ["ok"], "an empty directory is a mere name in hers"
    assert await world.remove(bob, "/vo/d/full", recursive=True) == ["ok"]
    assert await world.remove(alice, "/vo/d", recursive=True) == ["ok"]


async def test_administrators_of_a_vo_rule_it_and_nothing_else(world: World) -> None:
    ada, alice = await world.people(ada=["staff"], alice=["staff"])
    await world.vo("one", "ada")
    await world.vo("two")
    ada = await world.caller("ada")
    for top in ("/one", "/two"):
        await world.mkdir(world.admin, f"{top}/alice")
        await world.set(world.admin, f"{top}/alice", owner="alice", mode=0o700)
        await world.register(alice, file(f"{top}/alice/f", mode=0o600))
    assert await world.looks(ada, "/one/alice/f", "/two/alice/f") == ["ok", "forbidden"]
    assert await world.ls(ada, "/one/alice") == ["f"]
    with pytest.raises(Forbidden):
        await world.ls(ada, "/two/alice")
    assert codes(await world.services.resolver.resolve(ada, Resolve(["/one/alice/f", "/two/alice/f"]))) == [
        "ok",
        "forbidden",
    ]
    assert await world.register(ada, "/one/alice/g", "/two/alice/g") == ["ok", "forbidden"]
    assert await world.set(ada, "/one/alice/f", "/two/alice/f", owner="ada") == ["ok", "forbidden"]
    assert await world.move(ada, ("/one/alice/g", "/two/g"), ("/one/alice/g", "/one/g")) == ["forbidden", "ok"]
    assert await world.remove(ada, "/two/alice/f", "/one/alice") == ["forbidden", "conflict"]
    assert await world.remove(ada, "/one/alice", recursive=True) == ["ok"]
    assert await world.remove(ada, "/one", recursive=True) == ["forbidden"], "the root is not theirs"
    assert await world.mkdir(ada, "/three") == ["forbidden"]
    assert sorted(await world.trash(ada)) == ["/one/alice"]
    assert await world.remove(alice, "/two/alice/f") == ["ok"]
    assert await world.restore(ada, "/two/alice/f") == ["not_found"]


async def test_an_administrator_of_a_vo_makes_its_top_directory(world: World) -> None:
    await world.people(ada=["staff"])
    await world.services.people.set_vo(
        world.admin, __import__("lading.model.people", fromlist=["VOSpec"]).VOSpec("new", ["ada"])
    )
    ada = await world.caller("ada")
    assert await world.mkdir(ada, "/new/deep", "/other") == ["ok", "forbidden"]
    assert (await world.stat(ada, "/new")).owner == "ada"


async def test_the_rights_of_a_tree_follow_every_change_above_it(world: World) -> None:
    """chmod, chown, move: each reaches all below, at once."""
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/a/b/c", "/vo/shut")
    await world.register(alice, file("/vo/a/b/c/f", mode=0o644))
    assert await world.looks(bob, "/vo/a/b/c/f") == ["ok"]
    for mode, expected in ((0o700, "forbidden"), (0o711, "ok"), (0o766, "forbidden"), (0o755, "ok")):
        await world.set(alice, "/vo/a", mode=mode)
        assert await world.looks(bob, "/vo/a/b/c/f") == [expected]
    await world.set(alice, "/vo/shut", mode=0o700)
    await world.move(alice, ("/vo/a/b", "/vo/shut/b"))
    assert await world.looks(bob, "/vo/shut/b/c/f") == ["forbidden"]
    await world.move(alice, ("/vo/shut/b", "/vo/a/b"))
    assert await world.looks(bob, "/vo/a/b/c/f") == ["ok"]
    await world.set(world.admin, "/vo/a", owner="bob", mode=0o700)
    assert await world.looks(bob, "/vo/a/b/c/f") == ["ok"]
    assert await world.looks(alice, "/vo/a/b/c/f") == ["forbidden"]
    await world.set(world.admin, "/", mode=0o700)
    assert await world.looks(bob, "/vo/a/b/c/f", "/none", "/") == ["forbidden", "forbidden", "ok"]
    await world.set(world.admin, "/", mode=0o755)
    assert await world.looks(bob, "/vo/a/b/c/f", "/none") == ["ok", "not_found"]


async def test_a_tree_that_comes_back_from_the_trash_has_the_rights_of_where_it_comes_to(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/a/b/c")
    await world.remove(alice, "/vo/a/b", recursive=True)
    await world.set(alice, "/vo/a", mode=0o700)
    assert await world.restore(alice, "/vo/a/b") == ["ok"]
    assert await world.looks(bob, "/vo/a/b/c") == ["forbidden"]
    assert await world.looks(alice, "/vo/a/b/c") == ["ok"]


async def test_several_directories_of_one_branch_in_one_call(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/a/b/c")
    assert await world.set(alice, "/vo/a", "/vo/a/b", "/vo/a/b/c", mode=0o700) == ["ok"] * 3
    await world.check()
    assert await world.looks(bob, "/vo/a", "/vo/a/b") == ["ok", "forbidden"]
    assert await world.set(alice, "/vo/a/b/c", "/vo/a/b", "/vo/a", mode=0o755) == ["ok"] * 3
    assert await world.looks(bob, "/vo/a/b/c/none") == ["not_found"]


async def test_a_recursive_change_that_fails_changes_nothing(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d/sub", "/vo/e", mode=0o777)
    await world.register(bob, "/vo/d/sub/his")
    before = await world.sql("select * from file order by id"), await world.sql("select * from dir order by id")
    assert await world.set(alice, "/vo/d", mode=0o700, recursive=True) == ["forbidden"]
    assert (
        await world.sql("select * from file order by id"),
        await world.sql("select * from dir order by id"),
    ) == before
    assert await world.set(alice, "/vo/d", "/vo/e", mode=0o700, recursive=True) == ["forbidden", "ok"]
    assert await world.looks(bob, "/vo/d/sub/his", "/vo/e/x") == ["ok", "forbidden"]


async def test_the_memory_of_rights_is_not_that_of_another(world: World) -> None:
    """Two callers, the same directories, asked in turns; and rights that a rolled-back change had only thought of."""
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/a")
    await world.set(alice, "/vo/a", mode=0o700)
    for _ in range(3):
        assert await world.looks(bob, "/vo/a/x") == ["forbidden"]
        assert await world.looks(alice, "/vo/a/x") == ["not_found"]
    from lading.model.api import SetAttributes

    await world.services.attributes.set(alice, SetAttributes(["/vo/a"], mode=0o755, dry_run=True))
    assert await world.looks(bob, "/vo/a/x") == ["forbidden"]
    await world.services.attributes.set(alice, SetAttributes(["/vo/a"], mode=0o755))
    with pytest.raises(NotFound):
        await world.stat(bob, "/vo/a/x")
