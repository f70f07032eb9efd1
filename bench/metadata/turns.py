"""Times of two ways to the same answer, taken by turns; and the CPU of ours."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..timing import REPEATS, Cpu
from ..world import World

_ROW = 5  # times that each way is taken in a row: a single short call is less than the CPU's clock tells


class Times(NamedTuple):
    """The best of each, in seconds; `cpu` of ours for one of so many items."""

    ours: float
    raw: float
    cpu: str


async def turns(
    world: World,
    ours: Callable[[], Awaitable[int]],
    raw: Callable[[], Awaitable[int]] | None = None,
    *,
    row: int = _ROW,
) -> Times:
    """Both answer with how many items they found: the same number, or AssertionError. The first turn is not counted."""
    best, cpu = [float("inf"), float("inf")], ""
    for repeat in range(REPEATS + 1):
        meter, found = Cpu(server=world.host.servers, postgres=world.host.postgres), 0
        for _ in range(row):
            seconds, number = await _timed(ours)
            found += number
            if repeat:
                best[0] = min(best[0], seconds)
        cpu = meter.per(found)
        for _ in range(row if raw else 0):
            assert raw is not None
            seconds, number = await _timed(raw)
            assert number * row == found, (number, found / row)
            if repeat:
                best[1] = min(best[1], seconds)
    return Times(*best, cpu)


async def _timed(work: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    gc.collect()
    gc.disable()  # the collector of the measuring process would be counted on either side
    try:
        begun = time.perf_counter()
        number = await work()
        return time.perf_counter() - begun, number
    finally:
        gc.enable()
