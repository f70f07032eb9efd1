"""Mending: a bad copy is made anew in its place from a good one; a file without any is declared lost.

Whoever finds a copy suspect or lost puts its file on a list in the same transaction. A file of which all copies are bad
may have one that is only thought so: those are read back before it is said to be lost. A lost file of which a good copy
shows up is well again.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import structlog

from catalog.db import now
from catalog.replicas.changes import AVAILABLE, SUSPECT
from catalog.replicas.changes import LOST as GONE
from lading.model.file import FileStatus
from lading.model.principal import SYSTEM
from lading.model.request import RequestKind

from ..requests.choices import Known, Pool, states
from ..rules.store import RulesStore
from .store import CareStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.replicas.changes import ReplicaChanges

    from ..queue.queue import Queue

_log = structlog.get_logger("lading.mender")
PIECE = 1000  # files of one transaction
_DAY = 86_400_000_000  # until what failed, or could not be, is looked at again
LOST = list(FileStatus).index(FileStatus.LOST)
MEND, LOOK = "mend", "look"  # the words of its two requests


class Mender:
    """Any number may run: they skip what another is at."""

    def __init__(
        self,
        database: Database,
        access: AccessService,
        elements: ElementsService,
        changes: ReplicaChanges,
        queue: Queue,
    ) -> None:
        self._db = database
        self._access = access
        self._elements = elements
        self._changes = changes
        self._queue = queue
        self._store = CareStore()
        self._orders = RulesStore()

    async def step(self) -> bool:
        """See to some files; False when there are none now."""
        async with self._db.read() as connection:
            if not await self._store.any_to_mend(connection, now()):
                return False

        async def work(tx: Transaction) -> bool:
            ids = await self._store.take(tx.connection, tx.at, PIECE)
            if ids:
                await self._mend(tx, ids)
                tx.audit([], count=len(ids))
            return bool(ids)

        return await self._db.change(SYSTEM, "mend", work)

    async def _mend(self, tx: Transaction, ids: list[int]) -> None:
        c, who = tx.connection, SYSTEM.principal
        await self._elements.ready(c)
        await self._changes.lock(tx, ids)
        mending = await self._store.standing(
            c, MEND, RequestKind.REPLICATE.value, who.id, "bad copies are made anew", MEND, who.group, 0, tx.at
        )
        looking = await self._store.standing(
            c, LOOK, RequestKind.VERIFY.value, who.id, "bad copies are read back", MEND, who.group, 0, tx.at
        )
        requests = [mending["id"], looking["id"], *await self._store.of_rules(c)]
        coming = _places(await self._orders.coming(c, requests, ids))
        unmended = _places(await self._orders.failed(c, [mending["id"]], ids, tx.at - _DAY))
        unsound = _places(await self._orders.failed(c, [looking["id"]], ids, tx.at - _DAY))
        pool = Pool({e.id: e for e in self._elements.every()})
        copies: list[tuple[int, int, int, int]] = []
        looks: list[tuple[int, int, int, int]] = []
        found, lost, later = [], [], []
        for row in await self._store.files(c, ids):
            if not row["path"].startswith("/"):
                continue  # in the trash; restored, it is looked at when somebody finds its copies bad again
            file = Known(row["id"], f"{row['path'].rstrip('/')}/{row['name']}", row["size"] or 0, states(row))
            bad = [e for e, state in file.copies.items() if state in (SUSPECT, GONE)]
            good = [e for e, state in file.copies.items() if state == AVAILABLE]
            busy = coming[file.id] | unmended[file.id]
            if good:
                if row["status"] == LOST:
                    found.append(row)
                    busy = coming[file.id]  # what failed had no good source
                sources = [e for e in good if pool.readable(e)]
                able = [e for e in bad if (known := pool.by_id.get(e)) is not None and known.writable]
                if sources:
                    orders = [(pool.near(sources, file, pool.by_id[e]), e) for e in able if e not in busy]
                    copies += [(source, target, file.id, file.size) for source, target in orders]
                if bad:  # whatever becomes of it: some copies can't be made now, or will fail
                    later.append(file.id)
                continue
            hope = [e for e in bad if file.copies[e] == SUSPECT and e not in unsound[file.id]]
            looks += [(e, e, file.id, file.size) for e in hope if pool.readable(e) and e not in coming[file.id]]
            if hope or coming[file.id]:
                later.append(file.id)
            elif row["status"] != LOST:
                lost.append(row)
        for request, transfers in ((mending, copies), (looking, looks)):
            await self._queue.add(tx, request, transfers)
            await self._orders.order(c, request["id"], transfers)
        await self._tell(tx, lost, found)
        await self._store.put(c, later, tx.at + _DAY)

    async def _tell(self, tx: Transaction, lost: list[asyncpg.Record], found: list[asyncpg.Record]) -> None:
        people = await self._access.names(tx.connection)
        for rows, status, action in ((lost, LOST, "file.lost"), (found, None, "file.found")):
            await self._store.set_status(tx.connection, [r["id"] for r in rows], status)
            by_owner: dict[int, list[str]] = defaultdict(list)
            for row in rows:
                by_owner[row["owner_id"]].append(f"{row['path'].rstrip('/')}/{row['name']}")
            for owner, names in by_owner.items():
                tx.audit(names, action=action, owner=people.get(owner, ""))
                _log.warning(action, lfns=names[:100], owner=people.get(owner, ""))


def _places(rows: Sequence[Any]) -> dict[int, set[int]]:
    """{file id: elements}"""
    found: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        found[row["file_id"]].add(row["target"])
    return found
