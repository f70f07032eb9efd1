"""Requests: orders about many files, carried out in the background."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from doors.http.routes import Call, Route
from lading.model.accounting import Account, By
from lading.model.errors import NotFound
from lading.model.limits import Limits, LimitsChange, LinkDecision
from lading.model.outcome import Page
from lading.model.request import (
    MAX_LFNS,
    LinkProgress,
    NewRequest,
    RequestChange,
    RequestInfo,
    RequestKind,
    RequestPlan,
    RequestState,
    Result,
    TransferInfo,
)

_Limit = Annotated[int, Meta(ge=1, le=10_000)]


class RequestsQuery(Struct, forbid_unknown_fields=True):
    """`all`: those of everybody, for administrators."""

    cursor: str | None = None
    limit: _Limit = 100
    all: bool = False
    state: list[RequestState] = []


class PageQuery(Struct, forbid_unknown_fields=True):
    cursor: str | None = None
    limit: _Limit = 1000


class TriesQuery(Struct, forbid_unknown_fields=True):
    cursor: str | None = None
    limit: _Limit = 1000
    result: Result | None = None


class AccountingQuery(Struct, forbid_unknown_fields=True):
    """Summed up by each `by`, of the tries from `since` until before `until` (microseconds). `all`: everybody's, for
    administrators. `element`: from or to it."""

    by: list[By] = field(default_factory=lambda: [By.DAY])
    since: Annotated[int, Meta(ge=0, le=2**62)] = 0
    until: Annotated[int, Meta(ge=0, le=2**62)] = 2**62
    all: bool = False
    user: str | None = None
    activity: str | None = None
    kind: RequestKind | None = None
    element: str | None = None


def _number(call: Call[Any, Any]) -> int:
    text = call.params["id"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFound(f"'{text[:40]}' is not the number of a request", request=text[:40])
    return int(text)


async def submit(call: Call[NewRequest]) -> RequestInfo:
    return await call.services.requests.submit(call.caller, call.body)


async def plan(call: Call[NewRequest]) -> RequestPlan:
    return await call.services.requests.plan(call.caller, call.body)


async def page(call: Call[None, RequestsQuery]) -> Page[RequestInfo]:
    q = call.query
    return await call.services.requests.page(call.caller, q.cursor, q.limit, everybody=q.all, states=q.state)


async def show(call: Call[None]) -> RequestInfo:
    return await call.services.requests.show(call.caller, _number(call))


async def change(call: Call[RequestChange]) -> RequestInfo:
    return await call.services.requests.change(call.caller, _number(call), call.body)


async def failures(call: Call[None, PageQuery]) -> Page[TransferInfo]:
    q = call.query
    return await call.services.requests.failures(call.caller, _number(call), q.cursor, q.limit)


async def tries(call: Call[None, TriesQuery]) -> Page[TransferInfo]:
    q = call.query
    return await call.services.requests.tries(call.caller, _number(call), q.cursor, q.limit, q.result)


async def under_way(call: Call[None]) -> list[TransferInfo]:
    return await call.services.requests.under_way(call.caller, _number(call), 1000)


async def links(call: Call[None]) -> list[LinkProgress]:
    return await call.services.requests.links(call.caller, _number(call))


async def limits(call: Call[None]) -> Limits:
    return await call.services.limits.show(call.caller)


class DecisionsQuery(Struct, forbid_unknown_fields=True):
    source: str | None = None
    target: str | None = None


async def decisions(call: Call[None, DecisionsQuery]) -> list[LinkDecision]:
    return await call.services.limits.decisions(call.caller, call.query.source, call.query.target)


async def set_limits(call: Call[LimitsChange]) -> Limits:
    return await call.services.limits.change(call.caller, call.body)


async def accounting(call: Call[None, AccountingQuery]) -> list[Account]:
    q = call.query
    return await call.services.accounting.sums(
        call.caller,
        *(list(dict.fromkeys(q.by)), q.since, q.until),
        everybody=q.all,
        user=q.user,
        activity=q.activity,
        kind=q.kind,
        element=q.element,
    )


_TAG = "Requests"
ROUTES = [
    Route("POST", "/v1/requests", submit, "user", "Order copies, moves, drops, removals, checks", body=NewRequest, answer=RequestInfo, status=201, limit=MAX_LFNS, tag=_TAG),
    Route("POST", "/v1/request-plan", plan, "user", "What a request would come to", body=NewRequest, answer=RequestPlan, limit=MAX_LFNS, changes=False, tag=_TAG),
    Route("GET", "/v1/requests", page, "user", "Your requests, the latest first", query=RequestsQuery, answer=Page[RequestInfo], tag=_TAG),
    Route("GET", "/v1/requests/{id}", show, "user", "How far a request is", answer=RequestInfo, tag=_TAG),
    Route("PATCH", "/v1/requests/{id}", change, "user", "Pause, go on, cancel, try again what failed", body=RequestChange, answer=RequestInfo, tag=_TAG),
    Route("GET", "/v1/requests/{id}/failures", failures, "user", "What failed for good, and why", query=PageQuery, answer=Page[TransferInfo], tag=_TAG),
    Route("GET", "/v1/requests/{id}/tries", tries, "user", "Every try of its transfers, the latest first", query=TriesQuery, answer=Page[TransferInfo], tag=_TAG),
    Route("GET", "/v1/requests/{id}/active", under_way, "user", "Its transfers under way", answer=list[TransferInfo], tag=_TAG),
    Route("GET", "/v1/requests/{id}/links", links, "user", "How far it is over each link", answer=list[LinkProgress], tag=_TAG),
    Route("GET", "/v1/accounting", accounting, "user", "What was moved, for whom, over which links, and what failed", query=AccountingQuery, answer=list[Account], tag=_TAG),
    Route("GET", "/v1/limits", limits, "admin", "Limits of links, shares of activities and groups, and what waits", answer=Limits, tag=_TAG),
    Route("GET", "/v1/link-decisions", decisions, "admin", "How links were tuned, and why, the latest first", query=DecisionsQuery, answer=list[LinkDecision], tag=_TAG),
    Route("PATCH", "/v1/limits", set_limits, "admin", "Set limits and shares", body=LimitsChange, answer=Limits, limit=10_000, tag=_TAG),
]  # fmt: skip
