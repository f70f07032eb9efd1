"""The circuit breaker: an element that fails again and again is tried, taken out, and put back when it answers.

What is out takes no writes and no deletions, and is read from only where nothing else is left; if its trial could not
read either, it is not asked at all, so that nobody waits for what is away. The row of the registry says so to every
process, and the audit log keeps when.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from catalog.access.rights import require_admin
from catalog.db import now
from lading.model.element import Probe
from lading.model.errors import CatalogError
from lading.model.principal import SYSTEM
from storage_plugins.base import ProbeReport
from storage_plugins.errors import StorageError

from .breaker_store import BreakerStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from catalog.db import Database, Transaction
    from lading.model.principal import Caller

    from .service import Element, ElementsService

_log = structlog.get_logger("lading.breaker")
_PAUSE, _LONG_PAUSE = 1.0, 15.0
_PATIENCE = 60.0  # seconds that a trial may take
_FIRST_TRY = 15_000_000  # microseconds until what is out is tried again: at first, then half as long as it is out …
_LAST_TRY = 300_000_000  # … and never less often than this


class Breaker:
    """Any number may run, on any host: each looks after what fails in its own process, and what is out is tried by
    one of them."""

    def __init__(self, database: Database, elements: ElementsService) -> None:
        self._db = database
        self._elements = elements
        self._store = BreakerStore()

    async def run(self) -> None:
        """Watch until cancelled. Faults of its own are logged, and it goes on."""
        while True:
            pause = _PAUSE
            try:
                await self.step()
            except CatalogError as error:
                _log.warning("breaker waits", error=error.message)
                pause = _LONG_PAUSE
            except Exception:
                _log.exception("breaker failed")
                pause = _LONG_PAUSE
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  (spreads processes, guards nothing)

    async def step(self) -> None:
        """One round: try what fails here, and what is out and due. Safe to repeat and to kill."""
        failing = self._elements.opened.failing()
        await self._elements.load()
        every = {e.name: e for e in self._elements.every() if not e.placeholder and e.state != "off"}
        due = await self._due([e for e in every.values() if e.fault is not None])
        fresh = [every[name] for name in failing if name in every and every[name].fault is None]
        await _all([*map(self._try_out, fresh), *map(self._try_again, due)])
        for name in failing:
            self._elements.opened.well(name)

    async def probe(self, caller: Caller, name: str) -> Probe:
        """Try the element now: write, read back, remove a small object (only look, where writing is closed). One that
        was out and is well is put back. Raises NotFound."""
        require_admin(caller.principal)
        await self._elements.load()
        element = self._elements.named(name)
        report = await self._look(element)
        if report.ok and element.fault is not None:
            await self._back(element)
        return Probe(name, **{f: getattr(report, f) for f in report.__struct_fields__})

    async def _due(self, out: list[Element]) -> list[Element]:
        """Those that nobody else is going to try for a while."""
        if not any(e.next_try is not None and e.next_try <= now() for e in out):
            return []
        async with self._db.read() as connection:
            claimed = await self._store.claim(connection, now(), _FIRST_TRY, _LAST_TRY)
        return [e for e in out if e.id in claimed]

    async def _try_out(self, element: Element) -> None:
        report = await self._probe(element)
        if report.ok:
            return

        async def work(tx: Transaction) -> None:
            fault, reads = report.error or "it failed", not report.read
            if await self._store.out(tx.connection, element.id, fault, reads, tx.at, _FIRST_TRY):
                tx.audit([element.name], fault=fault, reads=not reads)
                tx.notices.add("elements")
                tx.after.append(self._elements.forget)

        await self._db.change(SYSTEM, "element.out", work)
        _log.warning("element out", element=element.name, error=report.error, readable=report.read)

    async def _try_again(self, element: Element) -> None:
        report = await self._probe(element)
        if report.ok:
            await self._back(element)
        else:
            async with self._db.read() as connection:
                await self._store.still(connection, element.id, report.error or "it failed", not report.read)
            _log.info("element still out", element=element.name, error=report.error)

    async def _back(self, element: Element) -> None:
        async def work(tx: Transaction) -> None:
            if await self._store.back(tx.connection, element.id):
                tx.audit([element.name])
                tx.notices.add("elements")
                tx.after.append(self._elements.forget)

        await self._db.change(SYSTEM, "element.back", work)
        _log.info("element back", element=element.name)

    async def _probe(self, element: Element) -> ProbeReport:
        """As `_look`, and if it can't be written to, whether it can be read at least."""
        report = await self._look(element)
        if not report.ok and not report.read:
            looked = await self._look(element, write=False)
            report = ProbeReport(ok=False, read=looked.ok, error=report.error)
        return report

    async def _look(self, element: Element, *, write: bool = True) -> ProbeReport:
        try:
            async with asyncio.timeout(_PATIENCE):
                storage = await self._elements.storage(element, out=True)
                return await storage.probe(write=write and element.can_write and element.state == "active")
        except TimeoutError:
            return ProbeReport(ok=False, error=f"no answer within {_PATIENCE:g} s")
        except (StorageError, CatalogError) as error:
            return ProbeReport(ok=False, error=error.message)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    for fault in await asyncio.gather(*work, return_exceptions=True):
        if fault is not None:
            raise fault
