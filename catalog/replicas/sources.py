"""The sources of a file as JSON (`list[lading.model.replica.Source]`), best first.

Written as text because this is the hottest work of the server: most files have their copies, all available, where the
layouts of their elements put them, and then two files on the same elements differ in their GUIDs alone. So the text is
made once for each set of elements, with a mark where the GUID's part of a PFN goes: 1 us a file in place of 4.
"""

from __future__ import annotations

import random
import secrets
from itertools import count, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec

from catalog.elements.layout import hashed
from lading.model.replica import STATES, ReplicaState, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.elements.service import Element, ElementsService

AVAILABLE, SUSPECT = STATES.index(ReplicaState.AVAILABLE), STATES.index(ReplicaState.SUSPECT)
_SUSPECT_LAST, _OUT, _FAR, _TAPE = 1 << 51, 1 << 50, 1 << 49, 1 << 48
_ORDER = itemgetter(0)
_MARK = f"\x7f{secrets.token_hex(8)}\x7f"  # nobody can have put it into a name
_MANY = 20_000  # texts remembered at a time


class _Spot(NamedTuple):
    """A readable element, as the sources on it need it: their place in the order, their PFN's and their URL's start."""

    order: int
    name: str
    prefix: str
    base: str | None
    site: str | None

    def source(self, pfn: str, state: int, *, hashed: bool) -> Source:
        """`hashed`: the PFN needs no quoting in a URL behind the prefix."""
        url = None if self.base is None else self.base + (pfn if hashed else quote(pfn))
        return Source(self.name, pfn, STATES[state], url, self.site)


class Sources:
    """For readers at one site, perhaps of some elements only. `elements` must be ready; thrown away when they
    change."""

    def __init__(self, elements: ElementsService, site: str | None, only: frozenset[int] | None) -> None:
        self._elements = elements
        self._site = site
        self._only = only
        self._spots: dict[int, _Spot | None] = {}
        self._texts: dict[str, list[str]] = {}
        self._turn = count(random.getrandbits(16))

    def plain(self, ses: str, guid: str) -> str | None:
        """The JSON of a file's sources whose copies are all available where the layouts say; '' when none can be read.

        `ses` are its elements as PostgreSQL writes an array. None: ask `learn` about these first. Sources that are
        alike take turns, so that the load spreads.
        """
        texts = self._texts.get(ses)
        if texts is None:
            return None
        text = texts[0] if len(texts) == 1 else texts[next(self._turn) % len(texts)]
        return text.replace(_MARK, f"{guid[-2:]}/{guid[-4:-2]}/{guid}")  # as layout.hashed, without the call

    async def learn(self, ses: str) -> None:
        """Make ready for files on these elements."""
        wanted = ids(ses)
        await self.spots(wanted)
        if len(self._texts) > _MANY:
            self._texts.clear()
        ranked = sorted((s for s in map(self._spots.get, wanted) if s is not None), key=_ORDER)
        groups = [list(alike) for _, alike in groupby(ranked, _ORDER)]
        turns = max(map(len, groups), default=1)
        orders = [[s for alike in groups for s in _turned(alike, turn)] for turn in range(turns)]
        self._texts[ses] = [_text([s.source(s.prefix + _MARK, AVAILABLE, hashed=True) for s in o]) for o in orders]

    async def spots(self, ses: Sequence[int]) -> None:
        """Have what `other` needs to know of these elements at hand."""
        for se_id in ses:
            if se_id not in self._spots:
                self._spots[se_id] = await self._spot(se_id)

    def other(
        self, ses: Sequence[int], guid: str, states: Sequence[int] | None, pfns: dict[str, str] | None
    ) -> tuple[str, bool]:
        """(the JSON, are all suspect) for states and PFNs of their own. `spots` comes first."""
        ranked: list[tuple[int, Source]] = []
        for n, se_id in enumerate(ses):
            spot, state = self._spots[se_id], states[n] if states else AVAILABLE
            if spot is None or state not in (AVAILABLE, SUSPECT):
                continue
            own = pfns.get(str(se_id)) if pfns else None
            order = spot.order | (_SUSPECT_LAST if state == SUSPECT else 0) | random.getrandbits(20)
            pfn = spot.prefix + hashed(guid) if own is None else own
            ranked.append((order, spot.source(pfn, state, hashed=own is None)))
        ranked.sort(key=_ORDER)
        sources = [source for _, source in ranked]
        return _text(sources), bool(sources) and sources[0].state is ReplicaState.SUSPECT

    def why_not(self, ses: Sequence[int], states: Sequence[int] | None) -> str:
        """Why no replica can be read."""
        if not ses:
            return "it has no replica"
        only = self._only
        readable = [
            self._elements.by_id(se_id)
            for n, se_id in enumerate(ses)
            if (states[n] if states else AVAILABLE) in (AVAILABLE, SUSPECT) and (only is None or se_id in only)
        ]
        closed = {e.why_not("read") for e in readable if e is not None}
        if closed:
            return "no replica can be read: " + "; ".join(sorted(closed))
        if only is not None and not only & set(ses):
            return "it has no replica on the elements asked for"
        words = sorted({STATES[s].value for s in states or ()} - {ReplicaState.AVAILABLE.value})
        return f"no replica can be read: they are {', '.join(words) or 'on elements that are gone'}"

    async def _spot(self, se_id: int) -> _Spot | None:
        """What all replicas on an element have in common; None when none of them is to be read now."""
        element: Element | None = self._elements.by_id(se_id)
        if element is None or not element.readable or (self._only is not None and se_id not in self._only):
            return None
        far = 0 if self._site is not None and element.site == self._site else _FAR
        tape = _TAPE if element.medium == "tape" else 0
        base = await self._elements.url_base(element)
        out = 0 if element.fault is None else _OUT
        return _Spot(out | far | tape | (element.cost << 20), element.name, element.prefix, base, element.site)


def ids(ses: str) -> list[int]:
    """The numbers of an array as PostgreSQL writes it."""
    return [int(n) for n in ses[1:-1].split(",") if n]


def _turned(alike: list[_Spot], turn: int) -> list[_Spot]:
    at = turn % len(alike)
    return alike[at:] + alike[:at]


def _text(sources: list[Source]) -> str:
    """Without the brackets around the list."""
    return msgspec.json.encode(sources).decode()[1:-1]
