"""Requests as people see them: made, looked at, stopped, tried again."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.db import now
from lading.model import lfn
from lading.model.errors import Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.outcome import Page
from lading.model.request import (
    RESULTS,
    LinkPlan,
    LinkProgress,
    RequestChange,
    RequestInfo,
    RequestKind,
    RequestPlan,
    RequestState,
    Result,
    Selection,
    TransferInfo,
)

from ..ways import ways
from .store import RequestsStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.principal import Caller
    from lading.model.request import NewRequest

    from .planner import Planner

_LOOK = 20.0  # seconds that a dry run looks at files
_MINUTE = 60_000_000
MOST_LINKS = 200
_COPIES = (RequestKind.REPLICATE, RequestKind.MOVE)
_OVER = (RequestState.CANCELLED, RequestState.FAILED)


class Requests:
    def __init__(
        self,
        database: Database,
        access: AccessService,
        names: NamespaceService,
        elements: ElementsService,
        planner: Planner,
    ) -> None:
        self._db = database
        self._access = access
        self._names = names
        self._elements = elements
        self._planner = planner
        self._store = RequestsStore()

    async def submit(self, caller: Caller, body: NewRequest) -> RequestInfo:
        """Take a request; its files are looked at in the background. Give an idempotency key to send it twice.

        What can be told at once is: raises InvalidRequest (selection, expressions), NotFound (group), Forbidden
        (another's group). The rights to each file are those of the caller when its turn to be planned comes.
        """
        checked(body)
        _allowed(caller, body)
        who = caller.principal

        async def work(tx: Transaction) -> RequestInfo:
            group = who.group
            if body.group is not None:
                group = (await self._access.ids(tx.connection, "g", [body.group]))[body.group]
                if group not in who.groups and not who.superuser:
                    raise Forbidden(f"you are not in the group '{body.group}'", group=body.group)
            await self._elements.ready(tx.connection)
            for text in (body.to, body.source):
                if text:
                    await self._elements.matching(tx.connection, text)
            selection = body.selection
            kept = Selection(under=selection.under, query=selection.query, dataset=selection.dataset, on=selection.on)
            if selection.on:
                self._elements.named(selection.on)
                if body.kind is RequestKind.MOVE:
                    await self._alone(tx, selection.on)
            request = await self._store.add(
                tx.connection, body.kind.value, who.id, msgspec.to_builtins(kept), body.to, body.source, body.copies,
                {"replace": body.replace, "note": body.note, "scopes": scopes(caller)},
                body.activity, group, body.priority, tx.at,
            )  # fmt: skip
            if selection.lfns:
                await self._store.add_items(tx.connection, request, selection.lfns)
            tx.audit([f"request {request}"], kind=body.kind.value, to=body.to, source=body.source)
            tx.notices.add("requests")
            row = await self._store.find(tx.connection, request)
            assert row is not None
            return self._info(row, await self._access.names(tx.connection))

        return await self._db.change(caller, "request.add", work)

    async def _alone(self, tx: Transaction, element: str) -> None:
        """Two that empty one element would make twice the copies. Raises Conflict."""
        if (other := await self._store.emptying(tx.connection, element)) is not None:
            raise Conflict(f"request {other} empties '{element}' already: wait for it, or cancel it", request=other)

    async def plan(self, caller: Caller, body: NewRequest) -> RequestPlan:
        """What a request would come to now. Nothing is written. A large one is looked at for some seconds: `whole` says
        whether that was all of it. Raises what `submit` does."""
        checked(body)
        _allowed(caller, body)
        end = time.monotonic() + _LOOK
        plan = RequestPlan()
        links: dict[tuple[int, int], LinkPlan] = {}
        refused: Counter[str] = Counter()
        given = body.selection.lfns
        row: dict[str, Any] = {
            "id": 0, "kind": body.kind.value, "target": body.to, "source": body.source, "copies": body.copies,
            "plan": {},
            "selection": {k: v for k, v in msgspec.to_builtins(body.selection).items() if k != "lfns"},
        }  # fmt: skip
        async with self._db.read() as connection:
            pool = await self._planner.pool(connection, row)
        at: dict[str, Any] | None = {}
        while at is not None:
            if time.monotonic() > end:
                plan.whole = False
                break
            if given:
                texts, given = given[:1000], given[1000:]
                at = at if given else None
            else:
                texts, at = await self._planner.names(caller, row)
                row["plan"] = at or {}
            if not texts:
                break
            async with self._db.read() as connection:
                piece = await self._planner.piece(connection, caller, row, texts, pool)
            plan.skipped += piece.skipped
            refused.update(why for _, _, why in piece.refused)
            for file, choice in piece.files:
                plan.files += max(len(choice.transfers), 1)
                plan.bytes += file.size * len(choice.transfers)
                for source, target in choice.transfers:
                    names = (pool.by_id[source].name, pool.by_id[target].name)
                    link = links.setdefault((source, target), LinkPlan(*names))
                    link.files += 1
                    link.bytes += file.size
        plan.refused = dict(refused.most_common(100))
        plan.links = sorted(links.values(), key=lambda link: -link.bytes)[:MOST_LINKS]
        if body.kind in _COPIES:
            for link in plan.links:
                ends = [await self._elements.storage(self._elements.named(n)) for n in (link.source, link.target)]
                link.ways = [way.value for way in await ways(*ends)]
        return plan

    async def page(
        self, caller: Caller, cursor: str | None, limit: int, *, everybody: bool = False, states: Sequence[str] = ()
    ) -> Page[RequestInfo]:
        """One's own requests, the latest first; `everybody`'s for administrators."""
        who = caller.principal
        if everybody and not who.superuser:
            raise Forbidden("only administrators see the requests of others")
        async with self._db.read() as connection:
            user = None if everybody else who.id
            rows = await self._store.page(connection, number(cursor), user, list(states) or None, limit)
            names = await self._access.names(connection)
        return Page([self._info(r, names) for r in rows], str(rows[-1]["id"]) if len(rows) == limit else None)

    async def show(self, caller: Caller, request: int) -> RequestInfo:
        """One request, with the rate of the last minute and the time that the rest takes at it. Raises NotFound."""
        async with self._db.read() as connection:
            row = self._mine(caller, await self._store.find(connection, request), request)
            info = self._info(row, await self._access.names(connection))
            if info.finished is None:
                at = now()
                rate = await self._store.rate(connection, request, at - _MINUTE)
                seconds = max((at - max(rate["since"] or at, at - _MINUTE)) / 1e6, 1.0)
                info.rate = rate["bytes"] / seconds
                if info.planned and rate["done"]:
                    left = info.files - info.done - info.failed - info.skipped - info.cancelled
                    by_files, by_bytes = left * seconds / rate["done"], 0.0
                    if info.rate:
                        by_bytes = max(info.bytes - info.done_bytes, 0) / info.rate
                    info.eta = round(max(by_files, by_bytes), 1)
        return info

    async def failures(self, caller: Caller, request: int, cursor: str | None, limit: int) -> Page[TransferInfo]:
        """What failed for good, each with its last reason. Raises NotFound."""
        async with self._db.read() as connection:
            self._mine(caller, await self._store.find(connection, request), request)
            await self._elements.ready(connection)
            rows = await self._store.failures(connection, request, number(cursor) or 0, limit)
        items = [TransferInfo(r["shown"], *self._ends(r), Result.FAILED, r["error"], at=r["at"]) for r in rows]
        return Page(items, str(rows[-1]["id"]) if len(rows) == limit else None)

    async def tries(
        self, caller: Caller, request: int, cursor: str | None, limit: int, result: Result | None = None
    ) -> Page[TransferInfo]:
        """Every try of its transfers, the latest first. Raises NotFound."""
        after = None
        if cursor:
            try:
                first, second, third = map(int, cursor.split("-"))
                after = (first, second, third)
            except ValueError:
                raise InvalidRequest("the cursor is not one of ours") from None
        async with self._db.read() as connection:
            self._mine(caller, await self._store.find(connection, request), request)
            await self._elements.ready(connection)
            wanted = None if result is None else RESULTS.index(result)
            rows = await self._store.tries(connection, request, wanted, after, limit)
        items = [
            TransferInfo(
                r["lfn"], *self._ends(r), RESULTS[r["result"]], r["error"], r["way"],
                r["bytes"], r["micros"] / 1e6, r["at"], r["transfer_id"],
            )
            for r in rows
        ]  # fmt: skip
        last = rows[-1] if len(rows) == limit else None
        return Page(items, None if last is None else f"{last['at']}-{last['transfer_id']}-{last['file_id']}")

    async def under_way(self, caller: Caller, request: int, limit: int) -> list[TransferInfo]:
        """The transfers that workers are at, those that take longest first. Raises NotFound."""
        async with self._db.read() as connection:
            self._mine(caller, await self._store.find(connection, request), request)
            await self._elements.ready(connection)
            rows = await self._store.under_way(connection, request, limit)
        at = now()
        return [
            TransferInfo(
                r["lfn"], *self._ends(r), bytes=r["bytes"],
                seconds=(at - r["started"]) / 1e6, at=r["started"], transfer=r["id"],
            )
            for r in rows
        ]  # fmt: skip

    async def links(self, caller: Caller, request: int) -> list[LinkProgress]:
        """How far it is over each link, the first thousand. Raises NotFound."""
        at = now()
        async with self._db.read() as connection:
            row = self._mine(caller, await self._store.find(connection, request), request)
            await self._elements.ready(connection)
            rows = await self._store.links(connection, request, at - _MINUTE, MOST_LINKS)
        seconds = min(max((at - row["created"]) / 1e6, 1.0), _MINUTE / 1e6)
        return [
            LinkProgress(
                *self._ends(r), r["waiting"] or 0, r["waiting_bytes"] or 0, r["active"] or 0,
                r["done"] or 0, r["done_bytes"] or 0, r["failed"] or 0, r["retried"] or 0, (r["recent"] or 0) / seconds,
            )
            for r in rows
        ]  # fmt: skip

    async def change(self, caller: Caller, request: int, change: RequestChange) -> RequestInfo:
        """Pause it, go on, cancel it, try again what failed, or give it another priority. Safe to repeat.

        What is under way when it is paused comes to its end; a cancelled one is broken off. Raises NotFound, Conflict
        (it has ended), InvalidRequest.
        """

        async def work(tx: Transaction) -> RequestInfo:
            row = self._mine(caller, await self._store.lock(tx.connection, request), request)
            state = RequestState(row["state"])
            if row["rule_id"] is not None and (change.retry or change.state is RequestState.CANCELLED):
                instead = f"'lading rule {'check' if change.retry else 'rm'} {row['rule_id']}'"
                raise Conflict(f"request {request} makes the copies of a rule: use {instead}", request=request)
            if row["standing"] is not None and (change.retry or change.state is RequestState.CANCELLED):
                raise Conflict(f"request {request} is the server's own, and never ends: pause it", request=request)
            if change.state is not None:
                await self._move(tx, row, state, change.state)
            if change.priority is not None and change.priority != row["priority"]:
                await self._store.set_priority(tx.connection, request, change.priority)
            if change.retry:
                if state in _OVER or not row["planned"] or change.state is not None:
                    told = f"it is {state}" if state in _OVER else "its files are not all known yet"
                    raise Conflict(f"request {request} can't be tried again: {told}", request=request)
                if row["failed"]:
                    await self._store.retry(tx.connection, request)
            tx.audit([f"request {request}"], **msgspec.to_builtins(change))
            tx.notices.update(("requests", "transfers"))
            after = await self._store.find(tx.connection, request)
            assert after is not None
            return self._info(after, await self._access.names(tx.connection))

        return await self._db.change(caller, "request.change", work)

    async def _move(self, tx: Transaction, row: asyncpg.Record, state: RequestState, to: RequestState) -> None:
        request = row["id"]
        if state is to or (to is RequestState.RUNNING and state is RequestState.PLANNING):
            return
        if state in (*_OVER, RequestState.DONE):
            raise Conflict(f"request {request} is {state} already", request=request)
        if to is RequestState.RUNNING and state is RequestState.PAUSED:
            going = RequestState.RUNNING if row["planned"] else RequestState.PLANNING
            await self._store.set_state(tx.connection, request, going.value, settled=False)
            await self._store.close(tx.connection, [request], tx.at)
        elif to in (RequestState.PAUSED, RequestState.CANCELLED):
            await self._store.set_state(tx.connection, request, to.value, settled=False)
            if to is RequestState.CANCELLED:
                await self._store.finish(tx.connection, request, tx.at)
        else:
            raise InvalidRequest("a request is set to 'paused', 'running' or 'cancelled'", state=to.value)

    def _mine(self, caller: Caller, row: asyncpg.Record | None, request: int) -> asyncpg.Record:
        if row is None or (row["user_id"] != caller.principal.id and not caller.principal.superuser):
            raise NotFound(f"there is no request {request} of yours: see 'lading request ls'", request=request)
        return row

    def _ends(self, row: asyncpg.Record) -> tuple[str, str]:
        return self._named(row["source"]), self._named(row["target"])

    def _named(self, element_id: int | None) -> str:
        if not element_id:
            return ""
        element = self._elements.by_id(element_id)
        return element.name if element else f"(element {element_id}, gone)"

    def _info(self, row: asyncpg.Record, names: dict[int, str]) -> RequestInfo:
        return RequestInfo(
            row["id"], RequestKind(row["kind"]), RequestState(row["state"]), names.get(row["user_id"], ""),
            msgspec.convert(row["selection"], Selection), row["target"], row["source"], row["copies"], row["activity"],
            names.get(row["group_id"], ""), row["priority"], row["options"].get("note", ""), row["error"],
            row["planned"], row["files"], int(row["bytes"]), row["done"], int(row["done_bytes"]),
            row["skipped"], row["failed"], row["cancelled"], row["active"],
            rule=row["rule_id"], created=row["created"], finished=row["finished"],
        )  # fmt: skip


def checked(body: NewRequest) -> None:
    """Raises InvalidRequest for an order that makes no sense, and puts its LFNs right."""
    s = body.selection
    if sum(map(bool, (s.lfns, s.under, s.dataset, s.on))) != 1:
        raise InvalidRequest(
            "which files? Give LFNs, or a directory (with or without a query), a data set, or an element"
        )
    if s.query is not None and not s.under:
        raise InvalidRequest("a query is asked below a directory: give that too, '/' for all")
    kind = body.kind
    if kind in _COPIES and not body.to:
        raise InvalidRequest(f"to {kind} where? Give an element, or an expression such as 'country=FR & type=disk'")
    if kind not in _COPIES and body.to:
        raise InvalidRequest(f"{kind} has no target: which copies are meant is told by `source`")
    if kind is RequestKind.DROP and not body.source:
        raise InvalidRequest("drop the copies on which elements? Give `source`; 'rm' removes whole files")
    if kind is RequestKind.REMOVE and body.source:
        raise InvalidRequest("remove takes whole files: 'drop' is for the copies on some elements")
    if not body.copies and (kind is not RequestKind.MOVE or not body.source):
        raise InvalidRequest("0 copies are for a move from `source`: one for each good copy that goes")
    if s.under:
        s.under = lfn.parse(s.under)


def _allowed(caller: Caller, body: NewRequest) -> None:
    if body.selection.on and not caller.principal.superuser:
        raise Forbidden("all files on an element, whosoever they are, is for administrators: name a directory")


def number(cursor: str | None) -> int | None:
    """Raises InvalidRequest."""
    if not cursor:
        return None
    if not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequest("the cursor is not one of ours")
    return int(cursor)


def scopes(caller: Caller) -> list[str]:
    return [word if top == "/" else f"{word}:{top}" for word, top in caller.principal.scopes]
