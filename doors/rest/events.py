"""Events: what was done, as it is done; and webhooks."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from doors.http.routes import Call, Route
from lading.model.errors import NotFound
from lading.model.event import Actions, Events, Hook, NewHook


class EventsQuery(Struct, forbid_unknown_fields=True):
    """`after`: the `next` of the answer before; without it nothing but where to begin. `wait`: seconds for something to
    come. `action`: `file.*` is all that begins so. `under`: with a target at or below it."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    wait: Annotated[float, Meta(ge=0, le=30)] = 0
    action: Actions = []
    under: str = "/"


async def events(call: Call[None, EventsQuery]) -> Events:
    q = call.query
    return await call.services.events.after(call.caller, q.after, q.limit, q.wait, q.action, q.under)


async def add(call: Call[NewHook]) -> Hook:
    return await call.services.events.add_hook(call.caller, call.body)


async def every(call: Call[None]) -> list[Hook]:
    return await call.services.events.hooks(call.caller)


async def remove(call: Call[None]) -> None:
    await call.services.events.remove_hook(call.caller, _number(call))


def _number(call: Call[Any, Any]) -> int:
    text = call.params["id"]
    if not text.isdecimal() or len(text) > 9:
        raise NotFound(f"'{text[:40]}' is not the number of a webhook", hook=text[:40])
    return int(text)


_TAG = "Events"
ROUTES = [
    Route("GET", "/v1/events", events, "user", "What was done since a cursor, in order", query=EventsQuery, answer=Events, tag=_TAG),
    Route("POST", "/v1/hooks", add, "admin", "Send events to a URL from now on", body=NewHook, answer=Hook, status=201, tag=_TAG),
    Route("GET", "/v1/hooks", every, "admin", "Webhooks, and how they do", answer=list[Hook], tag=_TAG),
    Route("DELETE", "/v1/hooks/{id}", remove, "admin", "Send no more to a URL", status=204, tag=_TAG),
]  # fmt: skip
