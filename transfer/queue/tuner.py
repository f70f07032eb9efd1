"""Tuning links, now and then: what was moved of late decides how many places they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.db import now

from .shares import ELEMENT, LINK
from .tuner_store import TunerStore
from .tuning import decide

if TYPE_CHECKING:
    from catalog.db import Database
    from catalog.elements.service import ElementsService

PERIOD = 30_000_000  # microseconds that are looked at
_SMOOTH = 0.5  # of the rate before that counts
_KEPT = 7 * 86_400_000_000  # that decisions are remembered


class Tuner:
    """Any number may run: a link is looked at once a period."""

    def __init__(self, database: Database, elements: ElementsService) -> None:
        self._db = database
        self._elements = elements
        self._store = TunerStore()

    async def step(self) -> None:
        """Look at the links that something was moved over, and have no limit of an operator's. Safe to repeat."""
        at = now()
        async with self._db.read() as connection, connection.transaction():
            if not await self._store.due(connection, at - PERIOD) or not await self._store.alone(connection):
                return
            await self._elements.ready(connection)
            decided = []
            for row in await self._store.seen(connection, at - PERIOD):
                ends = [self._elements.by_id(row[end]) for end in ("source", "target")]
                most = min((e.max_connections or ELEMENT for e in ends if e is not None), default=ELEMENT)
                before = float(LINK) if row["window"] is None else row["window"]
                was, rate = row["rate"] or 0.0, row["bytes"] / (PERIOD / 1e6)
                done, failed = row["done"], row["failed"]
                after, why = decide(before, was, rate, done, failed, waiting=row["waiting"], most=float(most))
                smooth = was * _SMOOTH + rate * (1 - _SMOOTH) if was else rate
                decided.append((row["source"], row["target"], before, after, smooth, rate, done, failed, why))
            await self._store.decide(connection, decided, at)
            await self._store.forget(connection, at - _KEPT)
