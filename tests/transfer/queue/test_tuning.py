"""Links that nobody has set get as many places as move more, and fewer when tries fail; every step is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from catalog.db import now
from tests.catalog.world import World
from transfer.queue.store import QueueStore
from transfer.queue.tuner import Tuner
from transfer.queue.tuning import LEAST, MOST, decide

MB = 1_000_000


@pytest.mark.parametrize(
    ("was", "rate", "done", "failed", "waiting", "after", "why"),
    [
        (50 * MB, 60 * MB, 20, 0, True, 11.0, "60.0 MB/s after 50.0 MB/s: one more"),
        (50 * MB, 30 * MB, 20, 0, True, 9.0, "30.0 MB/s after 50.0 MB/s: one fewer"),
        (50 * MB, 51 * MB, 20, 0, True, 10.25, "steady at 51.0 MB/s: one more is tried by and by"),
        (50 * MB, 90 * MB, 20, 5, True, 7.0, "5 of 25 tries failed"),
        (50 * MB, 90 * MB, 20, 2, True, 11.0, "90.0 MB/s after 50.0 MB/s: one more"),
        (50 * MB, 10 * MB, 20, 0, False, 10.0, ""),
        (50 * MB, 10 * MB, 1, 1, True, 10.0, ""),
    ],
)
def test_a_step(was: float, rate: float, done: int, failed: int, waiting: bool, after: float, why: str) -> None:
    assert decide(10.0, was, rate, done, failed, waiting=waiting) == (after, why)


@given(
    st.floats(LEAST, MOST),
    st.floats(0, 1e10),
    st.floats(0, 1e10),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.booleans(),
)
def test_it_stays_within_bounds(was: float, a: float, b: float, done: int, failed: int, waiting: bool) -> None:
    after, why = decide(was, a, b, done, failed, waiting=waiting)
    assert LEAST <= after <= MOST
    assert bool(why) == (after != was)
    assert decide(was, a, b, done, failed, waiting=waiting, most=1)[0] <= max(was, 1)


@pytest_asyncio.fixture
async def world(dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Links 1>2 and 1>3 with work that waits, and tries of a moment ago."""
    made = World(dsn, tmp_path)
    await made.services.queue.days()
    await made.sql(
        "insert into element(id, name, type, ctime, mtime) select n, 'e' || n, 'memory', 0, 0 from generate_series(1, 3) n"
    )
    await made.sql(
        "insert into lane(id, source, target, activity, group_id) overriding system value values (1, 1, 2, 'a', 1), (2, 1, 3, 'a', 1)"
    )
    await made.sql("insert into queued select n, 1 + n % 2, 0, 1, n, 1, 0, 0, 0 from generate_series(1, 20) n")
    yield made
    await made.close()


async def tried(world: World, target: int, count: int, result: int, size: int = 10 * MB) -> None:
    await world.sql(
        "insert into attempt(at, request_id, transfer_id, file_id, source, target, result, bytes, micros, worker, error)"
        f" select {now()} - n, 1, n, n, 1, {target}, {result}, {size}, 1, 1, case when {result} = 2 then 'no' end"
        f" from generate_series(1, {count}) n"
    )


async def places(world: World) -> dict[tuple[int, int], int]:
    async with world.services.database.read() as connection:
        return await QueueStore().links(connection)


async def test_what_was_moved_decides_and_is_told(world: World) -> None:
    tuner = Tuner(world.services.database, world.services.elements)
    await tried(world, 2, 20, 0)
    await tried(world, 3, 10, 2)
    await tuner.step()
    assert await places(world) == {(1, 2): 11, (1, 3): 7}
    await tuner.step()
    assert await places(world) == {(1, 2): 11, (1, 3): 7}, "once a period"
    told = await world.services.limits.decisions(world.admin, None, None)
    assert {(d.source, d.target, d.before, d.after, d.done, d.failed) for d in told} == {
        ("e1", "e2", 10.0, 11.0, 20, 0), ("e1", "e3", 10.0, 7.0, 0, 10),
    }  # fmt: skip
    assert [d.why for d in await world.services.limits.decisions(world.admin, "e1", "e3")] == ["10 of 10 tries failed"]
    uses = {(u.source, u.target): (u.most, u.tuned) for u in (await world.services.limits.show(world.admin)).links}
    assert uses == {("e1", "e2"): (11, True), ("e1", "e3"): (7, True)}


async def test_what_an_operator_set_stays(world: World) -> None:
    await world.sql("insert into link(source, target, most) values (1, 2, 3)")
    await tried(world, 2, 20, 0)
    await Tuner(world.services.database, world.services.elements).step()
    assert await places(world) == {(1, 2): 3}
    assert await world.services.limits.decisions(world.admin, None, None) == []


async def test_an_element_takes_no_more_than_it_may(world: World) -> None:
    await world.sql("update element set max_connections = 4 where id = 2")
    await tried(world, 2, 20, 0)
    await Tuner(world.services.database, world.services.elements).step()
    assert (await places(world))[1, 2] == 4
