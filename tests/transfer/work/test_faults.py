"""Real workers on one database, killed at bad moments. In the end every file has its copies, and nothing else is left."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from lading.model.errors import CatalogError
from tests.transfer.work.conftest import Site, working
from transfer.queue.queue import DEATHS

FILES = 120
SEED = 20261126


class Crew:
    """Worker processes of a site's database."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.processes: list[asyncio.subprocess.Process] = []

    async def hire(self) -> None:
        config = self._site.server.services.config
        command = ["-m", "doors.main", "worker", "--database-url", config.database_url, "--data", config.data]
        environment = {**os.environ, "LADING_SERVER_WORKER_PATIENCE": "2"}
        log = (self._site.folder / "workers.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--concurrency", "4", env=environment, stdout=log, stderr=log
        )
        self.processes.append(process)

    async def kill(self, number: int, how: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(number)
        process.send_signal(how)
        await process.wait()


@asynccontextmanager
async def crew(site: Site, count: int) -> AsyncIterator[Crew]:
    made = Crew(site)
    try:
        for _ in range(count):
            await made.hire()
        yield made
    finally:
        while made.processes:
            await made.kill(0)


async def leftovers(site: Site) -> list[str]:
    """Objects on the storage that the catalogue does not know, staging included, once the cleaner was there."""
    async with site.server.services.database.read() as connection:
        await connection.execute("update upload set expires = 0")
    await site.clean()
    for element in site.server.services.elements.every():
        storage = await site.server.services.elements.storage(element)
        await storage.clean_staging(0)  # type: ignore[attr-defined]  # all are POSIX
    async with site.server.services.database.read() as connection:
        rows = await connection.fetch(
            "select e.name, right(f.guid::text, 2) || '/' || substr(f.guid::text, 33, 2) || '/' || f.guid as pfn"
            " from file f cross join lateral unnest(f.se) s(id) join element e on e.id = s.id where f.kind = 0"
        )
    known = {f"{r['name']}/{r['pfn']}" for r in rows}
    there = {str(p.relative_to(site.folder)) for name in ("one", "two", "three") for p in site.objects(name)}
    assert known <= there, f"lost: {known - there}"
    return sorted(there - known)


@pytest.mark.slow
async def test_killed_workers_lose_nothing(idle: Site) -> None:
    chance = random.Random(SEED)
    bodies = {f"/vo/d/f{n:03}": os.urandom(chance.randrange(0, 600_000)) for n in range(FILES)}
    for name, body in bodies.items():
        await idle.put(name, body)
    for name in ("two", "three"):
        await idle.server.call("PATCH", f"/v1/elements/{name}", {"max_rate": 8_000_000})
    made = await idle.request("replicate", {"under": "/vo/d"}, to="two|three", copies=2)
    async with crew(idle, 2) as workers:
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.6, 2.0))
            await workers.kill(chance.randrange(2))
            await workers.hire()
        shown = await idle.ended(made["id"])
    assert (shown["state"], shown["files"], shown["done"]) == ("done", 2 * FILES, 2 * FILES)
    assert await leftovers(idle) == []
    counts = await idle.counts()
    assert (counts["queued"], counts["active"], counts["upload"]) == (0, 0, 0)
    for name, body in bodies.items():
        assert [s for s, _ in await idle.sources(name)] == ["one", "two", "three"]
        for element in ("two", "three"):
            _, got, _ = await idle.get(name, f"?se={element}")
            assert got == body
    async with idle.server.services.database.read() as connection:
        doubles = await connection.fetchval(
            "select count(*) from (select from attempt where result = 0 group by transfer_id having count(*) > 1) x"
        )
    assert doubles == 0


@pytest.mark.slow
async def test_a_worker_told_to_stop_ends_what_it_has_begun(idle: Site) -> None:
    for n in range(8):
        await idle.put(f"/vo/d/f{n}", os.urandom(400_000))
    await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": 1_000_000})
    async with crew(idle, 1) as workers:
        made = await idle.request("replicate", {"under": "/vo/d"}, to="two")
        await idle.when(made["id"], lambda shown: shown.get("active", 0) >= 1)
        await workers.kill(0, signal.SIGTERM)
        counts = await idle.counts()
        assert (counts["active"], counts["upload"], counts["worker"]) == (0, 0, 0)
        assert (await idle.show(made["id"]))["done"] >= 1
        await workers.hire()
        assert (await idle.ended(made["id"]))["done"] == 8
    async with idle.server.services.database.read() as connection:
        assert await connection.fetchval("select count(*) from attempt where result <> 0") == 0


