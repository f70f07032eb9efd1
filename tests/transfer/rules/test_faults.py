"""Two rules, a drain, a cleaner, users who drop, storage that spoils, and workers that are killed, at once on the same files:
never a file without a good copy, never fewer than is wanted once they were there; in the end all is as wanted."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress

import pytest

from tests.transfer.rules.conftest import Ruled
from tests.transfer.work.test_faults import crew, leftovers

FILES = 60
SEED = 20261127
# Good copies of each file: where they are.
_GOOD = """select f.name, array_agg(e.name order by e.name) filter (where coalesce(s.state, 0) = 0) as good
    from file f cross join lateral unnest(f.se, coalesce(f.rstate, array_fill(0::smallint, array[cardinality(f.se)]))) s(id, state)
    join element e on e.id = s.id where f.kind = 0 group by f.name"""


class Watch:
    """Looks again and again at the good copies of every file, as others see them."""

    def __init__(self, site: Ruled) -> None:
        self._site = site
        self.spoilt: set[str] = set()
        self.looks = 0

    async def good(self) -> dict[str, set[str]]:
        async with self._site.server.services.database.read() as connection:
            return {r["name"]: set(r["good"] or ()) for r in await connection.fetch(_GOOD)}

    async def run(self) -> None:
        while True:
            found = await self.good()
            self.looks += 1
            assert len(found) == FILES
            assert all(found.values()), "a file without a good copy"
            few = {name for name, good in found.items() if len(good) < 2 or "three" not in good}
            assert few <= self.spoilt, "fewer than is wanted"
            await asyncio.sleep(0.02)

    async def all_on(self, *names: str) -> None:
        for _ in range(1500):
            found = await self.good()
            if len(found) == FILES and all(good == set(names) for good in found.values()):
                return
            await asyncio.sleep(0.05)
        raise AssertionError({name: good for name, good in found.items() if good != set(names)})


@pytest.mark.slow
async def test_all_at_once(ruled: Ruled) -> None:
    chance = random.Random(SEED)
    bodies = {f"f{n:03}": os.urandom(chance.randrange(0, 300_000)) for n in range(FILES)}
    for name, body in bodies.items():
        await ruled.put(f"/vo/d/{name}", body)
    await ruled.rule("/vo", (2, "country=*"), grace=0)
    await ruled.rule("/vo/d", (1, "country=DE"), grace=0)
    watch = Watch(ruled)
    async with crew(ruled, 2) as workers:
        await watch.all_on("one", "three")
        watching = asyncio.create_task(watch.run())
        try:
            await ruled.server.call("PATCH", "/v1/elements/one", {"state": "drain"})
            drain = await ruled.request("move", {"on": "one"}, to=r"type=disk \ one", source="one", copies=0)
            spoilt = chance.sample(sorted(ruled.objects("three")), 8)
            guids = [path.name for path in spoilt]
            named = await ruled.sql("select array_agg(name) from file where guid::text = any($1::text[])", guids)
            watch.spoilt = set(named)
            assert len(named) == len(spoilt)
            for path in spoilt:
                path.write_bytes(b"spoilt")
            verify = await ruled.request("verify", {"under": "/vo/d"}, source="three")
            for turn in range(5):
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                drops = [{"lfn": f"/vo/d/{name}", "se": chance.choice(["one", "two", "three"])} for name in bodies]
                await ruled.server.call("POST", "/v1/replicas/drop", {"replicas": drops})
                await workers.kill(turn % 2, signal.SIGKILL)
                await workers.hire()
            await ruled.ended(drain["id"])
            await ruled.ended(verify["id"])
            await watch.all_on("two", "three")
            watch.spoilt = set()
            await asyncio.sleep(0.5)
            assert not watching.done(), watching.exception()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        assert watch.looks > 50
        await ruled.until(lambda: _quiet(ruled))
    assert await leftovers(ruled) == []
    for name, body in bodies.items():
        for se in ("two", "three"):
            assert (await ruled.get(f"/vo/d/{name}", f"?se={se}"))[1] == body


async def _quiet(site: Ruled) -> bool:
    counts = await site.counts()
    return counts["queued"] == counts["active"] == 0
