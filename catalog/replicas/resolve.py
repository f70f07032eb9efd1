"""From LFNs to sources, best first: what a job wrapper asks before it reads. The hottest path of the server."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from urllib.parse import quote

from catalog.access.rights import REACH, R
from catalog.elements.layout import implied
from catalog.namespace.locate import unreachable
from catalog.namespace.service import checksums, outcomes
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest
from lading.model.replica import STATES, ReplicaState, Resolved, Source

from .store import FILE, ReplicasStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Connection, Database
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.api import Resolve
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

AVAILABLE, COPYING, SUSPECT = 0, 1, 2
_SUSPECT_LAST, _FAR = 1 << 50, 1 << 49


class Resolver:
    def __init__(self, database: Database, names: NamespaceService, elements: ElementsService) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._store = ReplicasStore()

    async def resolve(self, caller: Caller, body: Resolve) -> Outcomes[Resolved]:
        """The sources of each file: available before suspect, the caller's site first, then by cost, then spread at random.

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
        paths = locator.true_names(texts)
        found: list[Resolved | CatalogError | None] = [None] * len(paths)
        where, parents, names = [], [], []
        for i, path in enumerate(paths):
            if isinstance(path, str):
                where.append(i)
                parent, name = lfn.split(path)
                parents.append(parent)
                names.append(name)
            else:
                found[i] = path
        await self._read(
            connection, caller, [(i, p, n) for i, p, n in zip(where, parents, names, strict=True)], found, site, only
        )
        left = [i for i in where if found[i] is None]
        if left:  # not there under that very name: through links, or with the reason why
            entries = await locator.entries(connection, caller.principal, [texts[i] for i in left])
            again = []
            for i, entry in zip(left, entries, strict=True):
                if isinstance(entry, CatalogError):
                    found[i] = entry
                elif entry.path == "/":
                    found[i] = not_a_file("/")
                else:
                    again.append((i, *lfn.split(entry.path)))
            await self._read(connection, caller, again, found, site, only)
        return [f if f is not None else not_a_file(texts[i]) for i, f in enumerate(found)]

    async def _read(
        self,
        connection: Connection,
        caller: Caller,
        wanted: Sequence[tuple[int, str, str]],
        found: list[Resolved | CatalogError | None],
        site: str | None,
        only: set[int] | None,
    ) -> None:
        """Resolve (position, parent, name) by one statement, into `found`; links and what is missing stay None."""
        if not wanted:
            return
        rows = await self._store.resolve(connection, [w[1] for w in wanted], [w[2] for w in wanted])
        rights, who = self._names.rights, caller.principal
        await rights.load(connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
        ranks: dict[int, tuple[Element, int, str | None] | None] = {}
        for row in rows:
            o, access_id, kind, owner, group, mode, acl_id, size, guid, adler32, csum, ses, states, pfns = row
            i, parent, name = wanted[o - 1]
            where = lfn.join(parent, name) if who.narrowed else parent
            if not rights.directory(who, access_id, where) & REACH:
                found[i] = unreachable(lfn.join(parent, name))
            elif kind != FILE:
                found[i] = not_a_file(lfn.join(parent, name)) if kind == 1 else None
            elif not rights.entry(who, where, owner, group, mode, acl_id) & R:
                path = lfn.join(parent, name)
                found[i] = Forbidden(f"you may not read '{lfn.shown(path)}'", lfn=path)
            else:
                for se_id in ses:
                    if se_id not in ranks:
                        ranks[se_id] = await self._rank(se_id, site)
                found[i] = self._resolved(size, guid, checksums(adler32, csum), ses, states, pfns, ranks, only)

    async def _rank(self, se_id: int, site: str | None) -> tuple[Element, int, str | None] | None:
        """(element, its place in the order, the start of its URLs)."""
        element = self._elements.by_id(se_id)
        if element is None:
            return None
        far = 0 if site is not None and element.site == site else _FAR
        tape = 1 << 48 if element.medium == "tape" else 0
        return element, far | tape | (element.cost << 20), await self._elements.url_base(element)

    def _resolved(
        self,
        size: int | None,
        guid: str | None,
        sums: dict[str, str],
        ses: Sequence[int],
        states: Sequence[int] | None,
        pfns: dict[str, str] | None,
        ranks: dict[int, tuple[Element, int, str | None] | None],
        only: set[int] | None,
    ) -> Resolved:
        ranked: list[tuple[int, Source]] = []
        closed: list[str] = []
        for n, se_id in enumerate(ses):
            state = states[n] if states else AVAILABLE
            known = ranks[se_id]
            if state not in (AVAILABLE, SUSPECT) or known is None or (only is not None and se_id not in only):
                continue
            element, order, base = known
            if not (element.can_read and element.state != "off"):
                closed.append(element.why_not("read"))
                continue
            pfn = pfns.get(str(se_id)) if pfns else None
            if pfn is None:
                pfn = implied(element, guid or "")
                url = base + pfn if base else None
            else:
                url = base + quote(pfn) if base else None
            source = Source(element.name, pfn, STATES[state], url, element.site)
            ranked.append((order | (_SUSPECT_LAST if state else 0) | random.getrandbits(20), source))
        if len(ranked) > 1:
            ranked.sort(key=_order)
        why = None
        if not ranked:
            why = _why(ses, states, closed, only)
        elif ranked[0][0] >= _SUSPECT_LAST:
            why = "all replicas are suspect: a reader saw wrong bytes in each"
        return Resolved([s for _, s in ranked], size, guid, sums, why)


def _order(ranked: tuple[int, Source]) -> int:
    return ranked[0]


def _why(ses: Sequence[int], states: Sequence[int] | None, closed: list[str], only: set[int] | None) -> str:
    if not ses:
        return "it has no replica"
    if closed:
        return "no replica can be read: " + "; ".join(sorted(set(closed)))
    if only is not None and not only & set(ses):
        return "it has no replica on the elements asked for"
    words = sorted({STATES[s].value for s in states or ()} - {ReplicaState.AVAILABLE.value})
    return f"no replica can be read: they are {', '.join(words) or 'on elements that are gone'}"


def not_a_file(path: str) -> InvalidRequest:
    return InvalidRequest(f"'{lfn.shown(path)}' is a directory, not a file", lfn=path)
