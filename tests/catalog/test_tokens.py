"""Tokens: hashed at rest, with scopes and an end; withdrawn ones stop working everywhere at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from catalog.db import now
from doors import app
from lading.model.errors import CatalogError, Forbidden, InvalidRequest, NotFound, Unauthenticated
from lading.model.people import TokenSpec, UserChange
from lading.model.principal import Caller

from .world import World


async def test_a_token_is_its_user_with_its_scopes(world: World) -> None:
    (alice,) = await world.people(alice=["staff"])
    access = world.services.access
    made = await access.make_token(alice, TokenSpec(scopes=["read", "write:/vo/a/"], seconds=60, name="laptop"))
    assert made.token.startswith("ldg_")
    assert len(made.token) >= 40
    assert (made.user, made.scopes, made.name, made.expires - made.created) == (
        "alice",
        ["read", "write:/vo/a"],
        "laptop",
        60_000_000,
    )
    who = await access.authenticate(made.token)
    assert (who.name, who.scopes, who.id) == ("alice", (("read", "/"), ("write", "/vo/a")), alice.principal.id)
    me = await access.me(Caller(who))
    assert (me.user, me.groups, me.admin, me.scopes) == ("alice", ["staff"], False, ["read", "write:/vo/a"])


async def test_only_a_hash_is_kept(world: World) -> None:
    access = world.services.access
    made = await access.make_token(world.admin, TokenSpec(name="n"))
    rows = await world.sql("select * from token")
    assert [r["hash"] for r in rows] == [hashlib.sha256(made.token.encode()).digest()]
    from .invariants import dump

    everything = "\n".join(line for lines in (await dump(world.dsn)).values() for line in lines)
    assert made.token not in everything
    assert made.token[4:] not in everything
    assert all(made.token not in repr(t) for t in await access.tokens(world.admin))
    keyed = Caller(world.admin.principal, idempotency=("k", b"f"))
    second = await access.make_token(keyed, TokenSpec())
    assert await world.sql("select 1 from idempotency") == [], "its answer would hold the secret"
    assert second.token != made.token


async def test_what_is_no_token_is_refused_without_repeating_it(world: World) -> None:
    made = await world.services.access.make_token(world.admin, TokenSpec())
    for text in (
        "",
        "x",
        "ldg_",
        made.token[:-1],
        made.token + "x",
        made.token.upper(),
        made.token.removeprefix("ldg_"),
        "ldg_\0",
        "ldg_\ud800",
        "ldg_" + "é" * 40,
    ):
        with pytest.raises(Unauthenticated) as caught:
            await world.services.access.authenticate(text)
        assert text not in caught.value.message or len(text) < 5


async def test_an_expired_token_stops_working(world: World) -> None:
    access = world.services.access
    made = await access.make_token(world.admin, TokenSpec(seconds=60))
    await access.authenticate(made.token)
    await world.sql("update token set expires = $1", now() - 1)
    access.forget()
    with pytest.raises(Unauthenticated):
        await access.authenticate(made.token)
    short = await access.make_token(world.admin, TokenSpec(seconds=1))
    await access.authenticate(short.token)
    for digest, (principal, expires, checked) in list(access._known.items()):
        access._known[digest] = (principal, min(expires, now() - 1), checked)  # its second is over
    await world.sql("update token set expires = $1", now() - 1)
    with pytest.raises(Unauthenticated):
        await access.authenticate(short.token)


async def test_nobody_makes_more_of_a_token_than_they_have(world: World) -> None:
    access = world.services.access
    await world.people(alice=["staff"], bob=[])
    reader = await world.caller("alice", "read")
    narrow = await world.caller("alice", "read", "write:/vo/a")
    await access.make_token(reader, TokenSpec(scopes=["read:/vo"]))
    await access.make_token(narrow, TokenSpec(scopes=["write:/vo/a/b"]))
    for who, scopes in (
        (reader, ["write"]),
        (reader, ["read", "write"]),
        (narrow, ["write"]),
        (narrow, ["write:/vo/ab"]),
        (narrow, ["admin"]),
    ):
        with pytest.raises(Forbidden):
            await access.make_token(who, TokenSpec(scopes=scopes))
    with pytest.raises(Forbidden):
        await access.make_token(reader, TokenSpec("bob", ["read"]))
    with pytest.raises(Forbidden):
        await access.make_token(await world.caller("admin", "read", "write"), TokenSpec("bob", ["read"]))
    assert (await access.make_token(world.admin, TokenSpec("bob", ["read", "write", "admin"]))).user == "bob"
    with pytest.raises(NotFound):
        await access.make_token(world.admin, TokenSpec("none"))


@pytest.mark.parametrize(
    "spec",
    [TokenSpec(scopes=[]), TokenSpec(scopes=["all"]), TokenSpec(scopes=["read:"]), TokenSpec(scopes=["read:vo"]), TokenSpec(scopes=["read:/vo/../x"]),
     TokenSpec(scopes=["READ"]), TokenSpec(seconds=0), TokenSpec(seconds=-1), TokenSpec(seconds=11 * 365 * 86400), TokenSpec(name="a\0b")],
)  # fmt: skip
async def test_wishes_that_make_no_token(world: World, spec: TokenSpec) -> None:
    with pytest.raises(InvalidRequest):
        await world.services.access.make_token(world.admin, spec)
    assert await world.sql("select 1 from token") == []


async def test_everybody_sees_and_withdraws_their_own(world: World) -> None:
    access = world.services.access
    alice, bob = await world.people(alice=[], bob=[])
    hers = await access.make_token(alice, TokenSpec(name="hers"))
    his = await access.make_token(bob, TokenSpec(name="his"))
    assert [t.name for t in await access.tokens(alice)] == ["hers"]
    assert [t.name for t in await access.tokens(world.admin)] == ["hers", "his"]
    assert [t.name for t in await access.tokens(world.admin, "bob")] == ["his"]
    with pytest.raises(Forbidden):
        await access.tokens(alice, "bob")
    with pytest.raises(NotFound):
        await access.remove_token(alice, his.id)
    with pytest.raises(InvalidRequest):
        await access.remove_token(alice, "nonsense")
    await access.remove_token(alice, hers.id)
    await access.remove_token(world.admin, his.id)
    assert await world.sql("select 1 from token") == []
    for made in (hers, his):
        with pytest.raises(Unauthenticated):
            await access.authenticate(made.token)


async def test_a_use_is_noted(world: World) -> None:
    access = world.services.access
    made = await access.make_token(world.admin, TokenSpec())
    assert (await access.tokens(world.admin))[0].last_used is None
    await access.authenticate(made.token)
    used = (await access.tokens(world.admin))[0].last_used
    assert used is not None
    assert used >= made.created


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(400):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to be")


async def test_a_withdrawn_token_stops_working_in_another_process(world: World) -> None:
    """Two servers on one database: what one withdraws, the other hears of, though it remembers the token."""
    other = World(world.dsn, world.folder)
    try:
        await app.start(other.services)
        access = world.services.access
        made = await access.make_token(world.admin, TokenSpec())
        await world.people(alice=["staff"])
        hers = await access.make_token(await world.caller("alice"), TokenSpec())
        await other.services.access.authenticate(made.token)
        await other.services.access.authenticate(hers.token)
        assert len(other.services.access._known) == 2

        async def refused(token: str) -> bool:
            try:
                await other.services.access.authenticate(token)
            except CatalogError as error:
                return error.code == "unauthenticated"
            return False

        await access.remove_token(world.admin, made.id)
        await eventually(lambda: refused(made.token))
        assert not await refused(hers.token)
        await world.services.people.change_user(world.admin, "alice", UserChange(disabled=True))
        await eventually(lambda: refused(hers.token))
    finally:
        await other.close()


async def test_a_word_of_withdrawal_during_a_look_is_not_lost(world: World) -> None:
    """The look began before the withdrawal and ends after the word of it: what it saw must not be remembered."""
    access = world.services.access
    made = await access.make_token(world.admin, TokenSpec())
    original = access.principal

    async def slow(*args: object, **options: object) -> object:
        found = await original(*args, **options)  # type: ignore[arg-type]  # whatever it takes
        await world.sql("delete from token")
        access.forget()
        return found

    access.principal = slow  # type: ignore[method-assign, assignment]  # holds the look open
    await access.authenticate(made.token)
    access.principal = original  # type: ignore[method-assign]  # as it was
    with pytest.raises(Unauthenticated):
        await access.authenticate(made.token)
