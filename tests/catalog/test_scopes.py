"""Tokens that may do less than their user: for reading alone, or below one directory."""

from __future__ import annotations

import pytest

from lading.model.api import Ancestry, Link, Names, NewUpload, Relatives, Resolve
from lading.model.errors import CatalogError, Forbidden
from lading.model.principal import Caller
from lading.model.replica import ReplicaRef, ReplicaState

from .world import World, codes, file


@pytest.fixture(autouse=True)
async def _people(world: World) -> None:
    """alice owns /vo/a and /vo/b, with a file and an empty directory in each, and a link from either to the other."""
    await world.people(alice=["staff"])
    alice = await world.caller("alice")
    await world.elements("one", "two")
    await world.mkdir(world.admin, "/vo", mode=0o777)
    for top, other in (("a", "b"), ("b", "a")):
        await world.register(alice, file(f"/vo/{top}/f", 1, "one"), file(f"/vo/{top}/g", 1, "one"))
        await world.mkdir(alice, f"/vo/{top}/d")
        await world.link(alice, **{f"vo__{top}__to_{other}": f"/vo/{other}", f"vo__{top}__here": "d"})


async def reads(world: World, who: Caller, top: str) -> set[str]:
    services = world.services
    found = set(await world.looks(who, f"{top}/f", f"{top}/d", f"{top}/here"))
    found |= {c if c != "not_found" else "ok" for c in await world.looks(who, f"{top}/none", f"{top}/none/deep")}
    found |= set(codes(await services.names.exists(who, Names([f"{top}/f", f"{top}/none"]))))
    found |= set(codes(await services.names.usage(who, Names([f"{top}/d", f"{top}/f"]))))
    found |= set(codes(await services.resolver.resolve(who, Resolve([f"{top}/f"]))))
    found |= set(codes(await services.provenance.relatives(who, Relatives([f"{top}/f"]))))
    try:
        await services.listing.page(who, f"{top}/d")
        await services.listing.page(who, f"{top}/here")
        await services.trash.page(who, under=top)
    except CatalogError as error:
        found.add(error.code)
    return found


async def writes(world: World, who: Caller, top: str, n: str) -> set[str]:
    services = world.services
    suspect = ReplicaState.LOST
    found = set(await world.mkdir(who, f"{top}/d/{n}", f"{top}/here/{n}/x"))
    found |= set(await world.register(who, f"{top}/d/f{n}", f"{top}/d/{n}/y/f"))
    found |= set(codes(await services.names.make_links(who, [Link(f"{top}/d/l{n}", "f")])))
    found |= set(await world.move(who, (f"{top}/g", f"{top}/d/g"), (f"{top}/d/f{n}", f"{top}/d/{n}")))
    if found == {"ok"}:
        found |= set(await world.move(who, (f"{top}/d/g", f"{top}/g")))
    found |= set(await world.set(who, f"{top}/f", mode=0o600))
    found |= set(await world.set(who, f"{top}/f", comment=n))
    found |= set(await world.add_replicas(who, ReplicaRef(f"{top}/f", "two")))
    found |= set(await world.set_state(who, ReplicaRef(f"{top}/f", "two", state=suspect)))
    found |= set(await world.drop(who, ReplicaRef(f"{top}/f", "two"), force=True))
    found |= set(codes(await services.provenance.add(who, [Ancestry(f"{top}/f", [f"{top}/g"])])))
    found |= set(await world.remove(who, f"{top}/d/{n}", recursive=True))
    try:
        ticket = await services.data._uploads.begin(who, NewUpload(f"{top}/d/put{n}", 3, se="one"))
        await services.data._uploads.abandon(ticket)
    except CatalogError as error:
        found.add(error.code)
    return found


