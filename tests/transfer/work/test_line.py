"""Small jobs share a place of their link, and wait their turn there."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lading.model.request import RequestKind
from transfer.queue.queue import Lease
from transfer.queue.shares import PLACE, weight
from transfer.work.job import Job, Order
from transfer.work.line import Line


@given(st.lists(st.integers(0, 3 * PLACE), max_size=40))
def test_a_line_runs_no_more_at_once_than_its_places(sizes: list[int]) -> None:
    line = Line()
    jobs = [job(n, size) for n, size in enumerate(sizes)]
    line.add(jobs)
    places = math.ceil(sum(weight(size) for size in sizes))
    assert line.places() == places
    running = list(line.begin())
    assert len(running) == min(places, len(jobs))
    done = []
    while running:
        done.append(running.pop(0))
        line.ended(done[-1])
        running += line.begin()
        assert len(running) <= max(line.places(), 1)
    assert [j.lease.id for j in done] == [j.lease.id for j in jobs], "in the order of their leases"
    assert (line.places(), list(line.waiting())) == (0, [])


def test_what_has_not_begun_is_taken_back() -> None:
    line = Line()
    jobs = [job(n, 1, request=n % 2) for n in range(6)]
    line.add(jobs)
    assert list(line.begin()) == jobs[:1]
    assert line.take_back({1}) == [jobs[1], jobs[3], jobs[5]]
    assert list(line.waiting()) == [jobs[2], jobs[4]]
    assert line.take_back() == [jobs[2], jobs[4]]
    line.ended(jobs[0])
    assert line.places() == 0


def job(number: int, size: int, request: int = 1) -> Job:
    lease = Lease(number, 1, 1, 2, "user", 1, 0, request, number, size, 0, 0)
    order = Order(request, RequestKind.REPLICATE, 1, 1, "", "", {})
    return Job(lease, order, "/vo/f", "", size, {}, [], None, "")  # type: ignore[arg-type]  # its target does not matter
