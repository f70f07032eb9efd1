"""The two sides merged, some ten thousand places at a time, in a thread."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING

from lading.model.scan import Progress

from .compare import Found, compare
from .gather import EVERY
from .lines import places

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from lading.model.scan import ScanSummary

    from .runs import Runs

_PLACES = 20_000  # compared between two turns of the event loop
FOUND = 1_000  # findings handed on at once


async def findings(
    runs: Runs, cutoff: int, summary: ScanSummary, *, dump: bool = False
) -> AsyncGenerator[list[Found] | Progress, None]:
    """What `compare` finds in all lines of `runs`, at most FOUND at once, and a sign of life every second."""
    every = places(runs.merged())
    told, done = time.monotonic(), 0

    def more() -> tuple[int, list[Found]]:
        some = list(islice(every, _PLACES))
        return len(some), list(compare(some, cutoff, summary, dump=dump))

    while (result := await asyncio.to_thread(more))[0]:
        count, found = result
        done += count
        for at in range(0, len(found), FOUND):
            yield found[at : at + FOUND]
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            yield Progress("compare", done)
