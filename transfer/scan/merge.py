"""The two sides merged, some ten thousand places at a time, in a thread."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from lading.model.scan import Progress

from .compare import Found, compare
from .gather import EVERY
from .lines import whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from lading.model.scan import ScanSummary

    from .runs import Runs

_LINES = 50_000  # compared between two turns of the event loop
FOUND = 1_000  # findings handed on at once


async def findings(
    runs: Runs, cutoff: int, summary: ScanSummary, *, dump: bool = False
) -> AsyncGenerator[list[Found] | Progress, None]:
    """What `compare` finds in all lines of `runs`, at most FOUND at once, and a sign of life every second."""
    every = whole(runs.merged())
    told = time.monotonic()

    def more() -> list[Found] | None:
        """Those of some thousand places; None at the end."""
        read = 0
        found: list[Found] = []
        for lines in every:
            read += len(lines)
            found += compare(lines, cutoff, summary, dump=dump)
            if read >= _LINES:
                return found
        return found if read else None

    while (found := await asyncio.to_thread(more)) is not None:
        for at in range(0, len(found), FOUND):
            yield found[at : at + FOUND]
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            yield Progress("compare", summary.objects)
