"""Jobs in a worker's hands: those that run, and small ones that wait their turn.

Many small transfers take one place of their link (`shares.weight`), so that it is not the telling of each to the
catalogue that takes the time. They run one after the other in that place: no more at once over a link than its places.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from ..queue.shares import weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .job import Job

Link = tuple[int, int]


class Line:
    def __init__(self) -> None:
        self._waiting: dict[Link, deque[Job]] = defaultdict(deque)
        self._running: Counter[Link] = Counter()
        self._weights: defaultdict[Link, float] = defaultdict(float)

    def places(self) -> int:
        """That all jobs take of what the worker does at once."""
        return sum(math.ceil(taken) for taken in self._weights.values())

    def add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            link = _link(job)
            self._waiting[link].append(job)
            self._weights[link] += weight(job.lease.bytes, job.lease.deaths)

    def begin(self) -> Iterator[Job]:
        """Those whose turn it is now; each is to be told `ended` once."""
        for link, waiting in list(self._waiting.items()):
            while waiting and self._running[link] < math.ceil(self._weights[link]):
                self._running[link] += 1
                yield waiting.popleft()
            if not waiting:
                del self._waiting[link]

    def ended(self, job: Job) -> None:
        link = _link(job)
        self._running[link] -= 1
        self._forget(link, job)

    def take_back(self, requests: set[int] | None = None) -> list[Job]:
        """Those that have not begun, of some requests or all: they are not the line's any more."""
        taken = []
        for link, waiting in list(self._waiting.items()):
            going = [job for job in waiting if requests is None or job.order.id in requests]
            for job in going:
                waiting.remove(job)
                self._forget(link, job)
            taken += going
        return taken

    def waiting(self) -> Iterator[Job]:
        for waiting in self._waiting.values():
            yield from waiting

    def _forget(self, link: Link, job: Job) -> None:
        self._weights[link] -= weight(job.lease.bytes, job.lease.deaths)
        if self._running[link] == 0 and not self._waiting.get(link):
            del self._weights[link], self._running[link]
            self._waiting.pop(link, None)


def _link(job: Job) -> Link:
    return job.lease.source, job.lease.target