@pytest.mark.parametrize(
    ("scopes", "may_read", "may_write"),
    [
        (("read", "write"), "ab", "ab"),
        (("read",), "ab", ""),
        (("read", "write:/vo/b"), "ab", "b"),
        (("read:/vo/a", "write:/vo/a"), "a", "a"),
        (("read:/vo/a",), "a", ""),
        (("admin",), "", ""),
        ((), "", ""),
    ],
)
async def test_a_token_does_what_its_scopes_say(
    world: World, scopes: tuple[str, ...], may_read: str, may_write: str
) -> None:
    async with world.services.database.read() as connection:
        ids = await world.services.access.ids(connection, "u", ["alice"])
        who = Caller(await world.services.access.principal(connection, ids["alice"], scopes))
    for top in "ab":
        assert await reads(world, who, f"/vo/{top}") == {"ok" if top in may_read else "forbidden"}, top
        if top in may_write:
            assert await writes(world, who, f"/vo/{top}", top) == {"ok"}, top
        else:
            before = await world.tree()
            found = await writes(world, who, f"/vo/{top}", top) - {"not_found"}
            assert found == {"forbidden"}, top
            assert await world.tree() == before


async def test_a_token_for_a_directory_says_nothing_of_what_is_above(world: World) -> None:
    who = await world.caller("alice", "read:/vo/a", "write:/vo/a")
    assert await world.looks(who, "/", "/vo", "/vo/a", "/vo/ab", "/none") == [
        "forbidden",
        "forbidden",
        "ok",
        "forbidden",
        "forbidden",
    ]
    for name in ("/", "/vo"):
        with pytest.raises(Forbidden):
            await world.ls(who, name)
        assert codes(await world.services.names.usage(who, Names([name]))) == ["forbidden"]


async def test_links_lead_nowhere_outside_the_scope(world: World) -> None:
    who = await world.caller("alice", "read:/vo/a", "write:/vo/a")
    assert await world.looks(who, "/vo/a/to_b", "/vo/a/to_b/f", "/vo/a/to_b/none", "/vo/b/to_a/f") == ["forbidden"] * 4
    assert codes(await world.services.names.stat(who, Names(["/vo/a/to_b"], follow=False))) == ["ok"]
    assert await world.register(who, "/vo/a/to_b/x") == ["forbidden"]
    assert await world.mkdir(who, "/vo/a/to_b/x", "/vo/a/to_b/x/y") == ["forbidden", "forbidden"]
    assert await world.move(who, ("/vo/a/f", "/vo/a/to_b/f2"), ("/vo/a/to_b/f", "/vo/a/f2")) == [
        "forbidden",
        "forbidden",
    ]
    assert await world.remove(who, "/vo/a/to_b/f") == ["forbidden"]


async def test_relatives_outside_the_scope_are_left_out(world: World) -> None:
    alice = await world.caller("alice")
    await world.services.provenance.add(alice, [Ancestry("/vo/a/f", ["/vo/a/g", "/vo/b/g"])])
    who = await world.caller("alice", "read:/vo/a")
    for caller, expected in ((alice, ["/vo/a/g", "/vo/b/g"]), (who, ["/vo/a/g"])):
        found = (await world.services.provenance.relatives(caller, Relatives(["/vo/a/f"]))).outcomes[0].value
        assert found is not None
        assert sorted(r.lfn for r in found) == expected


async def test_the_admin_scope_may_be_narrowed_too(world: World) -> None:
    """An administrator of the server with a token for one directory rules there, and nowhere else."""
    who = await world.caller("admin", "read", "write", "admin:/vo/a")
    await world.set(world.admin, "/vo/a", "/vo/b", mode=0o700, recursive=True)
    assert await world.looks(who, "/vo/a/f", "/vo/b/f") == ["ok", "forbidden"]
    assert await world.set(who, "/vo/a/f", "/vo/b/f", owner="admin") == ["ok", "forbidden"]
    assert await world.register(who, "/vo/a/new", "/vo/b/new") == ["ok", "forbidden"]
    with pytest.raises(Forbidden):
        await world.services.people.users(who) and await world.services.people.remove_vo(who, "x")
