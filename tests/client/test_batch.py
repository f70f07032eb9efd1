"""Many items: cut into calls, several at a time, one outcome each in order, whatever happens to a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web

import lading.client.retry
from lading import Client, Unavailable
from lading.client.batch import BATCH, pipelined
from lading.client.jobs import Job, looking_ahead, run
from lading.model.errors import CatalogError, Conflict
from lading.model.file import FileSpec
from tests.client.proxy import Proxy
from tests.client.support import Bench
from tests.server import Server


async def test_outcomes_are_in_order(bench: Bench) -> None:
    names = [f"/vo/d{i % 7}/f{i}" if i % 1000 else "bad" for i in range(2 * BATCH + 500)]
    outcomes = await bench.client.register(FileSpec(name, 1) for name in names)
    assert [o.item for o in outcomes] == names
    assert [i for i, o in enumerate(outcomes) if o.error] == [0, 1000, 2000]
    found = await bench.client.stat(names)
    assert [o.value.lfn if o.value else "bad" for o in found] == names
    assert sum([1 async for _ in bench.client.list("/vo/d1", page=100)]) == len([n for n in names if "/d1/" in n])


async def test_no_items_no_call() -> None:
    async with Client("http://127.0.0.1:1", "t") as client:
        assert await client.stat([]) == []


async def test_what_was_done_stays_known(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes away in the middle: outcomes until there, the fault for the rest, and no call after it."""
    monkeypatch.setattr(lading.client.retry, "FIRST", 0.001)
    calls = 0

    def fault(request: web.Request, _: int) -> web.Response | None:
        nonlocal calls
        calls += 1
        return web.Response(status=503) if calls > 2 else None

    proxy.fault = fault
    async with Client(proxy.url, server.token, tries=2) as client:
        moves = [(f"/vo/a{i}", f"/vo/b{i}") for i in range(5 * BATCH)]  # one call at a time
        outcomes = await client.move(moves)
        codes = [o.error.code for o in outcomes if o.error]
        assert codes == ["not_found"] * 2 * BATCH + ["unavailable"] * 3 * BATCH
        assert outcomes[-1].item == f"/vo/a{5 * BATCH - 1}"
        assert calls == 4  # the third call and its retry
        calls = 10
        with pytest.raises(Unavailable):
            await client.move(moves)


async def test_pipelined_keeps_order_and_width() -> None:
    running = most = 0

    async def call(batch: list[int]) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05 if batch[0] % 3 == 0 else 0.03)
        running -= 1
        if batch == [4]:
            raise Conflict("four")
        return batch[0]

    taken = 0

    def source() -> Iterator[list[int]]:
        nonlocal taken
        for i in range(20):
            taken += 1
            yield [i]

    got = []
    async for batch, result in pipelined(source(), call, 3):
        got.append("four" if isinstance(result, CatalogError) else result)
        assert taken <= batch[0] + 4
    assert got == [0, 1, 2, 3, "four", *range(5, 20)]
    assert most == 3


async def test_jobs_end_in_any_order_and_slow_ones_hold_nobody_up() -> None:
    async def jobs():
        for i in range(10):
            yield Job(str(i), lambda i=i: work(i))

    async def work(i: int) -> int:
        await asyncio.sleep(0.3 if i == 0 else 0)
        if i == 3:
            raise Conflict("three")
        return i

    outcomes = [o async for o in run(jobs(), 2)]
    assert outcomes[-1].item == "0"
    assert {o.item: o.value for o in outcomes if not o.error} == {str(i): i for i in range(10) if i != 3}


async def test_leaving_jobs_early_stops_them() -> None:
    stopped = []

    async def work(i: int) -> int:
        try:
            await asyncio.sleep(30 if i else 0)
        except asyncio.CancelledError:
            stopped.append(i)
            raise
        return i

    async def jobs():
        for i in range(10):
            yield Job(str(i), lambda i=i: work(i))

    running = run(jobs(), 3)
    assert (await anext(running)).value == 0
    await asyncio.sleep(0)
    await running.aclose()
    assert sorted(stopped) == [1, 2]  # cancelled together, in no order


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [(1, True)]), (4, [(2, False), (2, True)]), (5, [(2, False), (2, False), (1, True)])],
)
async def test_looking_ahead(count: int, sizes: list[tuple[int, bool]]) -> None:
    async def slowly():
        for i in range(count):
            yield i

    for items in (range(count), slowly()):
        assert [(len(batch), last) async for batch, last in looking_ahead(items, 2)] == sizes
