"""Scrubbing: every copy on an element is read back and compared within so many days, at an even pace.

A round walks the element's files in the order of the catalogue, some a minute at most, so that it takes the period.
Copies that were verified since the round began (they are new, or somebody asked) are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from catalog.db import now
from lading.model.principal import SYSTEM
from lading.model.request import RequestKind

from ..rules.store import RulesStore
from .store import CareStore

if TYPE_CHECKING:
    from catalog.db import Database, Transaction
    from catalog.elements.service import ElementsService

    from ..queue.queue import Queue

PIECE = 1000  # files of one transaction
_MINUTE, _DAY = 60_000_000, 86_400_000_000


class Scrubber:
    """Any number may run: an element's next piece is one's affair."""

    def __init__(self, database: Database, elements: ElementsService, queue: Queue) -> None:
        self._db = database
        self._elements = elements
        self._queue = queue
        self._store = CareStore()
        self._orders = RulesStore()

    async def step(self) -> bool:
        """Order that a piece of one element is read back; False when none is due."""
        async with self._db.read() as connection:
            element = await self._store.to_scrub(connection, now())
        if element is None:
            return False

        async def work(tx: Transaction) -> None:
            await self._piece(tx, element)

        await self._db.change(SYSTEM, "scrub", work)
        return True

    async def _piece(self, tx: Transaction, element_id: int) -> None:
        c = tx.connection
        await self._elements.ready(c)
        element = self._elements.by_id(element_id)
        if element is None or not element.scrub_days:
            return
        who = SYSTEM.principal
        request = await self._store.standing(
            c, f"scrub {element_id}", RequestKind.VERIFY.value, who.id, f"every copy on {element.name} is read back",
            "scrub", who.group, -50, tx.at,
        )  # fmt: skip
        await self._store.begin_scrub(c, element_id, request["id"], tx.at)
        row = await self._store.scrub(c, element_id, tx.at)
        if row is None:
            return
        looked, began, ended, plan = row["looked"], row["began"], row["ended"], row["plan"]
        period, copies = element.scrub_days * _DAY, await self._elements.copies(c, element)
        wanted: list[tuple[int, int, int, int]] = []
        if not element.readable or element.fault_reads or not copies:
            pause = 10 * _MINUTE
        elif request["state"] != "running" or await self._store.waiting(c, request["id"], PIECE) >= PIECE:
            pause = _MINUTE
        else:
            size = min(max(math.ceil(copies * _MINUTE / period), 1), PIECE)
            pause = period * size // copies
            rows = await self._store.on(c, element_id, plan.get("dir", 0), plan.get("name", ""), size)
            wanted = [(element_id, element_id, r["id"], r["size"]) for r in rows if (r["verified"] or 0) < began]
            await self._queue.add(tx, request, wanted)
            await self._orders.order(c, request["id"], wanted)
            looked += len(rows)
            plan = {"dir": rows[-1]["dir_id"], "name": rows[-1]["name"]} if len(rows) == size else {}
            if not plan:
                looked, began, ended = 0, tx.at, tx.at
        await self._store.scrubbed(c, element_id, plan, looked, began, ended, tx.at + pause)
        tx.audit([], count=len(wanted), element=element.name)
