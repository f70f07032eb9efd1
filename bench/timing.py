"""How times are taken: raw limit and lading by turns, the best of each; and whose CPU it was."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
REPEATS = 4


async def drive(workers: Sequence[Callable[[T], Awaitable[None]]], work: Iterable[T]) -> float:
    """Seconds that the workers take for all of the work, each one at a time."""
    left = iter(work)

    async def one(worker: Callable[[T], Awaitable[None]]) -> None:
        for item in left:
            await worker(item)

    gc.collect()
    gc.disable()  # the collector of the measuring process would be counted on either side
    try:
        begun = time.perf_counter()
        await asyncio.gather(*(one(w) for w in workers))
        return time.perf_counter() - begun
    finally:
        gc.enable()


@dataclass
class Pair:
    """Rates of ours and of the raw limit, repeated by turns. `best()` compares the best of each."""

    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    def best(self) -> tuple[float, float]:
        return max(self.ours), max(self.raw)


class Cpu:
    """CPU seconds of processes (their threads and live children included) since the object was made."""

    def __init__(self, **pids: Sequence[int]) -> None:
        self._pids = pids
        self._begin = self._now()

    def _now(self) -> dict[str, float]:
        return {name: sum(_seconds(p) for p in pids) for name, pids in self._pids.items()}

    def per(self, items: int) -> str:
        """As `server 4.1 + postgres 11.0 us`, for each of so many items."""
        spent = {name: (end - self._begin[name]) / items * 1e6 for name, end in self._now().items()}
        return " + ".join(f"{name} {used:.3g}" for name, used in spent.items()) + " us"


def tree(root: int) -> list[int]:
    """A process and all below it that are alive now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _seconds(pid: int) -> float:
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, what: str = "VmHWM") -> int:
    """Bytes a process has resident (`VmRSS`), or had at most (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(what)
