"""Users, groups and VOs."""

from __future__ import annotations

import pytest

from lading.model.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated
from lading.model.people import GroupSpec, UserChange, UserSpec, VOSpec

from .world import World, file


async def test_users(world: World) -> None:
    people = world.services.people
    await people.add_group(world.admin, GroupSpec("staff", "biomed", ["/biomed/Role=production"]))
    await people.add_group(world.admin, GroupSpec("vip"))
    spec = UserSpec("alice", ["staff"], ["/C=FR/O=CNRS/CN=Alice é"], "alice@example.org", "Alice")
    made = await people.add_user(world.admin, spec)
    assert (made.name, made.groups, made.dns, made.email, made.full_name, made.admin, made.disabled) == (
        "alice", ["staff"], ["/C=FR/O=CNRS/CN=Alice é"], "alice@example.org", "Alice", False, False,
    )  # fmt: skip
    changed = await people.change_user(world.admin, "alice", UserChange(groups=["vip", "staff"], email="a@example.org"))
    assert (changed.groups, changed.email, changed.full_name) == (["staff", "vip"], "a@example.org", "Alice"), (
        "what is absent stays"
    )
    assert await people.change_user(world.admin, "alice", UserChange()) == changed
    assert (await people.change_user(world.admin, "alice", UserChange(groups=[]))).groups == []
    await people.remove_principal(world.admin, "u", "alice")
    with pytest.raises(NotFound):
        await people.user(world.admin, "alice")


async def test_groups(world: World) -> None:
    people = world.services.people
    made = await people.add_group(world.admin, GroupSpec("staff", "biomed", ["/biomed"]))
    assert (made.name, made.vo, made.fqans, made.members) == ("staff", "biomed", ["/biomed"], 0)
    await world.people(alice=["staff"], bob=["staff"])
    assert (await people.groups(world.admin, names=["staff"])).items[0].members == 2
    await people.remove_principal(world.admin, "g", "staff")
    assert (await people.user(world.admin, "alice")).groups == []


async def test_what_is_wrong(world: World) -> None:
    people = world.services.people
    await world.people(alice=["staff"])
    for call, error in (
        (people.add_user(world.admin, UserSpec("alice")), Conflict),
        (people.add_user(world.admin, UserSpec("bob", ["none"])), NotFound),
        (people.add_group(world.admin, GroupSpec("staff")), Conflict),
        (people.change_user(world.admin, "none", UserChange()), NotFound),
        (people.change_user(world.admin, "alice", UserChange(groups=["none"])), NotFound),
        (people.change_user(world.admin, "admin", UserChange(admin=False)), Conflict),
        (people.change_user(world.admin, "admin", UserChange(disabled=True)), Conflict),
        (people.remove_principal(world.admin, "u", "none"), NotFound),
        (people.remove_principal(world.admin, "g", "alice"), NotFound),
        (people.remove_principal(world.admin, "u", "admin"), Conflict),
        (people.remove_principal(world.admin, "g", "admin"), Conflict),
        (people.set_vo(world.admin, VOSpec("vo", ["none"])), NotFound),
        (people.remove_vo(world.admin, "none"), NotFound),
        (people.add_user(world.admin, UserSpec("bob", email="a\0b")), InvalidRequest),
    ):
        with pytest.raises(error):
            await call
    for name in ("", "a b", "-rf", "../x", "a\n", "a\0", "é", "a/b", "x" * 129):
        with pytest.raises(InvalidRequest) as caught:
            await people.add_user(world.admin, UserSpec(name))
        assert caught.value.message.isprintable()
        with pytest.raises(InvalidRequest):
            await people.add_group(world.admin, GroupSpec(name))
    for name in ("", "a/b", "..", "a\0"):
        with pytest.raises(InvalidRequest):
            await people.set_vo(world.admin, VOSpec(name))
    assert [u.name for u in (await people.users(world.admin)).items] == ["admin", "alice"], "nothing half done"


async def test_only_administrators_change_people(world: World) -> None:
    people = world.services.people
    (alice,) = await world.people(alice=["staff"])
    await world.vo("vo", "alice")
    alice = await world.caller("alice")
    reader = await world.caller("admin", "read", "write")
    for who in (alice, reader):
        for call in (
            people.add_user(who, UserSpec("x")),
            people.change_user(who, "alice", UserChange(admin=True)),
            people.remove_principal(who, "u", "alice"),
            people.add_group(who, GroupSpec("x")),
            people.set_vo(who, VOSpec("vo", ["alice"])),
            people.remove_vo(who, "vo"),
        ):
            with pytest.raises(Forbidden):
                await call
    assert not (await people.user(world.admin, "alice")).admin


