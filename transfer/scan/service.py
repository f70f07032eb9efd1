"""An element held against the catalogue: lost, dark and different objects, and what is done about them."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import IO, TYPE_CHECKING

import msgspec

from catalog.access.rights import require_admin
from catalog.db import now
from lading.model.errors import InvalidRequest, Unavailable
from lading.model.replica import STATES
from lading.model.scan import Dark, Fixed, Lost, Mismatch, Progress, ScanLine, ScanSummary

from .dump import Dump
from .fix import Fixer, Todo, check_plausible
from .gather import Gathering, scope
from .lines import told, unkey
from .merge import findings
from .runs import spool
from .store import ScanStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence

    from catalog.db import Database
    from catalog.elements.service import Element, ElementsService
    from catalog.replicas.changes import ReplicaChanges
    from lading.model.principal import Caller
    from lading.model.scan import DumpScan, Scan

    from .compare import Found

_SECOND = 1_000_000
_AHEAD = 600 * _SECOND  # that another clock may be
_KINDS: dict[str, type[Lost | Dark | Mismatch]] = {"lost": Lost, "dark": Dark, "mismatch": Mismatch}


class ScanService:
    """Both sides are sorted outside memory and merged, so a scan of any size needs the same memory, some 100 MB; its
    temporary files take about 250 bytes an object."""

    def __init__(self, database: Database, elements: ElementsService, changes: ReplicaChanges) -> None:
        self._db = database
        self._elements = elements
        self._store = ScanStore()
        self._fixer = Fixer(database, elements, changes)

    async def scan(self, caller: Caller, name: str, order: Scan) -> AsyncGenerator[list[ScanLine], None]:
        """Look at all of the storage. Findings in order of PFNs, then what was done about them, then the summary.

        Changes nothing that the order does not spell out; safe to repeat, also after it was broken off. Raises
        Forbidden, NotFound (element), Unavailable (closed to reading, away, a part can't be looked into), Conflict
        (more is wrong than is plausible, and something was to be done about it).
        """
        element = await self._ready(caller, name, order)
        if not element.readable:
            raise Unavailable(element.why_not("read"), element=element.name)
        storage = await self._elements.storage(element)
        gathering = Gathering(self._db, element, scope(element, order.under))
        looked = now()
        try:
            async for progress in gathering.before():
                yield [progress]
            async for progress in gathering.storage(storage):
                yield [progress]
            async with aclosing(self._run(caller, element, order, gathering, looked)) as lines:
                async for batch in lines:
                    yield batch
        finally:
            await gathering.close()

    async def scan_dump(
        self, caller: Caller, name: str, order: DumpScan, pieces: AsyncIterable[bytes]
    ) -> AsyncGenerator[list[ScanLine], None]:
        """The same for a list of the storage's objects that somebody else made (see `dump.py`).

        Raises InvalidRequest too, naming the line of the dump that is wrong, before anything is told.
        """
        element = await self._ready(caller, name, order)
        under = scope(element, order.under)
        dump = Dump(strip=order.strip, prepend=order.prepend, under=under)
        gathering = Gathering(self._db, element, under)
        try:
            await gathering.dump(dump, pieces)
            looked = order.recorded if order.recorded is not None else dump.recorded
            if looked is None:
                raise InvalidRequest("say when the dump was made ('recorded'): what is newer can't be in it")
            if looked > now() + _AHEAD:
                raise InvalidRequest("the dump was made in the future, it says: is its time in UTC?")
            async with aclosing(self._run(caller, element, order, gathering, looked, dump=True)) as lines:
                async for batch in lines:
                    yield batch
        finally:
            await gathering.close()

    async def _ready(self, caller: Caller, name: str, order: Scan) -> Element:
        require_admin(caller.principal)
        await self._elements.load()
        element = self._elements.named(name)
        await self._fixer.check(element, order)
        return element

    async def _run(
        self, caller: Caller, element: Element, order: Scan, gathering: Gathering, looked: int, *, dump: bool = False
    ) -> AsyncGenerator[list[ScanLine], None]:
        """All from the moment that the storage has been looked at, which began at `looked`."""
        summary = ScanSummary(element.name, dry_run=order.dry_run, left_out=gathering.left_out)
        cutoff = looked - order.grace * _SECOND
        todo = spool(())
        try:
            async for progress in gathering.after():
                yield [progress]
            async with aclosing(findings(gathering.runs, cutoff, summary, dump=dump)) as found:
                async for some in found:
                    if isinstance(some, Progress):
                        yield [some]
                        continue
                    named = await self._named(element, some, summary)
                    await asyncio.to_thread(_note, todo, order, named)
                    yield [line for _, line in named]
            check_plausible(order, summary)
            todo.seek(0)
            async with aclosing(self._fixer.fix(caller, element, order, todo, cutoff)) as done:
                async for lines in done:
                    fixed = sum(isinstance(line, Fixed) for line in lines)
                    summary.fixed += fixed
                    summary.kept += len(lines) - fixed
                    yield [*lines]
            summary.seconds = round(time.monotonic() - gathering.began, 3)
            yield [summary]
        finally:
            todo.close()

    async def _named(
        self, element: Element, found: Sequence[Found], summary: ScanSummary
    ) -> list[tuple[Found, Lost | Dark | Mismatch]]:
        """Findings as they are told. What has left the catalogue since it was read is none any more."""
        ids = [f.replica.id for f in found if f.replica is not None]
        known: dict[int, tuple[str, str]] = {}
        if ids:
            async with self._db.read() as connection:
                known = await self._store.files(connection, ids, element.id)
        named = []
        for f in found:
            if f.replica is not None and f.replica.id not in known:
                _take_back(f, summary)
                continue
            named.append((f, _line(f, known)))
        return named


def _take_back(found: Found, summary: ScanSummary) -> None:
    summary.in_flight += 1
    if found.kind == "lost":
        summary.lost -= 1
        summary.lost_bytes -= (found.replica.size or 0) if found.replica else 0
    else:
        summary.mismatch -= 1


def _line(found: Found, known: dict[int, tuple[str, str]]) -> Lost | Dark | Mismatch:
    pfn, raw = told(unkey(found.key))
    line = _KINDS[found.kind](pfn, raw=raw)
    if (replica := found.replica) is not None:
        lfn, line.guid = known[replica.id]
        if lfn.startswith("/"):
            line.lfn = lfn
        else:
            line.note = "its file is in the trash"
        line.expected, line.state = replica.size, STATES[replica.state].value
    if found.object is not None:
        line.size, line.mtime = found.object.size, found.object.mtime
        if found.replica is None and found.object.mtime is None:
            line.note = "its age is not known"
    if found.differs not in (None, "size") and found.replica is not None and found.object is not None:
        kind = str(found.differs)
        line.checksum = f"{kind}:{found.object.checksums[kind]}"
        line.expected_checksum = f"{kind}:{found.replica.checksums[kind]}"
    return line


def _note(todo: IO[bytes], order: Scan, named: Sequence[tuple[Found, Lost | Dark | Mismatch]]) -> None:
    """Put down what the order says something about, for when all has been told."""
    wanted = [
        Todo(f.kind, unkey(f.key), line.lfn, f.replica and f.replica.id, f.object and f.object.size, f.differs)
        for f, line in named
        if getattr(order, f.kind)
    ]
    todo.write(msgspec.json.Encoder().encode_lines(wanted))


__all__ = ["ScanService"]
