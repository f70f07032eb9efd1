"""What holds of every change: a dry run changes nothing, an audit row says who did what, a key makes it happen once."""

from __future__ import annotations

import asyncio
import hashlib

import asyncpg
import msgspec
import pytest

from catalog.db import Replayed
from lading.model.api import Ancestry
from lading.model.errors import CatalogError, Conflict, Forbidden
from lading.model.outcome import Outcomes
from lading.model.principal import Caller

from .invariants import dump
from .mutations import BULK, SINGLE, prepare
from .world import World, codes, file


async def test_a_dry_run_of_any_change_changes_nothing_and_answers_as_the_change_would(world: World) -> None:
    await prepare(world)
    before = await dump(world.dsn)
    dry = {}
    for name, (_, change) in BULK.items():
        dry[name] = await change(world, world.admin, True)
        assert isinstance(dry[name], Outcomes)
        assert dry[name].dry_run
        assert await dump(world.dsn) == before, name
        assert "ok" in codes(dry[name]), name
    # What it remembered of a change that never was must not show either.
    assert await world.looks(world.admin, "/new", "/vo/l", "/e", "/back", "/vo/f") == ["not_found"] * 4 + ["ok"]
    for name in ("mkdir", "register", "chown", "add replica", "replica state", "drop replica", "move"):
        assert codes(await BULK[name][1](world, world.admin, False)) == codes(dry[name]), name


async def test_errors_in_a_dry_run_are_those_of_the_change(world: World) -> None:
    await prepare(world)
    before = await dump(world.dsn)
    found = await world.services.registrar.register(
        world.admin, [file("bad"), file("/vo/f", 6), file("/vo/new", 1)], dry_run=True
    )
    assert codes(found) == ["invalid_request", "conflict", "ok"]
    assert found.dry_run
    assert await dump(world.dsn) == before


async def test_every_change_leaves_an_audit_row(world: World) -> None:
    """Who, what, when, from where; and who changes nothing leaves none."""
    await prepare(world)
    clock = float((await world.sql("select extract(epoch from now()) as t"))[0]["t"])
    for name, (action, change) in BULK.items():
        last = (await world.sql("select coalesce(max(id), 0) as n from audit"))[0]["n"]
        caller = Caller(world.admin.principal, "203.0.113.9", f"request {name}")
        assert "ok" in codes(await change(world, caller, False)), name
        rows = await world.sql("select * from audit where id > $1 order by id", last)
        assert action in [r["action"] for r in rows], name
        assert all(
            (r["user_id"], r["origin"], r["request_id"]) == (1, "203.0.113.9", f"request {name}") for r in rows
        ), name
        assert all(r["count"] > 0 and r["targets"] and abs(r["at"] / 1e6 - clock) < 600 for r in rows), name
        if name in ("move", "remove"):
            await world.services.trash.restore(
                caller, [i.id for i in (await world.trash(world.admin)).values() if i.lfn in ("/vo/f", "/vo/d")]
            )
            await world.move(caller, ("/vo/d/f", "/vo/f"), ("/e", "/vo/d/e"))
    for name in ("mkdir", "link", "register", "register more replicas", "ancestors", "add replica", "replica state"):
        again = await BULK[name][1](world, world.admin, False)
        last = (await world.sql("select max(id) as n from audit"))[0]["n"]
        if "ok" not in codes(again):
            assert (await world.sql("select count(*) as n from audit where id > $1", last))[0]["n"] == 0, name


async def test_single_changes_leave_audit_rows_too(world: World) -> None:
    for name, (actions, change) in SINGLE.items():
        last = (await world.sql("select coalesce(max(id), 0) as n from audit"))[0]["n"]
        await change(world, world.admin, False)
        rows = await world.sql("select action, user_id, origin, request_id from audit where id > $1 order by id", last)
        assert [r["action"] for r in rows] == actions, name
        assert {tuple(r)[1:] for r in rows} == {(1, "192.0.2.1", "test")}


async def test_the_audit_row_is_of_the_same_transaction(world: World) -> None:
    """Where it can't be written nothing else is."""
    await prepare(world)
    await world.sql("alter table audit add constraint closed check (action = 'never') not valid")
    before = await dump(world.dsn)
    for name, (_, change) in BULK.items():
        with pytest.raises(asyncpg.CheckViolationError):
            await change(world, world.admin, False)
        assert await dump(world.dsn) == before, name
    for name, (_, single) in SINGLE.items():
        with pytest.raises(asyncpg.CheckViolationError):
            await single(world, world.admin, False)
        assert await dump(world.dsn) == before, name


