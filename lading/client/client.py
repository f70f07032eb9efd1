"""`Client`: one object for everything a user asks of lading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import api
from ..model.people import AuditRow, Me
from . import admin, credentials
from .datasets import Datasets
from .http import Http
from .metadata import Fields
from .requests import Requests
from .search import Search
from .transfer import Transfers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self


class Client(Search, Transfers):
    """Typed calls to a lading server.

        async with Client() as c:
            for outcome in await c.stat(["/biomed/a", "/biomed/b"]):
                print(outcome.item, outcome.value or outcome.error)
            await c.get("/biomed/a", "a.dat")

    Without `url` and `token` they come from the environment or the credentials file (see credentials). Calls raise a
    CatalogError when they fail as a whole, and answer an Outcome per item otherwise. Throttling, a server that is away
    and broken connections are tried again `tries` times; mutations carry an Idempotency-Key, so that is safe. `timeout`
    is how many seconds the server may be silent. Use one client in one event loop; it may run many calls at once.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        connections: int = 16,
        tries: int = 6,
        anonymous: bool = False,
    ) -> None:
        found = credentials.find(url, token, anonymous=anonymous)
        self.http = Http(found, timeout=timeout, connections=connections, tries=tries)
        self.remote: set[str | None] = set()
        self.elements = admin.Elements(self.http)
        self.users = admin.Users(self.http)
        self.groups = admin.Groups(self.http)
        self.vos = admin.VOs(self.http)
        self.tokens = admin.Tokens(self.http)
        self.aliases = admin.Aliases(self.http)
        self.trash = admin.Trash(self.http)
        self.fields = Fields(self.http)
        self.datasets = Datasets(self.http)
        self.requests = Requests(self.http)

    @property
    def url(self) -> str:
        return self.http.credentials.url

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    async def open(self) -> Self:
        """For those who cannot use `async with`; then `close()` is yours to call."""
        await self.http.open()
        return self

    async def close(self) -> None:
        await self.http.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def me(self) -> Me:
        """Who the server takes you for."""
        return await self.http.call("GET", "/v1/me", Me)

    async def info(self) -> api.Info:
        return await self.http.call("GET", "/v1/info", api.Info)

    def audit(
        self, *, user: str | None = None, action: str | None = None, since: int | None = None
    ) -> AsyncIterator[AuditRow]:
        """Who did what, the newest first; `since` in microseconds since the epoch."""
        return admin.audit(self.http, user, action, since)
