"""Snapshots: what they hold, their hash, and what is told to whom."""

from __future__ import annotations

import pytest

from lading.model.dataset import DatasetChange, SnapshotChange
from lading.model.errors import Conflict, Forbidden, NotFound
from tests.catalog.world import World, file
from tests.metadata.sets import (
    create,
    everything,
    findings,
    force,
    found,
    freeze,
    hashed,
    listed,
    populate,
    release,
)


async def test_an_immutable_list(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    first = await freeze(world, world.admin, "/vo/s", note="first", annotations={"doi": "10.1/x"})
    members, tail = await everything(world.services.set_files.files(world.admin, "/vo/s@1"))
    assert [m.lfn for m in members] == sorted((m.lfn for m in members), key=str.encode)
    assert (first.name, first.number, first.files, first.bytes, first.by, first.broken) == (
        "/vo/s@1",
        1,
        8,
        28,
        "admin",
        0,
    )
    assert first.hash == hashed(members), "and it is what an independent computation says"
    assert tail.hidden == 0
    live, _ = await everything(world.services.set_files.files(world.admin, "/vo/s"))
    assert {m.lfn: m for m in live} == {m.lfn: m for m in members}
    assert (await freeze(world, world.admin, "/vo/s")).hash == first.hash, "the same files have the same hash"
    await world.register(world.admin, file("/vo/new", 100, "se2"))
    await world.move(world.admin, ("/vo/a/z", "/vo/a/y"), ("/vo/a.b", "/vo/elsewhere"), ("/vo/top", "/vo/a"))
    again, _ = await everything(world.services.set_files.files(world.admin, "/vo/s@1"))
    assert again == members, "whatever becomes of the files"
    assert await findings(world, world.admin, "/vo/s@1") == [
        ("/vo/a.b/y", "moved"), ("/vo/a/z", "moved"), ("/vo/top", "moved"),
    ]  # fmt: skip
    third = await freeze(world, world.admin, "/vo/s")
    assert (third.number, third.files) == (3, 9)
    diff, _ = await everything(world.services.set_files.diff(world.admin, "/vo/s@1", "/vo/s"))
    assert [(d.change, d.lfn) for d in diff] == [
        ("removed", "/vo/a.b/y"), ("added", "/vo/a/top"), ("added", "/vo/a/y"), ("removed", "/vo/a/z"),
        ("added", "/vo/elsewhere/y"), ("added", "/vo/new"), ("removed", "/vo/top"),
    ]  # fmt: skip
    assert set(await found(world, world.admin, 'in snapshot "/vo/s@1"')) == {
        "/vo/a/y", "/vo/a/b/c", "/vo/elsewhere/y", "/vo/a/é", "/vo/a-/x", "/vo/a/b.c", "/vo/a/top", "/vo/a/b/d e",
    }  # fmt: skip
    page = await world.services.snapshots.page(world.admin, "/vo/s", limit=2)
    rest = await world.services.snapshots.page(world.admin, "/vo/s", cursor=page.next, limit=2)
    assert [s.number for s in page.items + rest.items] == [1, 2, 3]
    changed = await world.services.snapshots.change(
        world.admin, SnapshotChange("/vo/s@1", note="n", annotations={"doi": None, "by": "x"})
    )
    assert (changed.note, changed.annotations, changed.hash) == ("n", {"by": "x"}, first.hash)
    state = await world.services.snapshots.state(world.admin, "/vo/s@1")
    assert (state.files, state.bytes, state.hidden, state.nowhere) == (8, 28, 0, 0)
    assert [(e.element, e.files, e.bytes) for e in state.elements] == [("se1", 8, 28)]
    for name in ("/vo/s@4", "/vo/none@1", "/vo/s@0"):
        with pytest.raises(NotFound):
            await listed(world, world.admin, name)


async def test_what_changed_since(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "size < 6", under="/vo")
    await freeze(world, world.admin, "/vo/s")
    await world.register(world.admin, file("/vo/new", 3))
    await world.sql("update file set size = 50 where name = 'b.c'")
    since = (await world.services.datasets.state(world.admin, "/vo/s")).since
    assert since is not None
    assert (since.number, since.added, since.removed, since.added_bytes, since.removed_bytes) == (1, 1, 1, 3, 5)
    await world.sql("update file set size = 5 where name = 'b.c'")
    diff, _ = await everything(world.services.set_files.diff(world.admin, "/vo/s@1", "/vo/s@1"))
    assert diff == []
    await freeze(world, world.admin, "/vo/s")
    since = (await world.services.datasets.state(world.admin, "/vo/s")).since
    assert since is not None
    assert (since.number, since.added, since.removed) == (2, 0, 0)


async def test_check_and_changes(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    await freeze(world, world.admin, "/vo/s")
    assert await findings(world, world.admin, "/vo/s@1") == []
    await world.sql("update file set size = 50 where name = 'b.c'")
    await world.sql("update file set guid = gen_random_uuid() where name = 'top'")
    await world.sql("update file set adler32 = 5 where name = 'y'")
    await world.sql("update file set adler32 = 5 where name = 'd e'")
    await world.sql("update file set csum = 'sha256:' || repeat('b', 64) where name = 'x'")
    items, _ = await everything(world.services.set_files.check(world.admin, "/vo/s"))
    assert [(f.lfn, f.problem, f.fields) for f in items] == [
        ("/vo/a.b/y", "changed", ["checksums"]), ("/vo/a/b.c", "changed", ["size"]), ("/vo/top", "changed", ["guid"]),
    ], "a checksum that came later is no change"  # fmt: skip
    await freeze(world, world.admin, "/vo/s")
    diff, _ = await everything(world.services.set_files.diff(world.admin, "/vo/s@1", "/vo/s@2"))
    assert [d.change for d in diff] == ["changed"] * 5
    assert (diff[2].old.size, diff[2].new.size) == (5, 50)
    await world.sql("update file set size = 5 where name = 'b.c'")


async def test_who_sees_what(world: World) -> None:
    await populate(world)
    alice, bob = await world.people(alice=["g"], bob=["h"])
    assert set(await world.set(world.admin, "/vo/top", "/vo/a/b/c", mode=0o600)) == {"ok"}
    assert await world.set(world.admin, "/vo/a.b", mode=0o700) == ["ok"]
    await world.mkdir(world.admin, "/vo/user")
    await world.set(world.admin, "/vo/user", owner="alice")
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    first = await freeze(world, world.admin, "/vo/s")
    lfns, hidden = await listed(world, alice, "/vo/s@1")
    assert (len(lfns), hidden) == (5, 3)
    assert not {"/vo/top", "/vo/a/b/c", "/vo/a.b/y"} & set(lfns)
    state = await world.services.snapshots.state(alice, "/vo/s@1")
    assert (state.files, state.hidden, [e.files for e in state.elements]) == (5, 3, [5])
    assert set(await found(world, alice, 'in snapshot "/vo/s@1"')) == set(lfns)
    await world.set(world.admin, "/vo/a/z", mode=0o600)
    assert (await listed(world, alice, "/vo/s@1"))[1] == 4, "rights are those of now"
    await world.set(world.admin, "/vo/top", mode=0o644)
    assert (await listed(world, alice, "/vo/s@1"))[1] == 3
    # One who freezes freezes what they see.
    await create(world, alice, "/vo/user/a", 'in snapshot "/vo/s@1"')
    mine = await freeze(world, alice, "/vo/user/a")
    assert mine.files == 5
    assert mine.hash != first.hash
    # Of a file that is gone only those who keep the snapshot are told.
    await force(world, world.admin, "/vo/a-/x")
    assert (await listed(world, bob, "/vo/s@1"))[1] == 4
    assert (await world.services.snapshots.state(bob, "/vo/s@1")).broken == []
    assert await findings(world, bob, "/vo/s@1") == []
    assert await findings(world, world.admin, "/vo/s@1") == [("/vo/a-/x", "missing")]
    assert (await listed(world, alice, "/vo/user/a@1"))[1] == 0, "alice keeps this one"
    diff, _ = await everything(world.services.set_files.diff(bob, "/vo/s@1", "/vo/user/a@1"))
    assert diff == []
    for work in (release(world, bob, "/vo/s@1"), freeze(world, bob, "/vo/s")):
        with pytest.raises(Forbidden):
            await work
    await world.services.datasets.change(alice, DatasetChange("/vo/user/a", mode=0o600))
    for work in (listed(world, bob, "/vo/user/a@1"), found(world, bob, 'in snapshot "/vo/user/a"')):
        with pytest.raises(Forbidden):
            await work


async def test_removing_a_set(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", lfns=["/vo/top"])
    await freeze(world, world.admin, "/vo/s")
    await world.move(world.admin, ("/vo/top", "/vo/a"))
    with pytest.raises(Conflict):
        await world.services.datasets.remove(world.admin, "/vo/s")
    await world.services.datasets.remove(world.admin, "/vo/s", force=True, dry_run=True)
    await world.services.datasets.remove(world.admin, "/vo/s", force=True)
    assert await world.remove(world.admin, "/vo/a/top") == ["ok"]
    for table in ("dataset_member", "snapshot", "snapshot_part", "snapshot_moved"):
        assert await world.sql(f"select 1 from {table}") == []


async def test_long_directories(world: World) -> None:
    """Where a directory's list is long, members are looked up another way."""
    await world.vo("vo")
    names = [f"/vo/d/{n}" for n in range(1500)]
    for start in range(0, 1500, 500):
        await world.register(world.admin, *names[start : start + 500])
    await create(world, world.admin, "/vo/s", 'name like "*7"', under="/vo")
    await create(world, world.admin, "/vo/t", "true", under="/vo")
    assert (await freeze(world, world.admin, "/vo/t")).files == 1500
    assert (await freeze(world, world.admin, "/vo/s")).files == 150
    await world.mkdir(world.admin, "/vo/e")
    await world.move(world.admin, ("/vo/d/7", "/vo/e"), ("/vo/d/8", "/vo/e"))
    assert len(await found(world, world.admin, 'in snapshot "/vo/t"')) == 1500
    assert len(await found(world, world.admin, 'in snapshot "/vo/s" and in snapshot "/vo/t"')) == 150
    assert await found(world, world.admin, 'in snapshot "/vo/t"', "/vo/e") == ["/vo/e/7", "/vo/e/8"]
