"""From a request to its transfers: in pieces, in constant memory, from wherever a planner before was stopped.

A piece is one transaction: its transfers, its counts, and the place to go on from. Any number of planners may run; each
takes the request that has waited longest for its next piece, so that a request of a million files holds up no other.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from catalog.access.rights import R, W
from catalog.db import now
from catalog.namespace.locate import Found
from catalog.replicas.store import ReplicasStore
from lading.model.errors import CatalogError, Forbidden, NotFound
from lading.model.principal import SYSTEM, Caller
from lading.model.request import RequestKind, Selection
from lading.model.search import Find

from ..queue.store import NEVER
from ..rules.matching import question
from . import choices
from .choices import Choice, Known, Pool
from .store import RequestsStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.service import NamespaceService
    from catalog.namespace.trash import Trash
    from catalog.replicas.changes import ReplicaChanges, Replicas
    from metadata.search import SearchService

    from ..queue.queue import Queue
    from ..rules.matching import Matching
    from .choices import Need

_log = structlog.get_logger("lading.planner")
PIECE = 1000  # files of one transaction
_LEASE = 60_000_000
_SETTLE = 10_000
_DROPS = (RequestKind.MOVE, RequestKind.DROP)
NEEDS_WRITE = (RequestKind.REPLICATE, RequestKind.MOVE, RequestKind.DROP)


class _Page(msgspec.Struct):
    items: list[_Item]
    next: str | None = None


class _Item(msgspec.Struct):
    lfn: str


_PAGE = msgspec.json.Decoder(_Page)


@dataclass(slots=True)
class Piece:
    """What some files of a request come to."""

    files: list[tuple[Known, Choice]] = field(default_factory=list)
    refused: list[tuple[int | None, str | None, str]] = field(default_factory=list)  # (file id, LFN, why)
    skipped: int = 0


class _NotOurs(Exception):
    pass


def _kept(file: Known, wanted: Sequence[int], needs: Sequence[Need]) -> str:
    """Why none of these copies may go."""
    if not choices.drops(file, wanted)[0]:
        return "it is the last good copy: use 'rm' for the file"
    rules = sorted({need.rule for need in needs if need.elements & set(wanted)})
    return f"it is wanted there by rule {', '.join(map(str, rules))}: see 'lading why'"


class Planner:
    def __init__(
        self,
        database: Database,
        access: AccessService,
        names: NamespaceService,
        elements: ElementsService,
        changes: ReplicaChanges,
        trash: Trash,
        search: SearchService,
        queue: Queue,
        matching: Matching,
    ) -> None:
        self._db = database
        self._access = access
        self._names = names
        self._elements = elements
        self._changes = changes
        self._trash = trash
        self._search = search
        self._queue = queue
        self._matching = matching
        self._store = RequestsStore()
        self._replicas = ReplicasStore()

    async def step(self) -> bool:
        """Plan one piece of one request, or let some of its rows follow its state; False when there is none."""
        async with self._db.read() as connection:
            request = await self._store.claim(connection, now(), now() + _LEASE)
        if request is None:
            return await self._settle()
        try:
            await self._plan(request)
        except CatalogError as error:
            if error.retryable:
                raise
            await self._fail(request["id"], error.message)
        return True

    async def _plan(self, request: asyncpg.Record) -> None:
        caller = await self.caller(request)
        lfns, plan = await self.names(caller, request)
        kind = RequestKind(request["kind"])
        removed = await self._remove(caller, lfns) if kind is RequestKind.REMOVE else None

        async def work(tx: Transaction) -> None:
            pool = await self.pool(tx.connection, request)
            piece = removed or await self.piece(tx.connection, caller, request, lfns, pool)
            await self._carry_out(tx, request, pool, piece, plan)

        with contextlib.suppress(_NotOurs):
            await self._db.change(SYSTEM, "request.plan", work)

    async def caller(self, request: asyncpg.Record) -> Caller:
        """Whoever made the request, with the rights of now and the scopes of then. Raises Unauthenticated."""
        async with self._db.read() as connection:
            who = await self._access.principal(connection, request["user_id"], request["options"].get("scopes", []))
        return Caller(who, f"request {request['id']}")

    async def names(self, caller: Caller, request: Any) -> tuple[list[str], dict[str, Any] | None]:
        """(the next LFNs of a request, a record or what looks like one; where it goes on: None when these were the
        last)."""
        selection = msgspec.convert(request["selection"], Selection)
        plan = dict(request["plan"])
        if "item" in plan or not (selection.under or selection.dataset or selection.on):
            first = plan.get("item", 0)
            async with self._db.read() as connection:
                found = await self._store.items(connection, request["id"], first, PIECE)
            return found, {"item": first + len(found)} if len(found) == PIECE else None
        if selection.on:
            after = plan.get("dir", 0), plan.get("name", "")
            async with self._db.read() as connection:
                await self._elements.ready(connection)
                rows = await self._store.on(connection, self._elements.named(selection.on).id, *after, PIECE)
            last = {"dir": rows[-1]["dir_id"], "name": rows[-1]["name"]} if len(rows) == PIECE else None
            return [r["lfn"] for r in rows if r["lfn"].startswith("/")], last  # others are in the trash
        query, under = question(selection) or ("true", selection.under or "/")
        body = Find(query, under, limit=PIECE, cursor=plan.get("cursor"))
        page = _PAGE.decode(await self._search.page(caller, body))
        return [item.lfn for item in page.items], {"cursor": page.next} if page.next else None

    async def pool(self, connection: Connection, request: Any) -> Pool:
        """The elements as they are now. Raises InvalidRequest for what is no expression."""
        await self._elements.ready(connection)
        by_id = {e.id: e for e in self._elements.every()}
        targets: Sequence[Element] = ()
        if request["target"]:
            targets = await self._elements.matching(connection, request["target"])
        sources = None
        if request["source"]:
            sources = frozenset(e.id for e in await self._elements.matching(connection, request["source"]))
            if request["kind"] == RequestKind.MOVE:
                targets = [e for e in targets if e.id not in sources]
        pool = Pool(by_id, targets, sources)
        for element in targets:
            if element.max_bytes is not None:
                pool.room[element.id] = element.max_bytes - await self._elements.used_bytes(connection, element)
        return pool

    async def piece(
        self, connection: Connection, caller: Caller, request: Any, lfns: Sequence[str], pool: Pool
    ) -> Piece:
        """What becomes of each file; nothing is written."""
        piece, kind = Piece(), RequestKind(request["kind"])
        rights_needed = R | W if kind in NEEDS_WRITE else R
        entries: dict[int, Found] = {}
        rights = self._names.rights
        for text, found in zip(lfns, await self._names.find(connection, caller, lfns), strict=True):
            if isinstance(found, CatalogError):
                piece.refused.append((None, text, found.message))
                continue
            row = found.row
            if row["kind"] != 0:
                piece.refused.append((None, text, "it is a directory: name it with --under"))
            elif row["id"] in entries:
                piece.skipped += 1  # named twice
            elif (
                rights.entry(caller.principal, found.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"])
                & rights_needed
                != rights_needed
            ):
                word = "change" if rights_needed & W else "read"
                piece.refused.append((row["id"], None, Forbidden(f"you may not {word} it").message))
            else:
                entries[row["id"]] = found
        needs = {} if kind not in _DROPS else await self._matching.needs(connection, list(entries))
        for copies in await self._replicas.copies(connection, list(entries)):
            found = entries[copies["id"]]
            known = Known(copies["id"], found.path, found.row["size"] or 0, choices.states(copies))
            choice = self._choose(kind, request, known, pool, needs.get(known.id, ()))
            if choice.refusal is not None:
                piece.refused.append((known.id, None, choice.refusal))
            elif choice.transfers or choice.drops:
                piece.files.append((known, choice))
            else:
                piece.skipped += 1
        return piece

    def _choose(self, kind: RequestKind, request: Any, file: Known, pool: Pool, needs: Sequence[Need]) -> Choice:
        if kind is RequestKind.REPLICATE:
            return choices.copy(file, pool, request["copies"], request["target"])
        if kind is RequestKind.MOVE:
            copies = request["copies"] or choices.as_many(file, pool)
            choice = choices.copy(file, pool, copies, request["target"], anywhere=True)
            if choice.refusal is None and not choice.transfers:
                choice.drops = choices.drops(file, choices.leaving(file, pool), needs)[0]
            return choice
        wanted = [e for e in file.copies if pool.sources is None or e in pool.sources]
        if kind is RequestKind.DROP:
            going, kept = choices.drops(file, wanted, needs)
            if kept and not going:
                return Choice(refusal=_kept(file, wanted, needs))
            return Choice(drops=going)
        if kind is RequestKind.STAGE:
            wanted = [e for e in wanted if (known := pool.by_id.get(e)) is not None and known.medium == "tape"]
        return Choice([(e, e) for e in wanted if pool.readable(e)])

    async def _remove(self, caller: Caller, lfns: Sequence[str]) -> Piece:
        """Take the files away, into the trash. Safe to repeat: what is gone already is no failure."""
        piece = Piece()
        for outcome in (await self._trash.remove(caller, lfns)).outcomes:
            try:
                outcome.get()
                piece.files.append((Known(0, outcome.item, 0, {}), Choice()))
            except NotFound:
                piece.skipped += 1
            except CatalogError as error:
                piece.refused.append((None, outcome.item, error.message))
        return piece

    async def _carry_out(
        self, tx: Transaction, request: asyncpg.Record, pool: Pool, piece: Piece, plan: dict[str, Any] | None
    ) -> None:
        transfers = [
            (source, target, file.id, file.size) for file, choice in piece.files for source, target in choice.transfers
        ]
        at_once = [file for file, choice in piece.files if not choice.transfers]
        await self.drop(tx, {f.id: (f.path, c.drops) for f, c in piece.files if c.drops}, pool)
        await self._queue.add(tx, request, transfers)
        refused = [(request["id"], i, text, None, None, 0, why) for i, text, why in piece.refused]
        await self._store.fail(tx.connection, refused, tx.at)
        files = len(transfers) + len(at_once) + len(piece.refused) + piece.skipped
        size = sum(t[3] for t in transfers)
        counts = files, size, piece.skipped, len(piece.refused), len(at_once)
        ending = (tx.at, plan is None, request["lease"])
        if not await self._store.progress(tx.connection, request["id"], plan or {}, *counts, *ending):
            raise _NotOurs  # it is another's by now, or was paused or cancelled: undo all of this
        if plan is None:
            await self._store.forget_items(tx.connection, request["id"])
            await self._store.close(tx.connection, [request["id"]], tx.at)
        tx.audit([], count=files, request=request["id"])

    async def drop(
        self,
        tx: Transaction,
        wanted: Mapping[int, tuple[str, list[int]]],
        pool: Pool,
        needs: Mapping[int, Sequence[Need]] | None = None,
    ) -> int:
        """Drop copies, {file id: (LFN, element ids)}, but never a file's last good one, as it is now, nor one that a
        rule counts on; how many went. `needs`: what rules want of them, by whoever has locked them already."""
        if not wanted:
            return 0
        locked: dict[int, Replicas] = await self._changes.lock(tx, list(wanted))
        if needs is None:
            needs = await self._matching.needs(tx.connection, list(wanted))
        gone: list[tuple[int, str, int | None, str]] = []
        for file_id, replicas in locked.items():
            path, elements = wanted[file_id]
            file = Known(file_id, path, replicas.size or 0, dict(zip(replicas.se, replicas.states, strict=True)))
            for element_id in choices.drops(file, elements, needs.get(file_id, ()))[0]:
                element = pool.by_id.get(element_id)
                if element is not None:
                    gone.append((element_id, replicas.pfn(element), replicas.size, path))
                    replicas.drop(element_id)
        await self._changes.write(tx, locked.values())
        await self._replicas.queue_deletions(tx.connection, gone, tx.at)
        tx.audit([g[3] for g in gone], action="replica.drop")
        return len(gone)

    async def _fail(self, request: int, why: str) -> None:
        async def work(tx: Transaction) -> None:
            if await self._store.lock(tx.connection, request) is not None:
                await self._store.set_state(tx.connection, request, "failed", settled=False, error=why)
                tx.audit([f"request {request}"], error=why)

        await self._db.change(SYSTEM, "request.fail", work)

    async def _settle(self) -> bool:
        """Have some of the rows of requests follow what was said of them. True when some did."""

        async def work(tx: Transaction) -> bool:
            busy = False
            for row in await self._store.to_settle(tx.connection):
                moved = await self._some(tx, row)
                busy = True
                if not moved:
                    await self._store.settled(tx.connection, row["id"])
                tx.audit([], count=moved, request=row["id"], state=row["state"])
            tx.notices.add("transfers")
            return busy

        return await self._db.change(SYSTEM, "request.settle", work)

    async def _some(self, tx: Transaction, row: asyncpg.Record) -> int:
        c, request = tx.connection, row["id"]
        if row["state"] in ("cancelled", "failed"):
            return await self._store.cancel_some(c, request, _SETTLE)
        if row["state"] == "paused":
            return await self._store.pause_some(c, request, _SETTLE, NEVER)
        return await self._store.resume_some(c, request, _SETTLE, NEVER) + await self._store.move_up_some(
            c, request, _SETTLE, row["priority"]
        )
