"""Whose turn it is: how many transfers of each lane begin now, so that no limit is passed and nobody is forgotten.

Pure: no I/O, no clock. Activities share in proportion to their weights (weighted fair queuing by what is under way),
groups so within each activity, and within a group the links that are least busy for their limit come first.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLACE = 64 << 20  # bytes of a transfer that takes a whole place under the limits
MANY = 16  # of small ones share a place, and are done one after the other there
LINK = 10  # transfers at once over a link that nothing is known of
ELEMENT = 100  # to and from one element


def weight(size: int, deaths: int = 0) -> float:
    """The part of a place that a transfer of so many bytes takes. One that workers died with has a whole place: it may
    be what killed them, and is to take no others along."""
    return 1.0 if deaths else min(1.0, max(size / PLACE, 1 / MANY))


class Lane(NamedTuple):
    """What waits in one line: transfers of one activity and one group over one link."""

    id: int
    source: int
    target: int
    activity: str
    group: int


class Share(NamedTuple):
    weight: float = 1.0
    most: int | None = None  # at once


@dataclass(slots=True)
class Limits:
    """Transfers at once, small ones sharing a place. What is not named has the default, and shares of weight 1."""

    links: Mapping[tuple[int, int], int] = field(default_factory=dict)
    elements: Mapping[int, int] = field(default_factory=dict)
    activities: Mapping[str, Share] = field(default_factory=dict)
    groups: Mapping[int, Share] = field(default_factory=dict)

    def link(self, source: int, target: int) -> int:
        return self.links.get((source, target), LINK)

    def element(self, element: int) -> int:
        return self.elements.get(element, ELEMENT)


_EQUAL = Share()


class _Turn:
    """One round: what is under way, and what has been given out on top of it."""

    def __init__(self, limits: Limits, active: Iterable[tuple[Lane, int]]) -> None:
        self._limits = limits
        self.links: Counter[tuple[int, int]] = Counter()
        self.elements: Counter[int] = Counter()
        self.activities: Counter[str] = Counter()
        self.groups: Counter[int] = Counter()
        self.lines: Counter[tuple[str, int]] = Counter()
        for lane, count in active:
            self.take(lane, count)

    def take(self, lane: Lane, count: int) -> None:
        self.links[lane.source, lane.target] += count
        for element in {lane.source, lane.target}:
            self.elements[element] += count
        self.activities[lane.activity] += count
        self.groups[lane.group] += count
        self.lines[lane.activity, lane.group] += count

    def room(self, lane: Lane) -> int:
        """How many more of the lane any limit allows."""
        limits = self._limits
        rooms = [limits.link(lane.source, lane.target) - self.links[lane.source, lane.target]]
        rooms += [limits.element(e) - self.elements[e] for e in {lane.source, lane.target}]
        for most, used in (
            (limits.activities.get(lane.activity, _EQUAL).most, self.activities[lane.activity]),
            (limits.groups.get(lane.group, _EQUAL).most, self.groups[lane.group]),
        ):
            if most is not None:
                rooms.append(most - used)
        return min(rooms)

    def by_activity(self, activity: str) -> tuple[float, str]:
        return self.activities[activity] / self._limits.activities.get(activity, _EQUAL).weight, activity

    def by_group(self, activity: str, group: int) -> tuple[float, int]:
        return self.lines[activity, group] / self._limits.groups.get(group, _EQUAL).weight, group

    def busy(self, lane: Lane) -> float:
        return self.links[lane.source, lane.target] / max(self._limits.link(lane.source, lane.target), 1)


def allot(lanes: Iterable[Lane], active: Iterable[tuple[Lane, int]], limits: Limits, wanted: int) -> dict[int, int]:
    """{lane id: places for transfers that may begin now}, `wanted` at most in all. `active` counts the places that are
    taken (their ids do not matter). Lanes in an order of the caller's choice: of equals the first has its turn."""
    turn = _Turn(limits, active)
    waiting: dict[str, dict[int, list[tuple[float, int, Lane]]]] = defaultdict(lambda: defaultdict(list))
    for order, lane in enumerate(lanes):
        heapq.heappush(waiting[lane.activity][lane.group], (turn.busy(lane), order, lane))
    given: Counter[int] = Counter()
    piece = max(1, wanted // 64)  # for many at once not each by itself
    while wanted > 0 and waiting:
        activity = min(waiting, key=turn.by_activity)
        groups = waiting[activity]
        group = min(groups, key=lambda g: turn.by_group(activity, g))
        heap = groups[group]
        _, order, lane = heapq.heappop(heap)
        count = min(turn.room(lane), piece, wanted)
        if count > 0:  # else a limit is reached: it only gets fuller, so the lane is out of this round
            turn.take(lane, count)
            given[lane.id] += count
            wanted -= count
            heapq.heappush(heap, (turn.busy(lane), order, lane))
        if not heap:
            del groups[group]
            if not groups:
                del waiting[activity]
    return dict(given)
