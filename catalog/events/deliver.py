"""Sending events to webhooks: in order, each at least once, signed; who does not answer is asked again ever later."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import structlog

from catalog.db import now
from lading.model.errors import CatalogError
from lading.model.event import Delivery

from .service import event, following, patterns, place
from .store import EventsStore, Wish

if TYPE_CHECKING:
    from catalog.db import Database
    from catalog.elements.secrets import SecretBox

_log = structlog.get_logger("lading.events")
BATCH = 200
_TIMEOUT = 10.0
_LEASE = 60_000_000
_PAUSE = 2.0
_LATEST = 3600.0  # seconds between tries at most


class Deliverer:
    """Any number may run: a webhook is one's affair at a time."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._db = database
        self._box = box
        self._store = EventsStore()

    async def run(self) -> None:
        """Deliver until cancelled. Faults are logged, and tried again."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as http:
            while True:
                try:
                    busy = await self.step(http)
                except CatalogError as error:
                    _log.warning("deliverer waits", error=error.message)
                    busy = False
                except Exception:
                    _log.exception("deliverer failed")
                    busy = False
                if not busy:
                    await asyncio.sleep(_PAUSE)

    async def step(self, http: aiohttp.ClientSession) -> bool:
        """See to one webhook that is due; False when there is none."""
        async with self._db.read() as connection:
            hook = await self._store.claim(connection, now(), now() + _LEASE)
            if hook is None:
                return False
            horizon = await self._store.horizon(connection)
            wish = Wish(None, "", patterns(hook["actions"]), hook["under"])
            rows = await self._store.after(connection, hook["xid"], hook["row_id"], horizon, wish, BATCH)
        error = await self._send(http, hook, rows) if rows else None
        after = place(following(rows, BATCH, horizon))
        async with self._db.read() as connection:
            if error is None:
                again = now() if rows else now() + int(_PAUSE * 1e6)
                await self._store.told(connection, hook["id"], hook["lease"], *after, len(rows), now(), again)
            else:
                seconds = min(2.0 ** min(hook["failures"], 20), _LATEST) * random.uniform(0.5, 1.5)  # noqa: S311
                await self._store.failed(connection, hook["id"], hook["lease"], error, now() + int(seconds * 1e6))
                _log.warning("webhook failed", hook=hook["id"], error=error, seconds=round(seconds))
        return True

    async def _send(self, http: aiohttp.ClientSession, hook: Any, rows: Any) -> str | None:
        """None when it was taken, else why not."""
        first = f"{hook['id']}-{rows[0]['xid']}-{rows[0]['id']}"
        body = msgspec.json.encode(Delivery(hook["id"], first, [event(row) for row in rows]))
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Lading-Timestamp": stamp,
            "X-Lading-Signature": f"sha256={signature(self._box.open(hook['secret'])['secret'], stamp, body)}",
        }
        try:
            async with http.post(hook["url"], data=body, headers=headers, allow_redirects=False) as answer:
                return None if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except TimeoutError:
            return f"no answer within {_TIMEOUT:.0f} s"
        except (aiohttp.ClientError, ValueError) as error:
            return str(error)[:500] or type(error).__name__


def signature(secret: str, stamp: str, body: bytes) -> str:
    """The HMAC-SHA256 of `stamp`, a dot and the body, in hex."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
