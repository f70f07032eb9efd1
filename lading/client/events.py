"""The part of the client about events."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from ..model.event import Events as EventsPage
from ..model.event import Hook, NewHook
from .admin import Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..model.people import AuditRow

_WAIT = 20.0  # seconds that the server waits for something to tell


class Events(Part):
    """What was done, as it is done; and the webhooks it is sent to."""

    async def after(
        self, cursor: str | None, *, actions: Sequence[str] = (), under: str = "/", wait: float = 0.0
    ) -> EventsPage:
        """What was done since a cursor, up to a thousand; keep `next` to go on from, exactly. Without a cursor nothing,
        and where to begin. Raises InvalidRequest."""
        params = {"after": cursor, "action": list(actions), "under": under, "wait": wait}
        return await self.http.call("GET", "/v1/events", EventsPage, params=params)

    async def watch(
        self, cursor: str | None = None, *, actions: Sequence[str] = (), under: str = "/"
    ) -> AsyncIterator[tuple[AuditRow, str]]:
        """(event, the cursor of those after its page), from now or a cursor on, without end. Who keeps the cursor once
        a page is dealt with loses nothing, and may see some again."""
        cursor = cursor or (await self.after(None)).next
        while True:
            page = await self.after(cursor, actions=actions, under=under, wait=_WAIT)
            cursor = page.next
            for event in page.items:
                yield event, cursor

    async def add_hook(self, new: NewHook) -> Hook:
        """Its `secret` is told now and never again. For administrators."""
        return await self.http.call("POST", "/v1/hooks", Hook, body=new, once=True)

    async def hooks(self) -> builtins.list[Hook]:
        """For administrators."""
        return await self.http.call("GET", "/v1/hooks", builtins.list[Hook])

    async def remove_hook(self, hook: int) -> None:
        """For administrators. Raises NotFound."""
        await self.http.call("DELETE", f"/v1/hooks/{hook}", type(None), once=True)
