"""Which rules are about a file, and what they want of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.access.rights import REACH, R, W
from catalog.db import now
from lading.model.errors import CatalogError
from lading.model.principal import Caller
from lading.model.request import Selection
from lading.model.rule import Want

from ..requests.choices import Known, Need, Pool, states
from .store import RulesStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from metadata.search import SearchService

_BOTH = R | W


@dataclass(slots=True)
class Rule:
    """A rule in force. `orders`: it may order copies and drop surplus; one that is paused, or that can't be understood
    now, does neither."""

    id: int
    row: Any
    selection: Selection
    top: str
    needs: list[Need]
    orders: bool


class Matching:
    def __init__(
        self, access: AccessService, names: NamespaceService, elements: ElementsService, search: SearchService
    ) -> None:
        self._access = access
        self._names = names
        self._elements = elements
        self._search = search
        self._store = RulesStore()

    async def rules(self, connection: Connection) -> list[Rule]:
        """All that are in force."""
        return [await self.rule(connection, row) for row in await self._store.every(connection, now())]

    async def rule(self, connection: Connection, row: Any) -> Rule:
        """From a record, or what looks like one."""
        await self._elements.ready(connection)
        orders = row["state"] == "running"
        wants = msgspec.convert(row["wants"], list[Want])
        needs = []
        for want in wants:
            chosen = await self._elements.matching(connection, want.to)
            needs.append(Need(want.copies, frozenset(e.id for e in chosen), row["id"], orders))
        selection = msgspec.convert(row["selection"], Selection)
        return Rule(row["id"], row, selection, row["top"], needs, orders)

    async def pool(self, connection: Connection, rules: Iterable[Rule]) -> Pool:
        """The elements as they are now, with the room that is left on those that rules want copies on."""
        await self._elements.ready(connection)
        pool = Pool({e.id: e for e in self._elements.every()})
        for element_id in frozenset[int]().union(*(need.elements for rule in rules for need in rule.needs)):
            element = pool.by_id[element_id]
            if element.max_bytes is not None:
                pool.room[element_id] = element.max_bytes - await self._elements.used_bytes(connection, element)
        return pool

    async def files(self, connection: Connection, ids: Sequence[int]) -> dict[int, asyncpg.Record]:
        """{id: record}, of those with an LFN."""
        return {r["id"]: r for r in await self._store.files(connection, ids) if r["path"].startswith("/")}

    async def about(
        self, connection: Connection, rules: Sequence[Rule], files: Mapping[int, Any]
    ) -> dict[int, list[Rule]]:
        """The rules about each of the files: those below whose place it is, whose question it answers, and whose owner
        may read and change it. A rule of which that can't be told, as its owner or its data set is gone, is about all
        files that it may be about, and `orders` nothing: what it had wanted is not dropped unasked."""
        by_top: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            by_top[rule.top].append(rule)
        by_place: dict[str, list[int]] = defaultdict(list)
        for file_id, row in files.items():
            by_place[row["path"]].append(file_id)
        candidates: dict[int, tuple[Rule, list[int]]] = {}
        for place, some in by_place.items():
            for above in _above(place):
                for rule in by_top.get(above, ()):
                    candidates.setdefault(rule.id, (rule, []))[1].extend(some)
        dirs, acls = {row["access_id"] for row in files.values()}, {row["acl_id"] for row in files.values()}
        await self._names.rights.load(connection, dirs, acls)
        found: dict[int, list[Rule]] = defaultdict(list)
        for rule, ids in candidates.values():
            try:
                sure = await self._sure(connection, rule, ids, files)
            except CatalogError:
                sure = set(ids)
                rule.orders, rule.needs = False, [need._replace(orders=False) for need in rule.needs]
            for file_id in ids:
                if file_id in sure:
                    found[file_id].append(rule)
        return found

    async def _sure(self, connection: Connection, rule: Rule, ids: Sequence[int], files: Mapping[int, Any]) -> set[int]:
        caller = await self.owner(connection, rule.row)
        who, rights = caller.principal, self._names.rights
        reached: dict[str, bool] = {}
        mine = []
        for file_id in ids:
            row = files[file_id]
            place = row["path"]
            if place not in reached:
                reached[place] = bool(rights.directory(who, row["access_id"], place) & REACH)
            if reached[place]:
                bits = rights.entry(who, place, row["owner_id"], row["group_id"], row["mode"], row["acl_id"])
                if bits & _BOTH == _BOTH:
                    mine.append(file_id)
        asked = question(rule.selection)
        if asked is None or not mine:
            return set(mine)
        prepared = await self._search.prepare(connection, caller, *asked)
        return await self._store.members(connection, prepared, mine)

    async def owner(self, connection: Connection, row: Any) -> Caller:
        """Whoever made a rule, with the rights of now and the scopes of then. Raises Unauthenticated."""
        who = await self._access.principal(connection, row["user_id"], row["scopes"])
        return Caller(who, f"rule {row['id']}")

    async def needs(self, connection: Connection, ids: Sequence[int]) -> dict[int, list[Need]]:
        """What is wanted of each of these files, for whoever is about to drop copies of them."""
        rules = await self.rules(connection)
        if not rules:
            return {}
        found = await self.about(connection, rules, await self.files(connection, ids))
        return {file_id: [need for rule in about for need in rule.needs] for file_id, about in found.items()}


def question(selection: Selection) -> tuple[str, str] | None:
    """(query, place) of what is not simply all files below a directory."""
    if selection.dataset:
        relation = "snapshot" if "@" in selection.dataset else "dataset"
        return f"in {relation} {msgspec.json.encode(selection.dataset).decode()}", "/"
    return (selection.query, selection.under or "/") if selection.query else None


def lfn_of(row: Any) -> str:
    return f"{row['path'].rstrip('/')}/{row['name']}"


def known(row: Any) -> Known:
    return Known(row["id"], lfn_of(row), row["size"] or 0, states(row))


def _above(directory: str) -> Iterable[str]:
    """A directory, and all above it."""
    yield directory
    while directory != "/":
        directory = directory.rpartition("/")[0] or "/"
        yield directory
