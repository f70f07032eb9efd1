"""The part of the client about requests: orders carried out in the background."""

from __future__ import annotations

import asyncio
import builtins
from typing import TYPE_CHECKING

from ..model.accounting import Account, By
from ..model.limits import Limits, LimitsChange, LinkDecision
from ..model.outcome import Page
from ..model.request import LinkProgress, NewRequest, RequestChange, RequestInfo, RequestPlan, Result, TransferInfo
from .admin import Part
from .namespace import LONG, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from ..model.request import RequestState

_SOON, _LATER = 0.2, 2.0  # seconds between looks


class Requests(Part):
    """Replicate, move, drop, remove, verify, stage: many files by one order, done by the server's workers."""

    async def submit(self, new: NewRequest, *, key: str | None = None) -> RequestInfo:
        """Order it. The same `key` again, within a day, gives the same request: without one only a lost answer is
        known for what it is. Raises InvalidRequest, NotFound, Forbidden, Conflict (the key with another order)."""
        return await self.http.call("POST", "/v1/requests", RequestInfo, body=new, once=key or True, wait=LONG)

    async def plan(self, new: NewRequest) -> RequestPlan:
        """What it would come to now; nothing is done."""
        return await self.http.call("POST", "/v1/request-plan", RequestPlan, body=new, wait=LONG)

    def list(self, *, everybody: bool = False, states: Sequence[RequestState] = ()) -> AsyncIterator[RequestInfo]:
        """One's own, the latest first; `everybody`'s for administrators."""
        params = {"all": everybody or None, "state": [state.value for state in states], "limit": 1000}
        return pages(self.http, "/v1/requests", Page[RequestInfo], params)

    async def show(self, request: int) -> RequestInfo:
        return await self.http.call("GET", f"/v1/requests/{request}", RequestInfo)

    async def change(self, request: int, change: RequestChange) -> RequestInfo:
        """Pause, go on, cancel, retry, another priority. Raises NotFound, Conflict."""
        return await self.http.call("PATCH", f"/v1/requests/{request}", RequestInfo, body=change, once=True)

    def failures(self, request: int) -> AsyncIterator[TransferInfo]:
        """What failed for good, each with its last reason."""
        return pages(self.http, f"/v1/requests/{request}/failures", Page[TransferInfo], {})

    def tries(self, request: int, result: Result | None = None) -> AsyncIterator[TransferInfo]:
        """Every try of its transfers, the latest first."""
        params = {"result": result and result.value}
        return pages(self.http, f"/v1/requests/{request}/tries", Page[TransferInfo], params)

    async def active(self, request: int) -> builtins.list[TransferInfo]:
        """What workers are at, those that take longest first."""
        return await self.http.call("GET", f"/v1/requests/{request}/active", builtins.list[TransferInfo])

    async def links(self, request: int) -> builtins.list[LinkProgress]:
        """How far it is over each link."""
        return await self.http.call("GET", f"/v1/requests/{request}/links", builtins.list[LinkProgress])

    async def limits(self) -> Limits:
        """Limits of links, shares of activities and groups, and what waits. For administrators."""
        return await self.http.call("GET", "/v1/limits", Limits)

    async def decisions(self, source: str | None = None, target: str | None = None) -> builtins.list[LinkDecision]:
        """How links were tuned, and why, the latest first. For administrators."""
        params = {"source": source, "target": target}
        return await self.http.call("GET", "/v1/link-decisions", builtins.list[LinkDecision], params=params)

    async def set_limits(self, change: LimitsChange) -> Limits:
        """Set those that are named. For administrators; safe to repeat."""
        return await self.http.call("PATCH", "/v1/limits", Limits, body=change, once=True)

    async def accounting(
        self, by: Sequence[By], *, since: int = 0, until: int | None = None, everybody: bool = False, **only: str | None
    ) -> builtins.list[Account]:
        """What was moved, summed up by each `by`, from `since` until before `until` (microseconds). `only`: of this
        `user`, `activity`, `kind`, and from or to this `element`. `everybody`'s for administrators."""
        params = {"by": [one.value for one in by], "since": since, "until": until, "all": everybody or None, **only}
        return await self.http.call("GET", "/v1/accounting", builtins.list[Account], params=params, wait=LONG)

    async def wait(self, request: int, tell: Callable[[RequestInfo], None] | None = None) -> RequestInfo:
        """The request once it has ended; `tell` hears now and then how far it is. Raises NotFound, and Unavailable for
        a server that stays away longer than the client's tries."""
        pause = _SOON
        while True:
            info = await self.show(request)
            if tell is not None:
                tell(info)
            if info.finished is not None:
                return info
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, _LATER)
