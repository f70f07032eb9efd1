"""What operators set of the queue: limits of links, shares of activities and groups; and what there is to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.access.rights import require_admin
from lading.model.errors import InvalidRequest
from lading.model.limits import Limits, LimitsChange, LinkDecision, LinkUse, ShareOf, ShareSpec

from .shares import LINK
from .store import QueueStore
from .tuner_store import TunerStore

if TYPE_CHECKING:
    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import ElementsService
    from lading.model.principal import Caller

_DECISIONS = 1000


class LimitsService:
    def __init__(self, database: Database, access: AccessService, elements: ElementsService) -> None:
        self._db = database
        self._access = access
        self._elements = elements
        self._store = QueueStore()
        self._tuning = TunerStore()

    async def show(self, caller: Caller) -> Limits:
        """Every link that has a limit of its own or something to do, and every share. Raises Forbidden."""
        require_admin(caller.principal)
        async with self._db.read() as connection:
            return await self._shown(connection)

    async def change(self, caller: Caller, change: LimitsChange) -> Limits:
        """Set these; workers heed them with their next leases, and what is under way goes on. Safe to repeat. Raises
        Forbidden, NotFound (element, group), InvalidRequest."""
        require_admin(caller.principal)

        async def work(tx: Transaction) -> Limits:
            await self._elements.ready(tx.connection)
            links = [(self._named(x.source), self._named(x.target), x.most) for x in change.links]
            groups = [x.name for x in change.shares if x.of is ShareOf.GROUP]
            await self._access.ids(tx.connection, "g", groups)
            shares = [(x.of.value[0], x.name, x.weight, x.most) for x in change.shares]
            if len({s[:2] for s in shares}) < len(shares) or len({x[:2] for x in links}) < len(links):
                raise InvalidRequest("name each link, activity and group once")
            await self._store.set_links(tx.connection, links)
            await self._store.set_shares(tx.connection, shares)
            told = [f"{x.source}>{x.target}" for x in change.links] + [f"{x.of} {x.name}" for x in change.shares]
            tx.audit(told)
            tx.notices.add("transfers")
            return await self._shown(tx.connection)

        return await self._db.change(caller, "limits.set", work)

    async def decisions(self, caller: Caller, source: str | None, target: str | None) -> list[LinkDecision]:
        """What was decided about links that nobody has set a limit of, the latest first, a thousand. Raises Forbidden,
        NotFound."""
        require_admin(caller.principal)
        async with self._db.read() as connection:
            await self._elements.ready(connection)
            first, second = (self._named(name) if name else None for name in (source, target))
            rows = await self._tuning.decisions(connection, first, second, _DECISIONS)
        return [
            LinkDecision(
                self._shown_name(r["source"]), self._shown_name(r["target"]), r["at"], r["before"], r["after"],
                r["rate"], r["done"], r["failed"], r["why"],
            )
            for r in rows
        ]  # fmt: skip

    def _shown_name(self, element_id: int) -> str:
        element = self._elements.by_id(element_id)
        return element.name if element else f"(element {element_id}, gone)"

    def _named(self, name: str) -> int:
        return self._elements.named(name).id

    async def _shown(self, connection: Connection) -> Limits:
        await self._elements.ready(connection)
        uses = []
        for row in await self._store.link_uses(connection):
            source, target = self._elements.by_id(row["source"]), self._elements.by_id(row["target"])
            if source is None or target is None:
                continue
            own = row["most"] is not None
            most = row["most"] if own else row["tuned"] or LINK
            tuned = not own and row["tuned"] is not None
            uses.append(LinkUse(source.name, target.name, most, own, row["taken"] or 0, row["waiting"] or 0, tuned))
        activities, groups = await self._store.shares(connection)
        shares = [
            ShareSpec(of, name, share.weight, share.most)
            for of, found in ((ShareOf.ACTIVITY, activities), (ShareOf.GROUP, groups))
            for name, share in sorted(found.items())
        ]
        return Limits(sorted(uses, key=lambda use: (use.source, use.target)), shares)