async def test_what_the_audit_says(world: World) -> None:
    (alice,) = await world.people(alice=["staff"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, "/vo/f", "/vo/g")
    await world.move(alice, ("/vo/f", "/vo/h"))
    await world.set(alice, "/vo/h", mode=0o600)
    await world.remove(alice, "/vo/h", "/vo/g")
    page = await world.services.access.audit(world.admin, user="alice", action=None, since=0, cursor=None, limit=10)
    assert [(r.user, r.action, r.count) for r in page.items] == [
        ("alice", "remove", 2), ("alice", "attributes", 1), ("alice", "move", 1), ("alice", "register", 2),
    ]  # fmt: skip
    assert page.items[0].targets == ["/vo/h", "/vo/g"]
    assert page.items[1].details["mode"] == 0o600
    assert page.items[2].targets == ["/vo/f -> /vo/h"]
    assert (page.items[3].targets, page.items[3].details) == (["/vo/f", "/vo/g"], {"directories": 1})
    assert {(r.origin, r.request_id) for r in page.items} == {("198.51.100.7", "call of alice")}


async def test_everybody_sees_their_own_doings_and_administrators_all(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["staff"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, *(f"/vo/a{n}" for n in range(3)))
    for n in range(5):
        await world.register(bob, f"/vo/b{n}")

    async def seen(who: Caller, user: str | None = None, action: str | None = None, since: int = 0) -> list[str]:
        found, cursor = [], None
        while True:
            page = await world.services.access.audit(who, user=user, action=action, since=since, cursor=cursor, limit=2)
            found += [r.user for r in page.items]
            if page.next is None:
                return found
            cursor = page.next

    assert await seen(alice) == ["alice"]
    assert await seen(bob) == await seen(world.admin, "bob") == ["bob"] * 5
    assert set(await seen(world.admin)) == {"admin", "alice", "bob"}
    assert await seen(world.admin, None, "register") == ["bob"] * 5 + ["alice"]
    assert await seen(world.admin, None, None, 2**61) == []
    with pytest.raises(Forbidden):
        await seen(alice, "bob")
    for cursor in ("x", "1" * 30):
        with pytest.raises(CatalogError) as caught:
            await world.services.access.audit(alice, user=None, action=None, since=0, cursor=cursor, limit=1)
        assert caught.value.code == "invalid_request"


# ── idempotency ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def keyed(caller: Caller, key: str, body: str = "") -> Caller:
    return Caller(caller.principal, caller.origin, caller.request_id, (key, hashlib.sha256(body.encode()).digest()))


async def test_a_key_makes_a_change_happen_once(world: World) -> None:
    await prepare(world)
    for name, (_, change) in BULK.items():
        caller = keyed(world.admin, f"key of {name}")
        first = await change(world, caller, False)
        after = await dump(world.dsn)
        with pytest.raises(Replayed) as replayed:
            await change(world, caller, False)
        assert replayed.value.body == msgspec.json.encode(first), name
        assert await dump(world.dsn) == after, name
        if name in ("move", "remove"):
            await world.services.trash.restore(
                world.admin, [i.id for i in (await world.trash(world.admin)).values() if i.lfn in ("/vo/f", "/vo/d")]
            )
            await world.move(world.admin, ("/vo/d/f", "/vo/f"), ("/e", "/vo/d/e"))


async def test_a_key_is_of_one_request_and_of_one_user(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["staff"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    assert await world.register(keyed(alice, "k", "1"), "/vo/a") == ["ok"]
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await world.register(keyed(alice, "k", "2"), "/vo/b")
    assert await world.register(keyed(bob, "k", "3"), "/vo/c") == ["ok"]
    assert await world.ls(alice, "/vo") == ["a", "c"]


async def test_what_failed_or_was_dry_leaves_its_key_free(world: World) -> None:
    caller = keyed(world.admin, "k")
    with pytest.raises(CatalogError):
        await world.set(caller, "/", owner="nobody knows")
    await world.services.names.make_directories(caller, ["/vo"], dry_run=True)
    assert await world.mkdir(caller, "/vo") == ["ok"]
    with pytest.raises(Replayed):
        await world.mkdir(caller, "/vo")


async def test_of_many_at_once_with_one_key_one_takes_effect(world: World) -> None:
    async def one() -> object:
        try:
            return await world.services.registrar.register(keyed(world.admin, "k"), [file("/vo/f")])
        except Replayed as replayed:
            return replayed.body

    found = await asyncio.gather(*(one() for _ in range(8)))
    made = [f for f in found if isinstance(f, Outcomes)]
    assert len(made) == 1
    assert {f for f in found if isinstance(f, bytes)} == {msgspec.json.encode(made[0])}


async def test_ancestry_refused_still_claims_its_key_once(world: World) -> None:
    """Registration that starts again from the start."""
    await world.register(world.admin, "/vo/a")
    caller = keyed(world.admin, "k")
    specs = [file("/vo/b", ancestors=["/vo/none"]), file("/vo/c", ancestors=["/vo/a"])]
    first = await world.services.registrar.register(caller, specs)
    assert codes(first) == ["not_found", "ok"]
    with pytest.raises(Replayed):
        await world.services.registrar.register(caller, specs)
    assert codes(await world.services.provenance.add(world.admin, [Ancestry("/vo/c", ["/vo/a"])])) == ["ok"]
