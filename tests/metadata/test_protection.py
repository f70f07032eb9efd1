"""Files of snapshots: they move, and do not go, but by force; whatever else happens at the same time."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from catalog.namespace.frozen_store import FrozenStore
from tests.catalog.world import World, codes, stuck
from tests.metadata.sets import (
    add,
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
    soon,
)


async def test_removal_is_refused(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo/a")
    await create(world, world.admin, "/vo/t", lfns=["/vo/a/z", "/vo/top"])
    await freeze(world, world.admin, "/vo/s")
    await freeze(world, world.admin, "/vo/t")
    removed = await world.services.trash.remove(world.admin, ["/vo/a/z", "/vo/a/b/c", "/vo/a-/x", "/vo/top"])
    assert codes(removed) == ["conflict", "conflict", "ok", "conflict"]
    assert removed.outcomes[0].error is not None
    assert removed.outcomes[0].error.details["snapshots"] == ["/vo/s@1", "/vo/t@1"]
    assert "release" in removed.outcomes[0].error.message
    for tree in ("/vo/a", "/vo/a/b", "/vo"):
        assert await world.remove(world.admin, tree, recursive=True) == ["conflict"]
    assert await world.remove(world.admin, "/vo/a.b", recursive=True) == ["ok"], "nobody froze these"
    # Wherever they are moved, alone or with their directories, they stay protected; what comes in their place is not.
    assert await world.move(world.admin, ("/vo/a/z", "/vo/a-/z"), ("/vo/a/b", "/vo/a-/b2")) == ["ok", "ok"]
    assert await world.move(world.admin, ("/vo/a-", "/vo/m"), ("/vo/m/z", "/vo/n/y")) == ["ok", "not_found"]
    await world.mkdir(world.admin, "/vo/n")
    assert await world.move(world.admin, ("/vo/m/z", "/vo/n/y")) == ["ok"]
    await world.register(world.admin, "/vo/a/z", "/vo/m/z")
    assert await world.remove(world.admin, "/vo/a/z", "/vo/m/z") == ["ok", "ok"]
    assert (
        await world.remove(world.admin, "/vo/n/y", "/vo/n", "/vo/m/b2/c", "/vo/m", recursive=True) == ["conflict"] * 4
    )
    assert await world.move(world.admin, ("/vo/n/y", "/vo/a/z")) == ["ok"], "and back"
    assert await world.remove(world.admin, "/vo/a/z") == ["conflict"]
    assert await world.remove(world.admin, "/vo/n", recursive=True) == ["ok"]
    # A dry run is refused as well, and force is only a wish in it.
    assert codes(await force(world, world.admin, "/vo/a/z", dry_run=True)) == ["ok"]
    assert (await world.services.snapshots.state(world.admin, "/vo/s@1")).broken == []
    # Released, by one and the other, it may go.
    await release(world, world.admin, "/vo/s@1")
    assert await world.remove(world.admin, "/vo/a/z") == ["conflict"]
    assert (await release(world, world.admin, "/vo/t")).released
    assert await world.remove(world.admin, "/vo/a/z", keep=0) == ["ok"]
    await world.clean()
    assert await findings(world, world.admin, "/vo/t@1") == [("/vo/a/z", "missing")]
    assert (await listed(world, world.admin, "/vo/t@1"))[0] == ["/vo/a/z", "/vo/top"], "a list is a list"


async def test_removal_byforce(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo/a")
    await freeze(world, world.admin, "/vo/s")
    await world.move(world.admin, ("/vo/a/z", "/vo/a-/z"))
    assert codes(await force(world, world.admin, "/vo/a-/z", "/vo/a/b/c", "/vo/a/b", "/vo/a-/x")) == ["ok"] * 4
    state = await world.services.snapshots.state(world.admin, "/vo/s@1")
    assert (state.snapshot.broken, [b.lfn for b in state.broken]) == (3, ["/vo/a-/z", "/vo/a/b/c", "/vo/a/b/d e"])
    assert {b.by for b in state.broken} == {"admin"}
    assert state.nowhere == 3
    assert await findings(world, world.admin, "/vo/s@1") == [
        ("/vo/a/b/c", "missing"), ("/vo/a/b/d e", "missing"), ("/vo/a/z", "missing"),
    ]  # fmt: skip
    # What comes back mends it, wherever it comes to; and it is protected as before.
    assert await world.restore(world.admin, "/vo/a/b", "/vo/a/b/c") == ["ok", "ok"]
    assert await world.restore(world.admin, "/vo/a-/z", to="/vo") == ["ok"]
    assert (await world.services.snapshots.state(world.admin, "/vo/s@1")).snapshot.broken == 0
    assert await findings(world, world.admin, "/vo/s@1") == [("/vo/a/z", "moved")]
    assert await world.remove(world.admin, "/vo/z", "/vo/a/b", recursive=True) == ["conflict", "conflict"]
    assert codes(await force(world, world.admin, "/vo/z", "/vo/a")) == ["ok", "ok"]
    await world.services.trash.purge(world.admin, [i.id for i in (await world.services.trash.page(world.admin)).items])
    await world.clean()
    state = await world.services.snapshots.state(world.admin, "/vo/s@1")
    assert (state.snapshot.broken, state.files, state.nowhere) == (5, 5, 5)
    assert world.objects("se1") == []
    assert await world.sql("select 1 from file where name in ('z', 'c', 'b.c')") == []


async def test_the_cleaner_takes_nothing_that_is_needed(world: World) -> None:
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo/a")
    await freeze(world, world.admin, "/vo/s")
    await release(world, world.admin, "/vo/s")
    await world.remove(world.admin, "/vo/a/z", "/vo/a/b", recursive=True, keep=0)
    await world.sql("update snapshot set released = null")  # as nobody can
    for _ in range(3):
        await world.services.cleaner.step()
    assert len(await world.sql("select 1 from file where name in ('z', 'c', 'd e') or guid is null and kind = 0")) == 2
    assert len(await world.sql("select 1 from trash where expires > $1", 2**50)) == 2, "they wait, and the log says why"
    await world.sql("update snapshot set released = 1")


async def test_moves_and_removals_while_a_freeze_reads(world: World) -> None:
    """Files were read and are not written down yet. Nobody waits: what goes is not in the snapshot, what moves is, and
    is followed and protected where it is now."""
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    gate = await asyncpg.connect(world.dsn)
    try:
        async with gate.transaction():
            await gate.execute("lock table snapshot_part in share mode")  # may be read, not written
            freezing = asyncio.create_task(freeze(world, world.admin, "/vo/s"))
            await stuck(gate, [freezing])
            assert await world.remove(world.admin, "/vo/a/z") == ["ok"]
            assert await world.remove(world.admin, "/vo/a-", recursive=True) == ["ok"]
            assert await world.move(world.admin, ("/vo/top", "/vo/a"), ("/vo/a.b", "/vo/c")) == ["ok", "ok"]
            await world.register(world.admin, "/vo/a/z")
            await world.describe(world.admin, {"/vo/a/b/c": {}})
            assert not freezing.done()
        made = await freezing
    finally:
        await gate.close()
    members, _ = await everything(world.services.set_files.files(world.admin, "/vo/s@1"))
    assert [m.lfn for m in members] == ["/vo/a.b/y", "/vo/a/b.c", "/vo/a/b/c", "/vo/a/b/d e", "/vo/a/é", "/vo/top"]
    assert (made.files, made.hash) == (6, hashed(members))
    assert await findings(world, world.admin, "/vo/s@1") == [("/vo/a.b/y", "moved"), ("/vo/top", "moved")]
    assert len(await found(world, world.admin, 'in snapshot "/vo/s@1"')) == 6
    assert await world.remove(world.admin, "/vo/a/top", "/vo/c/y", "/vo/a/z") == ["conflict", "conflict", "ok"]
    assert await world.move(world.admin, ("/vo/a/top", "/vo/c/t")) == ["ok"]
    assert await world.remove(world.admin, "/vo/c/t") == ["conflict"]


async def test_a_removal_in_the_last_moment_before_a_freeze_holds_the_rest(world: World) -> None:
    """The list has its hash already, and the lock is not had yet."""
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo/a")
    gate = await asyncpg.connect(world.dsn)
    try:
        async with gate.transaction():
            await FrozenStore().lock(gate, ["/vo"])
            freezing = asyncio.create_task(freeze(world, world.admin, "/vo/s"))
            await stuck(gate, [freezing])
            # Who asks for a lock after the freeze waits behind it: these locks were had before.
            await gate.execute("update file set dir_id = 2 where name = 'z'")
            await gate.execute(
                "update dir_usage set nfiles = nfiles - 1 where dir_id = (select id from dir where path = '/vo/a')"
            )
        made = await freezing
        await gate.execute("update file set dir_id = (select id from dir where path = '/vo/a') where name = 'z'")
        await gate.execute(
            "update dir_usage set nfiles = nfiles + 1 where dir_id = (select id from dir where path = '/vo/a')"
        )
    finally:
        await gate.close()
    members, _ = await everything(world.services.set_files.files(world.admin, "/vo/s@1"))
    assert [m.lfn for m in members] == ["/vo/a/b.c", "/vo/a/b/c", "/vo/a/b/d e", "/vo/a/é"]
    assert (made.files, made.hash) == (4, hashed(members))
    assert await world.remove(world.admin, "/vo/a/z", "/vo/a/é") == ["ok", "conflict"]


async def test_at_the_end_of_a_freeze(world: World) -> None:
    """The list is whole and about to count: who would move or remove its files waits."""
    await populate(world)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    gate = await asyncpg.connect(world.dsn)
    crowd = World(world.dsn, world.folder, pool=16)  # connections for all who wait
    try:
        async with gate.transaction():
            await gate.execute("lock table audit in share mode")  # the last that a change writes
            tasks = [asyncio.create_task(freeze(crowd, crowd.admin, "/vo/s"))]
            await stuck(gate, tasks)
            for path in ("/vo/a/z", "/vo/a-"):
                tasks.append(asyncio.create_task(crowd.remove(world.admin, path, recursive=True)))
            for pair in (("/vo/top", "/vo/a"), ("/vo/a.b", "/vo/c")):
                tasks.append(asyncio.create_task(crowd.move(world.admin, pair)))
            await stuck(gate, tasks)
            assert not [t for t in tasks if t.done()]
        _, *done = await asyncio.gather(*tasks)
    finally:
        await gate.close()
        await crowd.close()
    assert done == [["conflict"], ["conflict"], ["ok"], ["ok"]]
    assert await findings(world, world.admin, "/vo/s@1") == [("/vo/a.b/y", "moved"), ("/vo/top", "moved")]
    assert await world.remove(world.admin, "/vo/a/top", "/vo/c/y") == ["conflict", "conflict"]


async def test_files_that_go_to_another_vo_while_a_freeze_reads(world: World) -> None:
    """Its locks do not hold them there: it begins again, and they are no longer of the set."""
    await populate(world)
    await world.vo("wo")
    await create(world, world.admin, "/vo/s", "true", under="/vo/a")
    gate = await asyncpg.connect(world.dsn)
    try:
        async with gate.transaction():
            await gate.execute("lock table snapshot_part in share mode")
            freezing = asyncio.create_task(freeze(world, world.admin, "/vo/s"))
            await stuck(gate, [freezing])
            assert await world.move(world.admin, ("/vo/a/z", "/wo"), ("/vo/a/b", "/wo/b")) == ["ok", "ok"]
        await freezing
    finally:
        await gate.close()
    assert (await listed(world, world.admin, "/vo/s@1"))[0] == ["/vo/a/b.c", "/vo/a/é"]
    assert await world.remove(world.admin, "/wo/z", "/wo/b", "/vo/a/é", recursive=True) == ["ok", "ok", "conflict"]
    assert [s["number"] for s in await world.sql("select number from snapshot")] == [1]


@pytest.mark.parametrize("seed", range(3))
async def test_freezing_while_files_move_and_go(world: World, seed: int) -> None:
    """Either a file is in the snapshot, where it says, and protected; or it is not in it."""
    rng = random.Random(seed)
    await world.vo("vo")
    dirs = [f"/vo/{d}" for d in "abcdef"]
    names = [f"{d}/{n}" for d in dirs for n in range(12)]
    await world.register(world.admin, *names)
    await create(world, world.admin, "/vo/s", "true", under="/vo")
    await create(world, world.admin, "/vo/l", lfns=rng.sample(names, 30))

    async def disturb(n: int) -> None:
        mine = [p for i, p in enumerate(names) if i % 4 == n]
        for path in rng.sample(mine, 12):
            what = rng.randrange(4)
            if what == 0:
                await world.remove(world.admin, path)
            elif what == 1:
                await world.move(world.admin, (path, f"{rng.choice(dirs)}/m{n}.{path.rpartition('/')[2]}.{path[4]}"))
            elif what == 2:
                await world.move(world.admin, (f"/vo/x{n}", f"/vo/y{n}"), (rng.choice(dirs), f"/vo/x{n}"))
                await world.move(world.admin, (f"/vo/x{n}", rng.choice(dirs)))
            else:
                await world.remove(world.admin, rng.choice(dirs), recursive=True)

    async def freezing(name: str) -> None:
        for _ in range(3):
            await freeze(world, world.admin, name)

    done = await soon(freezing("/vo/s"), freezing("/vo/l"), *(disturb(n) for n in range(4)))
    assert [d for d in done if d is not None] == []
    snapshots = await world.sql(
        "select n.name || '@' || s.number as name, s.hash from snapshot s join dataset n on n.id = s.dataset_id"
    )
    assert len(snapshots) == 6
    for row in snapshots:
        members, _ = await everything(world.services.set_files.files(world.admin, row["name"]))
        assert hashed(members) == row["hash"]
        assert not [f for f in await findings(world, world.admin, row["name"]) if f[1] == "missing"], row["name"]
        here = await found(world, world.admin, f'in snapshot "{row["name"]}"')
        assert len(here) == len(members)
        assert set(await world.remove(world.admin, *here)) <= {"conflict"}
    assert await add(world, world.admin, "/vo/l") == []
    wrong = "select m.file_id from dataset_member m join file f on f.id = m.file_id where f.dir_id <> m.dir_id"
    assert await world.sql(wrong) == []
    wrong = "select m.file_id from snapshot_moved m join file f on f.id = m.file_id where f.dir_id <> m.at_dir"
    assert await world.sql(wrong) == []
