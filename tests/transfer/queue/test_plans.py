"""The queue's statements go by its indexes, however long it is: the head of a lane is read, and not the lane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from catalog.db import Connection, now
from tests.catalog.world import World
from tests.plans import plans_of
from transfer.queue.store import NEVER, QueueStore
from transfer.requests.store import RequestsStore

LANES, QUEUED = 60, 30_000
store, requests = QueueStore(), RequestsStore()


@pytest_asyncio.fixture
async def long(dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """A long queue of three requests, a tenth of it waiting; 2,000 under way."""
    world = World(dsn, tmp_path)
    await world.sql(
        f"insert into lane(source, target, activity, group_id) select n, n + 1, 'user', 1 from generate_series(1, {LANES}) n"
    )
    await world.sql(
        "insert into request(kind, user_id, selection, activity, group_id, state, planned, created)"
        " select 'replicate', 1, '{}', 'user', 1, 'running', true, 1 from generate_series(1, 300)"
    )
    await world.sql(
        "insert into queued(id, lane_id, priority, request_id, file_id, bytes, not_before)"
        f" select n, case when n % 10 = 0 then -1 else 1 end * (1 + n % {LANES}), 0, 1 + n % 3, n, 1, n % 10"
        f" from generate_series(1, {QUEUED}) n"
    )
    await world.sql(
        "insert into active select -n, 1, 1, 2, 'user', 1, 0, 1 + n % 3, n, 1, 0, 0, 1, 1 from generate_series(1, 2000) n"
    )
    await world.sql("insert into worker(host, pid, started, beat) values ('here', 1, 1, 1)")
    await world.sql("vacuum analyze")
    yield world
    await world.close()


async def test_leasing(long: World) -> None:
    async def work(connection: Connection) -> None:
        await store.lock(connection)
        given = dict.fromkeys(range(1, LANES + 1), 8)
        small = 8 * 16  # that share eight places; of six lanes all waits
        assert len(await store.take(connection, given, [], 1, now())) == small * 54
        assert await store.take(connection, {2: 5}, [1, 2, 3], 1, now()) == []

    [plan] = [p for p in await plans_of(long.dsn, work) if "insert into active" in p.statement]
    assert plan.uses("queued_ready", "lane_id"), plan
    assert plan.uses("queued_pkey", "id"), plan
    assert "queued" not in plan.scans, plan


async def test_what_there_is_to_do(long: World) -> None:
    async def work(connection: Connection) -> None:
        uses = {(r["source"], r["target"]): (r["taken"], r["waiting"]) for r in await store.link_uses(connection)}
        assert uses[1, 2][0] == 2000 / 16
        assert sum(waiting for _, waiting in uses.values()) == 27_000

    [plan] = [p for p in await plans_of(long.dsn, work) if "full join" in p.statement]
    assert plan.uses("queued_ready", "lane_id"), plan


async def test_ending_and_ripening(long: World) -> None:
    async def work(connection: Connection) -> None:
        assert len(await store.ended(connection, list(range(-500, 0)), 1)) == 500
        assert await store.ripen(connection, now(), 100) == 100
        await store.next_ripe(connection)

    plans = await plans_of(long.dsn, work)
    [fence] = [p for p in plans if "delete from active" in p.statement]
    assert fence.uses("active_pkey", "id"), fence
    [ripe] = [p for p in plans if "update queued" in p.statement]
    assert ripe.uses("queued_waiting", "not_before"), ripe
    [due] = [p for p in plans if "min(not_before)" in p.statement]
    assert due.uses("queued_waiting"), due
    assert not any("queued" in p.scans for p in plans)


async def test_what_follows_a_request(long: World) -> None:
    async def work(connection: Connection) -> None:
        assert await requests.pause_some(connection, 1, 50, NEVER) == 50
        assert await requests.resume_some(connection, 1, 50, NEVER) == 50
        assert await requests.move_up_some(connection, 1, 50, 5) == 50
        assert await requests.cancel_some(connection, 1, 50) == 50
        assert await requests.under_way(connection, 1, 10)
        await requests.find(connection, 1)

    for plan in await plans_of(long.dsn, work):
        assert "queued" not in plan.scans, plan
        if "queued" in plan.statement:
            assert plan.uses("queued_request", "request_id"), plan
