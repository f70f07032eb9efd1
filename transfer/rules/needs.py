"""What one file lacks, and what it has too much of, by all that is wanted of it. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..requests.choices import AVAILABLE, Known, Need, Pool, drops, unreadable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence, Set


@dataclass(slots=True)
class Lack:
    """What a need still lacks: `coming` copies are on their way or ordered now, `missing` can't be made now."""

    coming: int = 0
    missing: int = 0
    why: str | None = None


@dataclass(slots=True)
class Upkeep:
    """What a file comes to: copies to order, (number of the need, source, target); what each need lacks, by its
    number; copies that no need counts on, the first to go first."""

    orders: list[tuple[int, int, int]] = field(default_factory=list)
    lacks: dict[int, Lack] = field(default_factory=dict)
    surplus: list[int] = field(default_factory=list)


def upkeep(
    file: Known,
    needs: Sequence[Need],
    pool: Pool,
    *,
    coming: Collection[int] = (),
    failed: Mapping[int, str] | None = None,
) -> Upkeep:
    """`coming`: elements that copies are on their way to. `failed`: where a copy failed of late, and why: not tried
    again now.

    The narrowest need goes first, and takes what serves most of the others: "2 on disk, 1 of them in FR" comes to two
    copies. A copy is surplus when a need is about its element, all needs are met by others, and nothing is on its way.
    """
    failed = failed or {}
    result = Upkeep()
    good = {e for e, state in file.copies.items() if state == AVAILABLE}
    will = good | set(coming)
    sources = pool.from_here(file, anywhere=True)
    for number in sorted(range(len(needs)), key=lambda n: (len(needs[n].elements), n)):
        need = needs[number]
        lack = Lack()
        while len(need.elements & will) < need.copies:
            target, why = None, "the rule stands still"
            if need.orders:
                target, why = _target(file, need, needs, pool, will, failed, sources)
            if target is None:
                lack.missing, lack.why = need.copies - len(need.elements & will), why
                break
            element = pool.by_id[target]
            others = [source for source in sources if source != target]
            result.orders.append((number, pool.near(others, file, element), target))
            will.add(target)
            pool.given[target] += file.size
            if target in pool.room:
                pool.room[target] -= file.size
        lack.coming = max(min(need.copies, len(need.elements & will)) - len(need.elements & good), 0)
        if lack.coming or lack.missing:
            result.lacks[number] = lack
    if not result.lacks:
        result.surplus = _surplus(file, needs, pool)
    return result


def _target(
    file: Known,
    need: Need,
    needs: Sequence[Need],
    pool: Pool,
    will: Set[int],
    failed: Mapping[int, str],
    sources: Sequence[int],
) -> tuple[int | None, str]:
    """The best element for one more copy, or why there is none. A bad copy is made anew in its place, if that does."""
    free = [e for i in need.elements if i not in will and (e := pool.by_id.get(i)) is not None]
    takes = [e for e in free if pool.takes(e, file.size)]
    able = [e for e in takes if e.id not in failed]
    if not able:
        if takes:
            return None, f"it failed of late to '{takes[0].name}': {failed[takes[0].id]}"
        if free:
            return None, f"none of {', '.join(sorted(e.name for e in free))} can take it"
        return None, "there are no more such storage elements"
    able = [e for e in able if set(sources) - {e.id}]
    if not able:
        return None, unreadable(file, pool)

    def serves(element_id: int) -> int:
        return sum(element_id in n.elements and len(n.elements & will) < n.copies for n in needs)

    best = min(able, key=lambda e: (-serves(e.id), e.id not in file.copies, e.cost, pool.given[e.id], e.name))
    return best.id, ""


def _surplus(file: Known, needs: Sequence[Need], pool: Pool) -> list[int]:
    """Bad copies first, then those on elements that take no more, then the costly."""
    about = frozenset[int]().union(*(need.elements for need in needs if need.orders))

    def stays(element_id: int) -> tuple[bool, bool, int, int]:
        element = pool.by_id.get(element_id)
        good = file.copies[element_id] == AVAILABLE
        return good, element is not None and element.writable, -(element.cost if element else 0), -element_id

    return drops(file, sorted(about & set(file.copies), key=stays), needs)[0]