async def test_a_transfer_that_kills_its_workers_is_set_aside(idle: Site) -> None:
    await idle.put("/vo/poison", b"x")
    made = await idle.request("replicate", {"lfns": ["/vo/poison"]}, to="two")
    services = idle.server.services
    await services.queue.days()
    while await services.planner.step():
        pass
    for death in range(DEATHS):  # of workers of which nobody hears again
        async with services.database.read() as connection:
            await connection.execute("update queued set not_before = 0 where lane_id < 0")
        await services.queue.ripen()
        leases = await services.queue.lease(4711, 1)
        assert [lease.deaths for lease in leases] == [death]
        assert await services.queue.bury() == 1
    async with working(idle):
        shown = await idle.ended(made["id"])
    assert (shown.get("done", 0), shown["failed"]) == (0, 1)
    assert "workers died" in (await idle.failures(made["id"]))[0]["error"]


async def test_who_lost_his_lease_tells_nothing(idle: Site) -> None:
    """A worker that was taken for dead comes back with a copy that another has made meanwhile."""
    await idle.put("/vo/a", b"x" * 1000)
    made = await idle.request("replicate", {"lfns": ["/vo/a"]}, to="two")
    services = idle.server.services
    await services.queue.days()
    while await services.planner.step():
        pass
    leases = await services.queue.lease(4711, 1)
    jobs = await services.hand.begin(4711, leases)
    act = idle.act()
    await act.perform(jobs[0])
    assert await services.queue.bury() == 1
    await idle.clean()  # what the dead worker wrote is nobody's
    assert idle.objects("two") == []
    async with working(idle):
        assert (await idle.ended(made["id"]))["done"] == 1
    await services.hand.end(4711, jobs)
    assert await idle.sources("/vo/a") == [("one", "available"), ("two", "available")]
    await idle.clean()
    assert len(idle.objects("two")) == 1
    assert (await idle.show(made["id"]))["done"] == 1


@pytest.mark.slow
@pytest.mark.skipif("LADING_TEST_DATABASE_URL" in os.environ, reason="the database is not ours to crash")
async def test_a_database_that_crashes_loses_nothing(idle: Site) -> None:
    """A backend that is killed has PostgreSQL end all others and recover, at any moment of transfers under way."""
    chance = random.Random(SEED)
    bodies = {f"/vo/d/f{n:03}": os.urandom(chance.randrange(0, 400_000)) for n in range(60)}
    for name, body in bodies.items():
        await idle.put(name, body)
    for name in ("two", "three"):
        await idle.server.call("PATCH", f"/v1/elements/{name}", {"max_rate": 4_000_000})
    made = await idle.request("replicate", {"under": "/vo/d"}, to="two|three", copies=2)
    crashes = 0
    async with crew(idle, 2):
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.8, 1.6))
            crashes += await crash(idle)
        shown = await patiently(idle, made["id"])
    assert crashes == 4
    assert (shown["state"], shown["files"], shown["done"]) == ("done", 120, 120)
    assert await leftovers(idle) == []
    counts = await idle.counts()
    assert (counts["queued"], counts["active"], counts["upload"]) == (0, 0, 0)
    for name, body in bodies.items():
        assert [s for s, _ in await idle.sources(name)] == ["one", "two", "three"]
        for element in ("two", "three"):
            assert (await idle.get(name, f"?se={element}"))[1] == body


async def crash(site: Site) -> bool:
    """Kill a backend that serves a worker, or anybody; did one die?"""
    for _ in range(100):
        with suppress(CatalogError):
            async with site.server.services.database.read() as connection:
                pid = await connection.fetchval(
                    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                    " and backend_type = 'client backend' order by random() limit 1"
                )
            if pid:
                os.kill(pid, signal.SIGKILL)
                return True
        await asyncio.sleep(0.1)
    return False


async def patiently(site: Site, request: int) -> dict[str, object]:
    """The request once it has ended, of a server that may be without its database."""
    for _ in range(1000):
        status, shown = await site.server.call("GET", f"/v1/requests/{request}")
        if status == 200 and shown["state"] in ("done", "failed", "cancelled"):
            told: dict[str, object] = shown
            return told
        assert status in (200, 503), shown
        await asyncio.sleep(0.1)
    raise AssertionError(f"it never ended: {shown}")


async def test_what_may_have_killed_a_worker_has_a_place_for_itself(idle: Site) -> None:
    for n in range(6):
        await idle.put(f"/vo/d/f{n}", b"x")
    await idle.request("replicate", {"under": "/vo/d"}, to="two")
    services = idle.server.services
    await services.queue.days()
    while await services.planner.step():
        pass
    assert len(await services.queue.lease(4711, 1)) == 6, "small ones share a place"
    assert await services.queue.bury() == 6
    async with services.database.read() as connection:
        await connection.execute("update queued set not_before = 0 where lane_id < 0")
    await services.queue.ripen()
    assert len(await services.queue.lease(4711, 1)) == 1
    assert len(await services.queue.lease(4711, 3)) == 3
