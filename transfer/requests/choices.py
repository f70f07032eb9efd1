"""Which copies are made from where to where: decided file by file, from what is known at the moment. Pure: no I/O."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.model.replica import STATES, ReplicaState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from catalog.elements.service import Element

AVAILABLE, SUSPECT = STATES.index(ReplicaState.AVAILABLE), STATES.index(ReplicaState.SUSPECT)


class Known(NamedTuple):
    """A file and its copies: {element id: state}."""

    id: int
    path: str
    size: int
    copies: Mapping[int, int]


class Need(NamedTuple):
    """What a rule wants of a file: so many good copies on these elements. One that stands still orders none, but what
    it has is counted on."""

    copies: int
    elements: frozenset[int]
    rule: int = 0
    orders: bool = True

    def breaks(self, dropped: int, after: Set[int]) -> bool:
        """Would it lack a copy by the drop, or lack one more? `after`: where good copies are left."""
        return dropped in self.elements and len(self.elements & after) < self.copies


@dataclass(slots=True)
class Choice:
    """What a request comes to for one file: transfers (source, target), copies to drop at once, or why nothing."""

    transfers: list[tuple[int, int]] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    refusal: str | None = None


@dataclass(slots=True)
class Pool:
    """Elements as a request sees them. `room` has the bytes left on those with a limit."""

    by_id: Mapping[int, Element]
    targets: Sequence[Element] = ()
    sources: frozenset[int] | None = None  # None: any
    room: dict[int, int] = field(default_factory=dict)
    given: Counter[int] = field(default_factory=Counter)  # bytes sent to each, so that equals share

    def readable(self, element_id: int) -> bool:
        element = self.by_id.get(element_id)
        return element is not None and element.readable and not element.fault_reads and not element.placeholder

    def from_here(self, file: Known, *, anywhere: bool = False) -> list[int]:
        """The elements to read a file from (`anywhere`: not the pool's sources alone): those with a good copy first,
        then those with a suspect one."""
        any_does = anywhere or self.sources is None
        mine = [e for e in file.copies if self.readable(e) and (any_does or e in (self.sources or ()))]
        return [e for state in (AVAILABLE, SUSPECT) for e in mine if file.copies[e] == state]

    def near(self, sources: Iterable[int], file: Known, target: Element) -> int:
        """The best source for a target: good, of its site, of its country, on disk, cheap."""

        def rank(element_id: int) -> tuple[bool, bool, bool, bool, int, float]:
            e = self.by_id[element_id]
            far = (e.site is None or e.site != target.site, e.country is None or e.country != target.country)
            return (file.copies[element_id] != AVAILABLE, *far, e.medium == "tape", e.cost, random.random())  # noqa: S311  (spreads load)

        return min(sources, key=rank)

    def takes(self, element: Element, size: int) -> bool:
        return element.writable and self.room.get(element.id, size) >= size


def as_many(file: Known, pool: Pool) -> int:
    """The good copies on the pool's targets that a move comes to which makes up for all that it takes away."""
    going = leaving(file, pool)
    good = sum(state == AVAILABLE for element_id, state in file.copies.items() if element_id in going)
    there = sum(file.copies.get(e.id) == AVAILABLE for e in pool.targets)
    return max(good + there, 1)


def made_up(file: Known, going: Sequence[int], made: int) -> list[int]:
    """Which of those that go may, when so many copies were made for them: as many good ones, and with the last of these
    the bad ones."""
    good = [e for e in going if file.copies[e] == AVAILABLE]
    bad = [e for e in going if file.copies[e] != AVAILABLE]
    return good[:made] + (bad if made >= len(good) else [])


def copy(file: Known, pool: Pool, copies: int, where: str, *, anywhere: bool = False) -> Choice:
    """Have `copies` good copies on the pool's targets, of which some may be there, read from the pool's sources or
    `anywhere`."""
    there = [e for e in pool.targets if file.copies.get(e.id) == AVAILABLE]
    lacking = copies - len(there)
    if lacking <= 0:
        return Choice()
    free = [e for e in pool.targets if e not in there and pool.takes(e, file.size)]
    free.sort(key=lambda e: (e.cost, pool.given[e.id], e.name))
    if len(free) < lacking:
        if not pool.targets:
            return Choice(refusal=f"no storage element is '{where}'")
        short = f"{len(free)} of the {lacking} more" if free else "none of the"
        return Choice(refusal=f"{short} storage elements of '{where}' that it needs can take it")
    sources = pool.from_here(file, anywhere=anywhere)
    if not sources:
        return Choice(refusal=unreadable(file, pool))
    choice = Choice()
    for target in free[:lacking]:
        others = [s for s in sources if s != target.id]
        if not others:
            return Choice(refusal=unreadable(file, pool))
        choice.transfers.append((pool.near(others, file, target), target.id))
        pool.given[target.id] += file.size
        if target.id in pool.room:
            pool.room[target.id] -= file.size
    return choice


def states(row: Any) -> dict[int, int]:
    """{element id: state} of a row of `se` and `rstate`."""
    return dict(zip(row["se"], row["rstate"] or [AVAILABLE] * len(row["se"]), strict=True))


def unreadable(file: Known, pool: Pool) -> str:
    """Why no source of a file can be read."""
    if not file.copies:
        return "it has no replica"
    names = sorted(e.name for i in file.copies if (e := pool.by_id.get(i)) is not None)
    return f"none of its copies can be read now: {', '.join(names)}"


def drops(file: Known, wanted: Iterable[int], needs: Sequence[Need] = ()) -> tuple[list[int], bool]:
    """(copies to drop, is one kept back): those on the elements wanted, but never the last good one, nor one that
    a need counts on. Bad copies go only while a good one is left: they may be all there is, and somebody may yet read
    them."""
    going: list[int] = []
    good = {e for e, state in file.copies.items() if state == AVAILABLE}
    asked = [e for e in dict.fromkeys(wanted) if e in file.copies]
    for element_id in asked:
        after = good - {element_id}
        if element_id in good:
            if after and not any(need.breaks(element_id, after) for need in needs):
                going.append(element_id)
                good = after
        elif good or len(going) + 1 < len(file.copies):
            going.append(element_id)
    return going, len(going) < len(asked)


def leaving(file: Known, pool: Pool) -> list[int]:
    """The copies that a move takes away: those on its source, or all that are not on its target."""
    targets = {e.id for e in pool.targets}
    return [e for e in file.copies if e not in targets and (pool.sources is None or e in pool.sources)]
