"""The HTTP door: one thin path from a request to its answer, the same for every route.

Nothing is built per request that can be built per route, and there is no aiohttp middleware.
"""

from __future__ import annotations

import re
import secrets
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web
from multidict import CIMultiDict

from catalog.db import Replayed
from lading.model.errors import Forbidden
from lading.model.lfn import shown

from . import problems
from .decode import JSONBody, QueryString, check_params
from .identity import REQUEST_ID, Identity, idempotency
from .metrics import Metrics
from .routes import Answer, Call, Route, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from doors.app import Services
    from doors.config import Config

_USER = web.RequestKey("user", str)
_BEGUN = web.RequestKey("begun", web.StreamResponse)
_LAST = web.RequestKey("last", bool)
_TAME = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_JSON = msgspec.json.Encoder()
_DISCONNECTED = 499  # nginx's; never sent, there is nobody to read it
_log = structlog.get_logger("lading.http")


def last(request: web.Request) -> None:
    """Have the connection end with the answer to this request, and the answer say so."""
    request[_LAST] = True
    request.protocol.close()


class Door:
    """What the routes of one server process share."""

    def __init__(self, services: Services, config: Config) -> None:
        self.services = services
        self.config = config
        self.identity = Identity(services, config.trusted_proxies)
        self.metrics = Metrics(services.pools, services.elements.counts, services.elements.out)
        self.slow = config.slow_seconds
        self.log_all = config.log_level == "debug"
        self._prefix = secrets.token_hex(6)
        self._counter = count(1)

    def request_id(self, request: web.Request) -> str:
        """The caller's X-Request-Id when it is a tame one, or a new one."""
        given = request.headers.get("X-Request-Id")
        if given is not None and _TAME.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._counter):x}"


class Endpoint:
    """A route made ready."""

    def __init__(self, door: Door, route: Route) -> None:
        config = door.config
        self.door = door
        self.route = route
        self.counts = door.metrics.route(route.method, route.path)
        self._body = JSONBody(route.body, route.limit, config.max_body, config.body_seconds) if route.body else None
        self._query = QueryString(route.query)
        self._handler = route.handler
        self._open = route.permission == "open"
        self._admin = route.permission == "admin"
        self._params = "{" in route.path
        self._writes = route.writes

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, whatever happens."""
        door = self.door
        metrics = door.metrics
        metrics.in_flight += 1
        started = perf_counter()
        request[REQUEST_ID] = door.request_id(request)
        fault: Exception | None = None
        status = _DISCONNECTED
        try:
            try:
                response = await self._answer(request)
            except Exception as error:
                fault = error
                response = self._refuse(request, error)
            status = response.status
            return response
        finally:
            metrics.in_flight -= 1
            seconds = perf_counter() - started
            self.counts.add(status, seconds)
            if fault is not None or self._writes or seconds > door.slow or door.log_all:
                self._log(request, status, seconds, fault)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        identity = self.door.identity
        if self._open:
            caller = identity.anonymous(request)
        else:
            caller = await identity.identify(request)
            request[_USER] = caller.principal.name
            if self._admin and not caller.principal.superuser:
                raise Forbidden(
                    "this is for administrators of the server: ask one, or use a token with the 'admin' scope"
                )
        params = request.match_info
        if self._params:
            check_params(params)
        query = self._query.decode(request)
        raw, body = b"", None
        if self._body is not None:
            raw = await self._body.read(request)
            body = self._body.decode(raw)
        if self._writes:
            caller.idempotency = idempotency(request, raw)
        try:
            value = await self._handler(Call(request, self.door.services, caller, params, body, query))
        except Replayed as replayed:
            return self._json(replayed.body, self.route.status, {"Idempotency-Replayed": "true"})
        if isinstance(value, web.StreamResponse):
            return value
        if isinstance(value, Answer):
            return self._json(_JSON.encode(value.value), value.status or self.route.status, value.headers)
        return self._json(_JSON.encode(value), self.route.status)

    def _json(self, body: bytes, status: int, headers: Any = None) -> web.Response:
        if self.route.answer is None:
            return web.Response(status=status, headers=headers)
        answer = web.Response(body=body, status=status, headers=_JSON_HEADERS)
        if headers:
            answer.headers.update(headers)
        return answer

    def _refuse(self, request: web.Request, error: Exception) -> web.StreamResponse:
        transport = request.transport
        if transport is None or transport.is_closing():
            return web.Response(status=_DISCONNECTED)  # the caller left: nobody's error
        begun = request.get(_BEGUN)
        if begun is None:
            return problems.response(error, request[REQUEST_ID])
        transport.close()  # what was sent can't be unsent: without the end mark nobody takes it for the whole
        return begun

    def _log(self, request: web.Request, status: int, seconds: float, fault: Exception | None) -> None:
        facts: dict[str, Any] = {
            "method": request.method,
            "path": shown(request.path, 500),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "user": request.get(_USER, ""),
            "origin": self.door.identity.origin(request),
            "request_id": request[REQUEST_ID],
        }
        if status == _DISCONNECTED:
            _log.debug("disconnected", **facts)
        elif fault is None:
            _log.info("request", **facts)
        elif problems.foreseen(fault):
            told = problems.fault(fault)
            level = _log.warning if status >= 500 else _log.info
            level("refused", code=told.code, error=shown(told.message, 500), **facts)
        else:
            _log.error("failed", exc_info=fault, **facts)


class _Unknown(Endpoint):
    """All addresses that are not in the table, and methods that an address doesn't know."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in request.app.router.resources():
            allowed |= (await resource.resolve(request))[1] - {"*"}
        if allowed:
            raise web.HTTPMethodNotAllowed(
                request.method, allowed, text=f"{shown(request.method, 20)} is not for this address"
            )
        raise web.HTTPNotFound(text="there is no such address: /docs lists those there are")


async def _unreachable(call: Call[Any, Any]) -> None:
    raise AssertionError(call.request.path)


def application(door: Door, routes: Sequence[Route]) -> web.Application:
    """The aiohttp application of a route table. Raises ValueError for a table that `routes.check` refuses."""
    check(list(routes))
    app = web.Application(client_max_size=door.config.max_body)
    for route in routes:
        endpoint = Endpoint(door, route)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, endpoint.handle)
        if route.method == "GET":
            resource.add_route("HEAD", endpoint.handle)
    unknown = Route("*", "/{unknown:.*}", _unreachable, "open", "anything else", changes=False)
    app.router.add_route("*", unknown.path, _Unknown(door, unknown).handle)
    app.on_response_prepare.append(_sign)
    return app


_JSON_HEADERS = CIMultiDict({"Content-Type": "application/json"})


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers["Server"] = "lading"  # aiohttp's own tells versions
    if _LAST in request:
        headers["Connection"] = "close"
    request_id = request.get(REQUEST_ID)
    if request_id is not None:  # None: refused before it reached an endpoint, for its Expect header
        headers["X-Request-Id"] = request_id
        request[_BEGUN] = response
