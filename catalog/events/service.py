"""Events as people and programs read them, and the webhooks they are sent to."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

from catalog.access.rights import require_admin
from lading.model import lfn
from lading.model.errors import InvalidRequest, NotFound
from lading.model.event import Events, Hook
from lading.model.people import AuditRow

from .store import EventsStore, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.access.service import AccessService
    from catalog.db import Database, Transaction
    from catalog.elements.secrets import SecretBox
    from lading.model.event import NewHook
    from lading.model.principal import Caller

_LOOK = 0.5  # seconds between looks of who waits


class EventsService:
    def __init__(self, database: Database, access: AccessService, box: SecretBox) -> None:
        self._db = database
        self._access = access
        self._box = box
        self._store = EventsStore()

    async def after(
        self, caller: Caller, cursor: str | None, limit: int, wait: float, actions: Sequence[str], under: str
    ) -> Events:
        """What was done since the cursor (nothing without one: then `next` is where to begin), waiting up to `wait`
        seconds for something. Administrators see all; others what they did, and what befell their files. Raises
        InvalidRequest (cursor, under)."""
        who = caller.principal
        wish = Wish(None if who.superuser else who.id, who.name, patterns(actions), lfn.parse(under))
        end = time.monotonic() + wait
        while True:
            async with self._db.read() as connection:
                horizon = await self._store.horizon(connection)
                if not cursor:
                    return Events([], f"{horizon}-0")
                rows = await self._store.after(connection, *place(cursor), horizon, wish, limit)
            if rows or time.monotonic() >= end:
                return Events([event(row) for row in rows], following(rows, limit, horizon))
            cursor = following(rows, limit, horizon)
            await asyncio.sleep(_LOOK)

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_hook(self, caller: Caller, body: NewHook) -> Hook:
        """Send events from now on. Its secret is told in this answer and never again. Raises Forbidden,
        InvalidRequest."""
        require_admin(caller.principal)
        under, secret = lfn.parse(body.under), secrets.token_hex(32)

        async def work(tx: Transaction) -> Hook:
            c = tx.connection
            sealed, horizon = self._box.seal({"secret": secret}), await self._store.horizon(c)
            row = await self._store.add(c, caller.principal.id, body.url, sealed, body.actions, under, horizon, tx.at)
            tx.audit([body.url], hook=row["id"])
            hook = _hook(row, await self._access.names(c))
            hook.secret = secret
            return hook

        return await self._db.change(caller, "hook.add", work)

    async def hooks(self, caller: Caller) -> list[Hook]:
        """All of them. Raises Forbidden."""
        require_admin(caller.principal)
        async with self._db.read() as connection:
            people = await self._access.names(connection)
            return [_hook(row, people) for row in await self._store.every(connection)]

    async def remove_hook(self, caller: Caller, hook: int) -> None:
        """Raises Forbidden, NotFound."""
        require_admin(caller.principal)

        async def work(tx: Transaction) -> None:
            if not await self._store.remove(tx.connection, hook):
                raise NotFound(f"there is no webhook {hook}: see 'lading hook ls'", hook=hook)
            tx.audit([f"hook {hook}"])

        await self._db.change(caller, "hook.remove", work)


def patterns(actions: Sequence[str]) -> list[str]:
    """For LIKE: `file.*` is all that begins so."""
    return [a.replace("_", r"\_").removesuffix("*") + "%" * a.endswith("*") for a in actions]


def place(cursor: str) -> tuple[int, int]:
    """Raises InvalidRequest."""
    first, dash, second = cursor.partition("-")
    if not (dash and first.isdecimal() and second.isdecimal() and len(cursor) < 40):
        raise InvalidRequest("the cursor is not one of ours")
    return int(first), int(second)


def following(rows: Sequence[Any], limit: int, horizon: int) -> str:
    """The cursor after these, or, when they were all, after what the filters left out, too."""
    return f"{rows[-1]['xid']}-{rows[-1]['id']}" if len(rows) == limit else f"{horizon}-0"


def event(row: Any) -> AuditRow:
    return AuditRow(**{name: row[name] for name in AuditRow.__struct_fields__})


def _hook(row: Any, people: dict[int, str]) -> Hook:
    return Hook(
        row["id"], row["url"], row["actions"], row["under"], people.get(row["user_id"], ""), row["delivered"],
        row["at"], row["failures"], row["error"], row["next_try"] if row["failures"] else None, row["created"],
    )  # fmt: skip
