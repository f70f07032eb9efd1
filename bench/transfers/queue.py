"""The queue: transfers put in, leased within limits and shares by four workers, and ended; when it is short and when long.

Raw limits: COPY of the same rows into a table of the same columns and indexes; and, for leasing, the bare statements of
a queue (delete with SKIP LOCKED, insert into another table, delete there), 500 rows at a time, by as many connections.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import defaultdict
from typing import Any

import asyncpg
import msgspec

from catalog.db import Transaction
from doors import app
from doors.config import Config
from lading.model.principal import SYSTEM

from ..cli import say
from ..host import ROOT, Host
from ..report import Figure, limit, rate

WORKERS = 4
_PIECE = 1000  # transfers of a transaction, as the planner has it
_LEASED = 60_000  # by all together, each time
_SHORT = 100_000  # in the queue, beside a million


class Request(dict[str, Any]):
    """As much of a request as the queue asks for."""


async def measure(host: Host, queued: int) -> list[Figure]:
    config = msgspec.structs.replace(Config(), database_url=host.dsn, data=host.data)
    services = app.wire(config)
    await services.database.open()
    connection = await asyncpg.connect(host.dsn, server_settings={"jit": "off"})
    try:
        elements = [e.id for e in services.elements.every()] if await _ready(services) else []
        links = [(a, b) for a, b in itertools.permutations(elements, 2)]
        requests = [await _request(connection, f"activity{n % 3}") for n in range(6)]

        async def enqueue(count: int) -> float:
            begun = time.perf_counter()
            done = 0
            while done < count:
                request = requests[(done // _PIECE) % len(requests)]
                rows = [(*links[(done + n) % len(links)], done + n + 1, 1000) for n in range(_PIECE)]

                async def work(tx: Transaction, request: Request = request, rows: Any = rows) -> None:
                    await services.queue.add(tx, request, rows)  # type: ignore[arg-type]
                    tx.audit([], count=len(rows))

                await services.database.change(SYSTEM, "bench", work)
                done += _PIECE
            return count / (time.perf_counter() - begun)

        await enqueue(_SHORT)
        await connection.execute("vacuum analyze queued")
        say("  leasing from a short queue ...")
        short = await _lease(host)
        say(f"  {short:,.0f}/s; queueing ...")
        added = await enqueue(queued)
        raw = await _copy(connection, queued)
        await connection.execute("vacuum analyze queued")
        say(f"  {added:,.0f}/s; leasing from a long queue ...")
        long = await _lease(host)
        bare = await _bare(host, connection)
        return [
            rate(f"queue {queued:,} transfers, 1,000 a transaction", "transfers/s", added, raw, None),
            Figure("  the same, of 100,000/s", "transfers/s", added, None, added, 100_000),
            rate(
                f"lease and end, {WORKERS} workers, {len(links)} links, 3 activities", "transfers/s", long, bare, None
            ),
            Figure("  the same, of 10,000/s", "transfers/s", long, None, long, 10_000),
            limit(f"  slower with {queued:,} in the queue than with {_SHORT:,}", "%", (1 - long / short) * 100, 20),
        ]
    finally:
        await connection.close()
        await services.close()


async def _ready(services: app.Services) -> bool:
    async with services.database.read() as connection:
        await services.elements.ready(connection)
    return True


async def _request(connection: asyncpg.Connection[asyncpg.Record], activity: str) -> Request:
    number = await connection.fetchval(
        "insert into request(kind, user_id, selection, activity, group_id, state, planned, files, created)"
        " select 'replicate', 1, '{}', $1, 1, 'running', false, 0, 1 returning id",
        activity,
    )
    return Request(id=number, activity=activity, group_id=1, priority=0)


async def _lease(host: Host) -> float:
    """Transfers a second that the workers lease and end, without the time that such processes take to begin."""
    command = (sys.executable, "-m", "bench.transfers.drainer", host.dsn, str(host.data), str(_LEASED // WORKERS))
    begun = time.perf_counter()
    workers = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE) for _ in range(WORKERS)
    ]
    done = sum([int((await worker.communicate())[0] or 0) for worker in workers])
    return done / (time.perf_counter() - begun - await _start())


async def _start() -> float:
    """Seconds that such processes take to begin: four at once, with nothing to do."""
    begun = time.perf_counter()
    idle = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", "import bench.transfers.drainer", cwd=ROOT)
        for _ in range(WORKERS)
    ]
    for process in idle:
        await process.wait()
    return time.perf_counter() - begun


async def _copy(connection: asyncpg.Connection[asyncpg.Record], count: int) -> float:
    await connection.execute("create temp table raw_queued (like queued including all)")
    begun = time.perf_counter()
    for start in range(0, count, _PIECE):
        await connection.copy_records_to_table(
            "raw_queued", records=[(n, 1 + n % 30, 0, 1, n, 1000, 0, 0, 0) for n in range(start, start + _PIECE)]
        )
    speed = count / (time.perf_counter() - begun)
    await connection.execute("drop table raw_queued")
    return speed


async def _bare(host: Host, connection: asyncpg.Connection[asyncpg.Record]) -> float:
    await connection.execute("drop table if exists bare_queued, bare_active")
    await connection.execute("create table bare_queued (like queued including all)")
    await connection.execute("create table bare_active(id bigint primary key, bytes bigint)")
    await connection.execute("insert into bare_queued select * from queued limit 200000")
    counts: dict[int, int] = defaultdict(int)

    async def worker(number: int) -> None:
        one = await asyncpg.connect(host.dsn, server_settings={"jit": "off"})
        while counts[number] < _LEASED // WORKERS:
            rows = await one.fetch(
                "with d as (delete from bare_queued where id in (select id from bare_queued where lane_id > 0 order by id"
                " limit 500 for update skip locked) returning id, bytes) insert into bare_active select * from d returning id"
            )
            await one.execute("delete from bare_active where id = any($1::bigint[])", [r["id"] for r in rows])
            counts[number] += len(rows)
        await one.close()

    begun = time.perf_counter()
    await asyncio.gather(*(worker(n) for n in range(WORKERS)))
    speed = sum(counts.values()) / (time.perf_counter() - begun)
    await connection.execute("drop table bare_queued, bare_active")
    return speed
