"""Third-party copies: two servers send and receive, we hold both control connections and hear how far they are.

The receiver tells in replies 111 which bytes it has (restart markers) and in 112 how many (performance markers). A copy
that broke off goes on with what is missing: both servers are told the markers (REST in MODE E, GFD.20 section 3).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from .errors import Transient, Unsupported
from .gridftp_channels import passive, port_command
from .gridftp_transfers import under_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .gridftp_control import Control
    from .gridftp_replies import Reply
    from .powers import Progress

_MARKERS = ("TREV PERF 1", "TREV RESTART 1")  # every second, for servers that know how to be asked
_RANGE = re.compile(r"(\d{1,19})-(\d{1,19})")
# A Globus receiver whose transfer is broken off may write the last piece it got to the beginning of the file (seen with
# 13.24 in one of four): so much there is sent again, whatever its markers tell.
_DOUBTFUL = 1 << 24
_TOLD = 64  # ranges that a server is told at most: of what is left out, bytes are sent once more
_STRIPES = 1024  # servers that a receiver can be made of
_STRIPE = re.compile(r"Stripe Index:\s*(\d{1,6})")
_BYTES = re.compile(r"Stripe Bytes Transferred:\s*(\d{1,19})")


class Kept:
    """The bytes of a file of `size` that the receiver says it has, but for the first, which are doubtful."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ranges: list[tuple[int, int]] = []

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self._ranges)

    @property
    def told(self) -> str:
        """As REST takes it, the longest ranges."""
        longest = sorted(self._ranges, key=lambda one: one[0] - one[1])[:_TOLD]
        return ",".join(f"{start}-{end}" for start, end in sorted(longest))

    def add(self, marker: str) -> None:
        """Ranges as reply 111 tells them; nonsense is passed over."""
        found = [(max(int(start), _DOUBTFUL), int(end)) for start, end in _RANGE.findall(marker)]
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._ranges, *(one for one in found if one[0] < one[1] <= self.size)]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        self._ranges = merged

    def clear(self) -> None:
        """It is not to be relied on."""
        self._ranges = []


class Watch:
    """Hears the receiver's markers. `grew` when they tell of more than before: some also come when all stands still."""

    def __init__(self, kept: Kept, progress: Progress | None) -> None:
        self._kept = kept
        self._before = kept.total
        self._progress = progress
        self._moved: dict[str, int] = {}
        self.grew = False

    def __call__(self, reply: Reply) -> None:
        before = self._so_far
        if reply.code == 111:
            self._kept.add(reply.text)
        stripe, moved = _STRIPE.search(reply.text), _BYTES.search(reply.text)
        if reply.code == 112 and stripe and moved and len(self._moved) < _STRIPES:
            self._moved[stripe[1]] = int(moved[1])
            if self._progress:
                self._progress(self._before + sum(self._moved.values()))
        self.grew |= self._so_far != before

    @property
    def _so_far(self) -> tuple[int, int]:
        return self._kept.total, sum(self._moved.values())


async def third_party_copy(
    source: Control,
    source_line: str,
    target: Control,
    target_line: str,
    *,
    streams: int,
    kept: Kept,
    progress: Progress | None,
    other_hosts: bool,
    grows: Callable[[], Awaitable[bool]],
) -> None:
    """From RETR of `source_line` to STOR of `target_line`, over so many connections; without any in MODE S. What is in
    `kept` is left out, and `kept` grows with what has come. `grows` is asked when the receiver told of no
    progress for a while.

    Raises Transient when it broke off; it can be tried again with the same `kept`.
    """
    if source.identity != target.identity and (source.delegated or target.delegated):
        raise Unsupported("the two servers know us by different certificates, and have to prove who they are")
    for control in (source, target):
        await control.set("MODE E" if streams else "MODE S")
    if streams:
        await source.set(f"OPTS RETR Parallelism={streams},{streams},{streams};")
        for line in _MARKERS:
            await target.ask(line)
    host, port = await passive(target, other_hosts=other_hosts)
    await source.do(port_command(host, port))
    if streams and kept.total:
        for control in (target, source):
            await control.restart(kept.told)
    watch = Watch(kept, progress)
    async with (
        under_way(target, target_line, None, on_reply=watch) as stored,
        under_way(source, source_line, None) as sent,
    ):
        while waiting := {task for task in (stored, sent) if not task.done()}:
            done, _ = await asyncio.wait(waiting, timeout=target.patience, return_when=asyncio.FIRST_COMPLETED)
            if not done and not watch.grew and not await grows():
                raise Transient(f"nothing was copied within {target.patience:g} s")
            watch.grew = False
