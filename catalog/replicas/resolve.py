"""From LFNs to sources, best first: what a job wrapper asks before it reads. The hottest path of the server."""

from __future__ import annotations

import random
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from catalog.access.rights import REACH, R
from catalog.elements.layout import hashed
from catalog.namespace.locate import unreachable
from catalog.namespace.service import checksums, outcomes
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest
from lading.model.replica import STATES, ReplicaState, Resolved, Source

from .store import DIRECTORY, FILE, ReplicasStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from catalog.db import Connection, Database
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.api import Resolve
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

AVAILABLE, SUSPECT = STATES.index(ReplicaState.AVAILABLE), STATES.index(ReplicaState.SUSPECT)
_READABLE = (AVAILABLE, SUSPECT)
_SUSPECT_LAST, _FAR = 1 << 50, 1 << 49
_ORDER = itemgetter(0)


class _Spot(NamedTuple):
    """A readable element, as the sources on it need it: their place in the order, their PFN's and their URL's start."""

    order: int
    name: str
    prefix: str
    base: str | None
    site: str | None


class Resolver:
    def __init__(self, database: Database, names: NamespaceService, elements: ElementsService) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._store = ReplicasStore()

    async def resolve(self, caller: Caller, body: Resolve) -> Outcomes[Resolved]:
        """The sources of each file: available before suspect, the caller's site first, then by cost, then spread at
        random.

        Needs the right to read the file. Outcome errors: InvalidRequest (a directory), NotFound, Forbidden. A file that
        can't be read now is no error: `why` says what is wrong.
        """
        async with self._db.read() as connection:
            await self._elements.ready(connection)
            await self._names.ready(connection)
            only = {self._elements.named(name).id for name in body.elements} or None
            found = await self._all(connection, caller, body.lfns, body.site, only)
        return outcomes(body.lfns, found)

    async def _all(
        self, connection: Connection, caller: Caller, texts: Sequence[str], site: str | None, only: set[int] | None
    ) -> list[Resolved | CatalogError]:
        locator = self._names.locator
        found: list[Resolved | CatalogError | None] = [None] * len(texts)
        wanted: list[tuple[str, str]] = []
        where = []
        for i, place in enumerate(locator.places(texts)):
            if isinstance(place, tuple):
                where.append(i)
                wanted.append(place)
            else:
                found[i] = place
        await self._read(connection, caller, where, wanted, found, site, only)
        left = [i for i in where if found[i] is None]
        if left:  # not there under that very name: through links, or with the reason why
            entries = await locator.entries(connection, caller.principal, [texts[i] for i in left])
            wanted, where = [], []
            for i, entry in zip(left, entries, strict=True):
                if isinstance(entry, CatalogError):
                    found[i] = entry
                elif entry.path == "/":
                    found[i] = not_a_file("/")
                else:
                    where.append(i)
                    wanted.append(lfn.split(entry.path))
            await self._read(connection, caller, where, wanted, found, site, only)
        return [f if f is not None else not_a_file(texts[i]) for i, f in enumerate(found)]

    async def _read(
        self,
        connection: Connection,
        caller: Caller,
        where: Sequence[int],
        wanted: Sequence[tuple[str, str]],
        found: list[Resolved | CatalogError | None],
        site: str | None,
        only: set[int] | None,
    ) -> None:
        """Resolve (directory, name) into `found`, at the positions `where`; links and what is missing stay None."""
        if not wanted:
            return
        rows = await self._store.resolve(connection, [w[0] for w in wanted], [w[1] for w in wanted])
        rights, who = self._names.rights, caller.principal
        await rights.load(connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
        spots: dict[int, _Spot | None] = {}
        refusals: dict[tuple[int, int, int, int, int | None], Callable[[str], CatalogError] | None] = {}
        for row in rows:
            o, access_id, kind, owner, group, mode, acl_id, size, guid, adler32, csum, ses, states, pfns = row
            at = where[o - 1]
            key = (access_id, owner, group, mode, acl_id)
            if key not in refusals or who.narrowed or who.vos:  # the rights of these depend on the path too
                refusals[key] = self._refusal(who, lfn.join(*wanted[o - 1]), *key)
            refusal = refusals[key]
            if kind != FILE and refusal is not unreachable:
                found[at] = not_a_file(lfn.join(*wanted[o - 1])) if kind == DIRECTORY else None
                continue
            if refusal is not None:
                found[at] = refusal(lfn.join(*wanted[o - 1]))
                continue
            for se_id in ses:
                if se_id not in spots:
                    spots[se_id] = await self._spot(se_id, site, only)
            sources = _sources(guid or "", ses, states, pfns, spots)
            why = None
            if not sources:
                why = self._why(ses, states, only)
            elif sources[0].state is ReplicaState.SUSPECT:
                why = "all replicas are suspect: readers found them wrong or missing"
            found[at] = Resolved(sources, size, guid, checksums(adler32, csum), why)

    def _refusal(
        self, who: Principal, path: str, access_id: int, owner: int, group: int, mode: int, acl_id: int | None
    ) -> Callable[[str], CatalogError] | None:
        """Why `who` may not read such a file in such a directory; None when they may."""
        rights = self._names.rights
        if not rights.directory(who, access_id, path) & REACH:
            return unreachable
        return None if rights.entry(who, path, owner, group, mode, acl_id) & R else _unreadable

    async def _spot(self, se_id: int, site: str | None, only: set[int] | None) -> _Spot | None:
        """What all replicas on an element have in common; None when none of them is to be read now."""
        element = self._elements.by_id(se_id)
        if element is None or not element.readable or (only is not None and se_id not in only):
            return None
        far = 0 if site is not None and element.site == site else _FAR
        tape = 1 << 48 if element.medium == "tape" else 0
        base = await self._elements.url_base(element)
        return _Spot(far | tape | (element.cost << 20), element.name, element.prefix, base, element.site)

    def _why(self, ses: Sequence[int], states: Sequence[int] | None, only: set[int] | None) -> str:
        """Why no replica can be read."""
        if not ses:
            return "it has no replica"
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


def _sources(
    guid: str,
    ses: Sequence[int],
    states: Sequence[int] | None,
    pfns: dict[str, str] | None,
    spots: dict[int, _Spot | None],
) -> list[Source]:
    """The replicas to be read, best first, those that are alike in random order."""
    spread = hashed(guid)
    ranked: list[tuple[int, Source]] = []
    for n, se_id in enumerate(ses):
        spot = spots[se_id]
        state = states[n] if states else AVAILABLE
        if spot is None or state not in _READABLE:
            continue
        order, name, prefix, base, site = spot
        pfn = pfns.get(str(se_id)) if pfns else None
        if pfn is None:
            pfn = url = prefix + spread  # as `layout.implied` has it
        elif base:
            url = quote(pfn)
        source = Source(name, pfn, STATES[state], base + url if base else None, site)
        ranked.append((order | (_SUSPECT_LAST if state else 0) | random.getrandbits(20), source))
    if len(ranked) > 1:
        ranked.sort(key=_ORDER)
    return [source for _, source in ranked]


def _unreadable(path: str) -> Forbidden:
    return Forbidden(f"you may not read '{lfn.shown(path)}'", lfn=path)


def not_a_file(path: str) -> InvalidRequest:
    return InvalidRequest(f"'{lfn.shown(path)}' is a directory, not a file", lfn=path)
