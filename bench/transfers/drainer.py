"""A worker without bytes: it leases, and ends what it has leased as done, until nothing is left. Prints how many."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop

from catalog.db import Transaction, now
from doors import app
from doors.config import Config
from lading.model.principal import SYSTEM
from lading.model.request import Result
from transfer.queue.queue import Ended, Lease
from transfer.queue.store import QueueStore

_WANTED = 500  # leases at a time, ended in one transaction


async def main(dsn: str, data: str, most: int) -> None:
    services = app.wire(msgspec.structs.replace(Config(), database_url=dsn, data=Path(data)))
    await services.database.open()
    store, queue = QueueStore(), services.queue
    async with services.database.read() as connection:
        worker = await store.begin_worker(connection, "bench", 1, {}, now() + 3_600_000_000)
    await queue.days()
    done = idle = 0

    async def end(leases: list[Lease]) -> None:
        async def work(tx: Transaction) -> None:
            held = await queue.fence(tx, worker, [lease.id for lease in leases])
            await queue.settle(
                tx,
                worker,
                [Ended(lease, Result.DONE, way="stream", bytes=lease.bytes) for lease in leases if lease.id in held],
            )
            tx.audit([], count=len(leases))

        await services.database.change(SYSTEM, "transfer", work)

    while done < most and idle < 20:
        leases = await queue.lease(worker, _WANTED)
        if leases:
            await end(leases)
            done, idle = done + len(leases), 0
        else:  # the others have all that the limits allow
            idle += 1
            await asyncio.sleep(0.005)
    async with services.database.read() as connection:
        await store.end_worker(connection, worker)
    await services.close()
    print(done)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
