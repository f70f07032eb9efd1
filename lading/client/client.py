"""`Client`: one object for everything a user asks of lading."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from ..model import api
from ..model.people import AuditRow, Me
from . import admin, credentials
from .cache import Cache
from .datasets import Datasets
from .events import Events
from .fetch import Fetched, Fetching, fetch
from .http import Http
from .metadata import Fields
from .requests import Requests
from .rules import Rules
from .search import Search
from .store import Keeping, Kept, store
from .transfer import Transfers

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

    from ..model.outcome import Outcome
    from .meter import Progress


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
        self.rules = Rules(self.http)
        self.events = Events(self.http)

    def trying(self, tries: int) -> Self:
        """This client with another number of tries. It shares the connections, and is not to be closed."""
        other = copy.copy(self)
        other.http = copy.copy(self.http)
        other.http.tries = tries
        return other

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

    async def fetch(
        self,
        lfns: Sequence[str],
        folder: str | os.PathLike[str],
        *,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int = 20 << 30,
        link: str = "",
        site: str | None = None,
        ses: Sequence[str] = (),
        parallel: int = 4,
        progress: Progress | None = None,
    ) -> list[Outcome[Fetched]]:
        """All inputs of a job into `folder`, under the last component of their LFN, or none of them: an Outcome each.

        The best source first, the next on any fault, verified. `cache`: a folder that the jobs of a node share, of
        `cache_limit` bytes. `link`: `hard` or `symbolic` links in place of copies, to the cache and to elements' own
        files on this machine that nobody may write to. Safe to repeat: what has come is not brought again.
        """
        reading = self._reading(site, ses, (), True, False, True)
        kept = Cache(cache, cache_limit) if cache is not None else None
        return await fetch(self, lfns, Fetching(Path(folder), reading, kept, link, parallel), progress)

    async def store(
        self,
        files: Sequence[tuple[str, str]],
        *,
        ses: Sequence[str] = (),
        to: str = "",
        copies: int = 1,
        metadata: Mapping[str, Any] | None = None,
        ancestors: Sequence[str] = (),
        checksums: Sequence[str] = ("adler32",),
        parallel: int = 4,
        progress: Progress | None = None,
    ) -> Kept:
        """The outputs of a job, (local name, LFN) pairs, on the first of `ses` that works; with metadata and ancestors,
        and an order of `copies` on elements `to`. Safe to repeat, as by a job that runs twice."""
        how = Keeping(ses, to, copies, dict(metadata or {}), ancestors, checksums, parallel)
        return await store(self, files, how, progress)

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
