"""chmod, chown, ACLs, comments, status."""

from __future__ import annotations

import pytest

from lading.model.api import SetAttributes
from lading.model.errors import InvalidRequest, NotFound
from lading.model.file import FileStatus

from .world import World, file


async def test_what_is_absent_stays(world: World) -> None:
    await world.declare(a="int")
    await world.people(alice=["staff"])
    await world.register(world.admin, file("/vo/f", 3, mode=0o640, comment="c", metadata={"a": 1}, ctime=5, mtime=6))
    before = await world.stat(world.admin, "/vo/f")
    for change, field, value in (
        ({"mode": 0o600}, "mode", 0o600),
        ({"owner": "alice"}, "owner", "alice"),
        ({"group": "staff"}, "group", "staff"),
        ({"mode": 0o700, "acl": ["user:alice:r--"]}, "acl", ["mask::r--", "user:alice:r--"]),
        ({"comment": "d"}, "comment", "d"),
        ({"status": FileStatus.LOST}, "status", FileStatus.LOST),
        ({"comment": ""}, "comment", None),
        ({"acl": []}, "acl", []),
    ):
        assert await world.set(world.admin, "/vo/f", **change) == ["ok"]
        assert await world.set(world.admin, "/vo/f", **change) == ["ok"], "safe to repeat"
        before.mode = change.get("mode", before.mode)
        setattr(before, field, value)
        assert await world.stat(world.admin, "/vo/f") == before, change