async def test_dns_and_addresses_are_shown_to_administrators_and_to_oneself(world: World) -> None:
    people = world.services.people
    for name in ("alice", "bob"):
        await people.add_user(world.admin, UserSpec(name, dns=[f"/CN={name}"], email=f"{name}@example.org"))
    alice = await world.caller("alice")
    assert {u.name: (u.dns, u.email) for u in (await people.users(alice)).items} == {
        "admin": ([], None), "alice": (["/CN=alice"], "alice@example.org"), "bob": ([], None),
    }  # fmt: skip
    assert (await people.user(world.admin, "bob")).dns == ["/CN=bob"]


async def test_lists_come_in_pages(world: World) -> None:
    people = world.services.people
    await world.people(**{f"u{n}": [f"g{n}"] for n in range(7)})
    for call, expected in (
        (people.users, ["admin", *(f"u{n}" for n in range(7))]),
        (people.groups, ["admin", *(f"g{n}" for n in range(7))]),
    ):
        found, cursor = [], None
        while True:
            page = await call(world.admin, cursor=cursor, limit=3)
            found += [i.name for i in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert found == expected


async def test_vos(world: World) -> None:
    people = world.services.people
    await world.people(ada=[], bert=[])
    await people.set_vo(world.admin, VOSpec("biomed", ["ada", "bert"], "life"))
    changed = await people.set_vo(world.admin, VOSpec("biomed", ["ada"]))
    assert (changed.admins, changed.description) == (["ada"], "")
    assert (await people.user(world.admin, "ada")).administers == ["biomed"]
    assert (await people.user(world.admin, "bert")).administers == []
    await world.register(world.admin, "/biomed/f")
    await people.remove_vo(world.admin, "biomed")
    assert await people.vos(world.admin) == []
    assert await world.looks(world.admin, "/biomed/f") == ["ok"], "files stay"


async def test_who_owns_something_stays_and_who_owns_nothing_any_more_goes(world: World) -> None:
    people = world.services.people
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.people(carl=["named"], dora=[])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.mkdir(alice, "/vo/d")
    await world.register(bob, "/vo/f")
    await world.set(world.admin, "/vo/f", acl=["user:carl:r--", "group:named:r--"])
    for kind, name in (("u", "alice"), ("u", "bob"), ("u", "carl"), ("g", "staff"), ("g", "guests"), ("g", "named")):
        with pytest.raises(Conflict):
            await people.remove_principal(world.admin, kind, name)
    await people.remove_principal(world.admin, "u", "dora")
    await world.remove(world.admin, "/vo/d", "/vo/f")
    with pytest.raises(Conflict):
        await people.remove_principal(world.admin, "u", "bob")
    await world.clean()
    await world.services.trash.purge(world.admin, [i.id for i in (await world.trash(world.admin)).values()])
    await world.clean()
    for kind, name in (("u", "alice"), ("u", "bob"), ("u", "carl"), ("g", "staff"), ("g", "guests"), ("g", "named")):
        await people.remove_principal(world.admin, kind, name)


async def test_changes_of_people_show_in_the_rights_of_the_next_call(world: World) -> None:
    people, access = world.services.people, world.services.access
    await world.people(alice=["staff"])
    await world.mkdir(world.admin, "/vo")
    await world.set(world.admin, "/vo", group="staff", mode=0o770)
    token = await access.system_token("alice", ["read", "write"], 3600, "t")
    from lading.model.principal import Caller

    async def now() -> str:
        return (await world.register(Caller(await access.authenticate(token)), file("/vo/f")))[0]

    assert await now() == "ok"
    await people.change_user(world.admin, "alice", UserChange(groups=[]))
    assert await now() == "forbidden"
    await people.set_vo(world.admin, VOSpec("vo", ["alice"]))
    assert await now() == "forbidden", "the token has no admin scope"
    await people.change_user(world.admin, "alice", UserChange(disabled=True))
    with pytest.raises(Unauthenticated):
        await now()
    await people.change_user(world.admin, "alice", UserChange(disabled=False, groups=["staff"]))
    assert await now() == "same"
