"""`lading se drain`: an element's state, and the one request that moves all its copies elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.element import ElementChange, ElementState
from ..model.errors import Conflict, InvalidRequest
from ..model.request import NewRequest, RequestChange, RequestInfo, RequestKind, RequestState, Selection
from .order import show_plan
from .request import ended, told

if TYPE_CHECKING:
    from ..client.client import Client
    from .output import Output

_UNDER_WAY = (RequestState.PLANNING, RequestState.RUNNING, RequestState.PAUSED)


class Drain:
    def __init__(self, client: Client, out: Output, name: str) -> None:
        self._client = client
        self._out = out
        self._name = name

    async def plan(self, to: str) -> None:
        """What would be moved, and where to. Raises NotFound."""
        show_plan(self._out, await self._client.requests.plan(await self._order(to, 0)))

    async def start(self, to: str, priority: int, *, wait: bool) -> None:
        """Take the element out of writing, and move what is on it. One that is under way is gone on with. Safe to
        repeat. Raises NotFound, InvalidRequest, Conflict (one with another target is under way)."""
        order = await self._order(to, priority)
        info = await self._under_way()
        if info is None:
            if not [e for e in await self._client.elements.list(order.to) if e.name != self._name]:
                raise InvalidRequest(f"no other element is '{order.to}': add one, or say where with --to")
            await self._client.elements.set(self._name, ElementChange(state=ElementState.DRAIN))
            info = await self._client.requests.submit(order)
        elif to and info.to != to:
            raise Conflict(f"request {info.id} empties '{self._name}' to '{info.to}' already: --stop that first")
        elif info.state is RequestState.PAUSED:
            info = await self._client.requests.change(info.id, RequestChange(state=RequestState.RUNNING))
        if not wait:
            self._out.text(info, f"{told(info)}. Follow it: lading se drain {self._name} --wait")
            return
        await ended(self._client, self._out, info.id)
        element = await self._client.elements.show(self._name)
        if self._out.json:
            return
        if not element.replicas:
            self._out.raw(f"{self._name} is empty. Take it out: lading se rm {self._name}")
            return
        self._out.raw(
            f"{element.replicas:,} copies are on {self._name} still: those that failed (mend what is told, and drain it"
            " again), and those of files in the trash (until they expire)"
        )

    async def stop(self, *, dry_run: bool) -> None:
        """Cancel it: what was moved stays where it is. The element takes writes again. Safe to repeat."""
        info = await self._under_way()
        named = f"request {info.id}" if info else "no request"
        if dry_run:
            told = {"item": self._name, "dry_run": True, "request": info and info.id}
            self._out.text(told, f"would be cancelled: {named}; {self._name} would take writes")
            return
        if info is not None:
            await self._client.requests.change(info.id, RequestChange(state=RequestState.CANCELLED))
        await self._client.elements.set(self._name, ElementChange(state=ElementState.ACTIVE))
        told = {"item": self._name, "changed": True, "request": info and info.id}
        self._out.text(told, f"cancelled: {named}; {self._name} takes writes")

    async def _order(self, to: str, priority: int) -> NewRequest:
        element = await self._client.elements.show(self._name)
        return NewRequest(
            RequestKind.MOVE,
            Selection(on=self._name),
            to or f"type={element.medium.value} \\ {self._name}",
            self._name,
            copies=0,
            activity="drain",
            priority=priority,
        )

    async def _under_way(self) -> RequestInfo | None:
        async for info in self._client.requests.list(everybody=True, states=_UNDER_WAY):
            if info.kind is RequestKind.MOVE and info.selection.on == self._name:
                return info
        return None