async def test_whoever_is_named_must_exist(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    for change in (
        {"owner": "none"},
        {"group": "none"},
        {"acl": ["user:none:rwx"]},
        {"acl_set": ["group:none:rwx"]},
        {"acl_unset": ["user:none:"]},
    ):
        with pytest.raises(NotFound):
            await world.set(world.admin, "/vo/f", **change)
    for bad in (
        {"acl": ["user::rwx"]},
        {"acl_set": ["nonsense"]},
        {"comment": "a\0b"},
        {"owner": "a\0b"},
    ):
        with pytest.raises(InvalidRequest):
            await world.set(world.admin, "/vo/f", **bad)


async def test_entries_are_replaced_added_and_taken_away(world: World) -> None:
    await world.people(alice=["staff"], bob=["vip"])
    await world.mkdir(world.admin, "/vo/d")
    await world.set(world.admin, "/vo/d", mode=0o750)
    shown = lambda: world.stat(world.admin, "/vo/d")  # noqa: E731  (a name for a look)
    await world.set(world.admin, "/vo/d", acl=["user:alice:rwx", "group:vip:r-x", "default:user:bob:r--"])
    assert (await shown()).acl[:3] == ["group:vip:r-x", "mask::rwx", "user:alice:rwx"]
    await world.set(world.admin, "/vo/d", acl_set=["user:bob:r--"])
    assert (await shown()).acl[:4] == ["group:vip:r-x", "mask::rwx", "user:alice:rwx", "user:bob:r--"], "nobody loses"
    await world.set(world.admin, "/vo/d", acl_set=["user:bob:r--", "mask::r-x"], acl_unset=["group:vip:"])
    assert (await shown()).acl[:3] == ["mask::r-x", "user:alice:rwx", "user:bob:r--"]
    await world.set(world.admin, "/vo/d", acl_unset=["user:alice", "user:bob:"])
    assert [e for e in (await shown()).acl if not e.startswith("default:")] == [], "a mask alone masks nothing"
    await world.set(
        world.admin,
        "/vo/d",
        acl_unset=["default:user:bob:", "default:mask::", "default:user::", "default:group::", "default:other::"],
    )
    assert (await shown()).acl == []


async def test_a_default_has_its_own_entries_from_the_mode_as_setfacl_gives_them(world: World) -> None:
    await world.people(alice=["staff"])
    await world.mkdir(world.admin, "/vo/d", mode=0o751)
    await world.set(world.admin, "/vo/d", acl_set=["default:user:alice:rwx"])
    assert (await world.stat(world.admin, "/vo/d")).acl == [
        "default:group::r-x", "default:mask::rwx", "default:other::--x", "default:user::rwx", "default:user:alice:rwx",
    ]  # fmt: skip


async def test_files_hold_no_defaults(world: World) -> None:
    await world.people(alice=["staff"])
    await world.register(world.admin, "/vo/f")
    await world.set(world.admin, "/vo/f", acl=["user:alice:r--", "default:user:alice:rwx"])
    assert (await world.stat(world.admin, "/vo/f")).acl == ["mask::rw-", "user:alice:r--"]


async def test_named_users_and_groups_within_the_mask(world: World) -> None:
    await world.people(alice=["staff"], bob=["guests"], vera=["vip"])
    alice, bob, vera = [await world.caller(n) for n in ("alice", "bob", "vera")]
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d")
    await world.set(alice, "/vo/d", mode=0o700)
    assert await world.register(bob, "/vo/d/x") == ["forbidden"]
    await world.set(alice, "/vo/d", acl=["user:bob:rwx", "group:vip:r-x"])
    assert await world.register(bob, "/vo/d/x") == ["ok"]
    assert await world.register(vera, "/vo/d/y") == ["forbidden"]
    assert await world.ls(vera, "/vo/d") == ["x"]
    await world.set(alice, "/vo/d", acl_set=["mask::--x"])
    assert await world.register(bob, "/vo/d/y") == ["forbidden"]
    assert await world.looks(bob, "/vo/d/x") == ["ok"]
    await world.set(alice, "/vo/d", mode=0o777, acl=["user:bob:---"])
    assert await world.looks(bob, "/vo/d/x") == ["forbidden"], "a named user with nothing, though others have all"
    assert await world.looks(vera, "/vo/d/x") == ["ok"]


async def test_children_inherit_defaults(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d")
    await world.set(
        alice,
        "/vo/d",
        mode=0o770,
        acl=["user:bob:r-x", "default:user:bob:r-x", "default:user::rwx", "default:group::r-x", "default:other::---"],
    )
    await world.register(alice, "/vo/d/f", file("/vo/d/private", mode=0o600))
    await world.mkdir(alice, "/vo/d/sub/deep")
    await world.register(alice, "/vo/d/sub/deep/f")
    f, sub = await world.stat(alice, "/vo/d/f"), await world.stat(alice, "/vo/d/sub")
    assert (f.mode, f.acl) == (0o650, ["mask::r--", "user:bob:r-x"]), "the mask cut down to the mode 0664 of a new file"
    assert sub.acl == [
        "mask::r-x", "user:bob:r-x", "default:group::r-x", "default:mask::r-x", "default:other::---", "default:user::rwx", "default:user:bob:r-x",
    ]  # fmt: skip
    assert await world.looks(bob, "/vo/d/sub/deep/f") == ["ok"]
    assert await world.ls(bob, "/vo/d/sub/deep") == ["f"]
    assert await world.register(bob, "/vo/d/sub/x") == ["forbidden"]
    assert (await world.resolve(bob, "/vo/d/f")).size == 10
    from lading.model.errors import Forbidden

    with pytest.raises(Forbidden):
        await world.resolve(bob, "/vo/d/private")
    (await world.move(alice, ("/vo/d/f", "/vo/f")), await world.set(alice, "/vo/d", acl=[]))
    assert (await world.stat(alice, "/vo/f")).acl == f.acl, "what was inherited stays"
    assert await world.looks(bob, "/vo/d/sub/deep/f") == ["forbidden"]


async def test_recursion_reaches_all_below(world: World) -> None:
    await world.people(alice=["staff"])
    await world.register(world.admin, *(f"/vo/d/{n % 30}/{n % 5}/{n}" for n in range(600)))
    await world.link(world.admin, vo__d__l="/vo/e")
    await world.register(world.admin, "/vo/e/x")
    assert await world.set(
        world.admin, "/vo/d", recursive=True, owner="alice", group="staff", mode=0o750, acl_set=["user:alice:r-x"]
    ) == ["ok"]
    rows = await world.sql("""select distinct p.name, f.mode, a.entries, f.kind from file f join principal p on p.id = f.owner_id
        left join acl a on a.id = f.acl_id join dir d on d.id = f.dir_id where d.path like '/vo/d%' order by kind""")
    assert {(r["name"], r["mode"]) for r in rows} == {("alice", 0o750)}
    assert (await world.stat(world.admin, "/vo/e/x")).owner == "admin", "links are not followed into"
    await world.set(world.admin, "/vo/d", recursive=True, comment="all")
    assert (await world.stat(world.admin, "/vo/d/7/2/7")).comment == "all"


async def test_each_item_has_its_own_outcome_and_directories_among_files(world: World) -> None:
    await world.register(world.admin, "/vo/d/f", "/vo/g")
    assert await world.set(world.admin, "/vo/g", "bad", "/vo/none", "/vo/d", "/vo/d/f", "/vo/g", mode=0o700) == [
        "ok", "invalid_request", "not_found", "ok", "ok", "ok",
    ]  # fmt: skip
    assert {(await world.stat(world.admin, n)).mode for n in ("/vo/g", "/vo/d", "/vo/d/f")} == {0o700}


async def test_ten_thousand_files_in_one_call(world: World) -> None:
    names = [f"/vo/{n % 10}/{n}" for n in range(10_000)]
    await world.register(world.admin, *names)
    assert await world.set(world.admin, *names, mode=0o600, comment="k") == ["ok"] * 10_000
    assert len(await world.sql("select 1 from file where mode = 384 and comment = $1", "k")) == 10_000


async def test_the_root(world: World) -> None:
    (alice,) = await world.people(alice=["staff"])
    await world.mkdir(world.admin, "/vo/d/e", "/vo2")
    assert await world.set(alice, "/", mode=0o777) == ["forbidden"]
    assert await world.set(world.admin, "/", mode=0o777, acl=["user:alice:rwx"]) == ["ok"]
    await world.check()
    assert await world.mkdir(alice, "/alice") == ["ok"]
    outcomes = await world.services.attributes.set(world.admin, SetAttributes(["/"], mode=0o700, recursive=True))
    assert outcomes.failed == 0
    await world.check()
    assert {r["mode"] for r in await world.sql("select mode from file where dir_id <> 0 or id = 1")} == {0o700}
