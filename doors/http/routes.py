"""The table that everything about HTTP is made from: dispatch, decoding, permission, the OpenAPI document.

A module of `doors/rest` holds plain handlers and a list:

    ROUTES = [Route("POST", "/v1/stat", stat, "user", "Look up files", body=Names, answer=Outcomes[Entry],
    changes=False)]
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, get_args

from lading.model.api import MAX_ITEMS

if TYPE_CHECKING:
    from aiohttp import web
    from typing_extensions import TypeVar

    from doors.app import Services
    from lading.model.principal import Caller

    Body = TypeVar("Body", default=None)
    Query = TypeVar("Query", default=None)
else:
    from typing import TypeVar

    Body, Query = (
        TypeVar("Body"),
        TypeVar("Query"),
    )  # no defaults before Python 3.13: modules import annotations from __future__

Permission = Literal["open", "user", "admin"]
PERMISSIONS: tuple[str, ...] = get_args(Permission)


class Call(Generic[Body, Query]):
    """One request as a handler sees it: `body` and `query` decoded and checked, `caller` authenticated and allowed in.

    On open routes `caller` is nobody. `params` are the decoded parts of the path. `request` is for what is neither:
    streams, ranges, headers.
    """

    __slots__ = ("body", "caller", "params", "query", "request", "services")

    def __init__(
        self,
        request: web.Request,
        services: Services,
        caller: Caller,
        params: Mapping[str, str],
        body: Body,
        query: Query,
    ) -> None:
        self.request = request
        self.services = services
        self.caller = caller
        self.params = params
        self.body = body
        self.query = query


@dataclass(slots=True)
class Answer:
    """What a handler returns when a plain value won't do: another status, headers of its own."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] | None = None


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
"""Returns a value to be encoded as JSON, an `Answer`, or a response already made (a stream, a file, a redirect)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address. A GET answers HEAD too.

    `body`, `query` and `answer` are types: the JSON body (absent: there is none, or the handler streams it itself), the
    query string (a Struct), the JSON answer. `changes` says whether the call writes: it is then logged always and
    honours Idempotency-Key; by default all but GET do. `limit` is how many items a list of the body may have. `takes`
    and `gives` are media types of bodies and answers that are not JSON; `gives` next to `answer` is one to be asked for
    with Accept. `also` are other good statuses of the same answer.
    """

    method: str
    path: str
    handler: Handler
    permission: Permission
    summary: str
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int = 200
    changes: bool | None = None
    limit: int = MAX_ITEMS
    description: str = ""
    tag: str = ""
    example: Any = None
    takes: str = ""
    also: tuple[int, ...] = ()
    gives: str = ""

    @property
    def writes(self) -> bool:
        return self.method != "GET" if self.changes is None else self.changes


def check(routes: list[Route]) -> None:
    """Raises ValueError for a route without a known permission or a summary, and for two routes of one address."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        name = f"{route.method} {route.path}"
        if route.permission not in PERMISSIONS:
            raise ValueError(
                f"{name}: its permission is {route.permission!r}, and must be one of {', '.join(PERMISSIONS)}"
            )
        if route.method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            raise ValueError(f"{name}: its method must be GET (HEAD comes with it), POST, PUT, PATCH or DELETE")
        if not route.path.startswith("/") or not route.summary:
            raise ValueError(f"{name}: a route needs an absolute path and a summary")
        if (route.method, route.path) in seen:
            raise ValueError(f"{name}: this address is in the table twice")
        seen.add((route.method, route.path))
