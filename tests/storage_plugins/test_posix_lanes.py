"""Small objects: many calls in few threads."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from storage_plugins import registry
from storage_plugins.chunks import chunked
from storage_plugins.errors import ObjectExists, Unavailable
from storage_plugins.posix_lanes import Lanes

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_call_gets_its_own_end() -> None:
    with ThreadPoolExecutor(4) as pool:
        lanes = Lanes(pool, 4)
        told = await asyncio.gather(*(lanes.submit(partial(divmod, 1, n)) for n in range(100)), return_exceptions=True)
    assert isinstance(told[0], ZeroDivisionError)
    assert told[1:] == [(1, 0), *((0, 1) for _ in range(98))]


async def test_no_call_waits_behind_one_that_hangs() -> None:
    with ThreadPoolExecutor(2) as pool:
        lanes, meeting = Lanes(pool, 2), threading.Barrier(2)
        async with asyncio.timeout(20):
            assert sorted(await asyncio.gather(*(lanes.submit(meeting.wait) for _ in range(2)))) == [0, 1]


async def test_a_cancelled_call_takes_nobody_along() -> None:
    with ThreadPoolExecutor(1) as pool:
        lanes, gate = Lanes(pool, 1), threading.Event()
        first, second, third = lanes.submit(gate.wait), lanes.submit(lambda: 2), lanes.submit(lambda: 3)
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        assert (await first, await third) == (True, 3)


async def test_a_closed_element_takes_no_small_object(tmp_path: Path) -> None:
    element = registry.open("posix", {"path": str(tmp_path / "root")})
    assert (await element.probe(prepare=True)).ok
    await element.write("a", chunked(b"a"))
    await element.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await element.write("b", chunked(b"b"))
    assert not (tmp_path / "root/b").exists()


async def test_of_many_writers_of_each_name_one_wins_and_nothing_is_left(tmp_path: Path) -> None:
    root = tmp_path / "root"
    element = registry.open("posix", {"path": str(root), "mode": "640"})
    assert (await element.probe(prepare=True)).ok
    names = [f"{n % 10}/deep/{n % 50}" for n in range(200)]
    writes = (element.write(name, chunked(b"%d" % n), size=len(b"%d" % n)) for n, name in enumerate(names))
    told = await asyncio.gather(*writes, return_exceptions=True)
    await element.aclose()
    won = [name for name, end in zip(names, told, strict=True) if not isinstance(end, BaseException)]
    assert sorted(won) == sorted(set(names))
    assert len(won) == 50
    assert all(isinstance(end, ObjectExists) for end in told if isinstance(end, BaseException))
    assert os.listdir(root / ".lading-staging") == []
    assert {(root / name).stat().st_mode & 0o777 for name in won} == {0o640}
