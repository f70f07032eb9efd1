"""What the catalogue has on an element is found by the element's directories, whatever else the catalogue holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from catalog.db import Connection
from tests.catalog.world import World
from tests.metadata import bulk
from tests.plans import plans_of
from transfer.requests.store import RequestsStore
from transfer.scan.store import ScanStore

store = ScanStore()


@pytest_asyncio.fixture
async def big(dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """40,000 files in 2,000 directories, a tenth of them with a replica on element 7, which need not exist."""
    world = World(dsn, tmp_path)
    await bulk.fill(world, 2000, 20)
    await world.sql("update file set se = '{7}' from dir where dir.id = dir_id and kind = 0 and path like '%0'")
    await world.sql(
        "insert into dir_usage(dir_id, se_id, nfiles, bytes) select dir_id, 7, count(*), 0 from file where 7 = any(se)"
        " group by 1"
    )
    await world.sql("vacuum analyze")
    yield world
    await world.close()


async def every(batches: AsyncIterator[Any]) -> list[Any]:
    return [batch async for batch in batches]


async def test_replicas_are_found_by_directories(big: World) -> None:
    async def work(connection: Connection) -> None:
        """The statements that are run by COPY, where no plan can be had."""
        for statement in (ScanStore._CLAIMS, ScanStore._REPLICAS):
            assert len(await connection.fetch(statement, 7, "", "")) == 4000

    for plan in await plans_of(big.dsn, work, wide=True):
        if "starts_with" in plan.statement:
            assert plan.uses("dir_usage_se", "se_id"), plan
            assert plan.uses("file_dir_name_key", "dir_id"), plan
            assert plan.scans <= {"replica_info"}, plan  # which has hardly a row


async def test_what_an_order_about_an_element_is_about(big: World) -> None:
    async def work(connection: Connection) -> None:
        found = await RequestsStore().on(connection, 7, 0, "", 5000)
        assert len(found) == 4000
        later = await RequestsStore().on(connection, 7, found[999]["dir_id"], found[999]["name"], 5000)
        assert later == found[1000:]

    [plan] = [p for p in await plans_of(big.dsn, work) if "dir_usage" in p.statement]
    assert plan.uses("dir_usage_se", "se_id")
    assert plan.uses("file_dir_name_key", "dir_id")
    assert plan.scans <= {"dir"}, plan  # two thousand of them: hashing all costs as much as looking some up


async def test_what_is_under_way_is_found_by_the_element(big: World) -> None:
    async def work(connection: Connection) -> None:
        await store.uploads(connection, 7, "")
        await every(store.deletions(connection, 7, ""))
        await store.files(connection, [1, 2], 7)

    await big.sql(
        "insert into deletion(se_id, pfn, not_before) select i % 100, 'p' || i, i from generate_series(1, 20000) i"
    )
    await big.sql(
        "insert into upload(id, lfn, se_id, pfn, guid, user_id, started, expires) select gen_random_uuid(), 'l', i % 100,"
        " 'p' || i, gen_random_uuid(), 1, 1, 1 from generate_series(1, 20000) i"
    )
    await big.sql("analyze")
    plans = await plans_of(big.dsn, work, wide=True)
    used: set[str] = set().union(*(plan.indexes for plan in plans))
    assert {"upload_object", "file_pkey", "dir_pkey"} <= used
    assert used & {"deletion_due", "deletion_object"}
    read: set[str] = set().union(*(plan.scans for plan in plans))
    assert not read & {"upload", "deletion", "file", "dir"}, plans
