"""The administrator's part of the client: elements, people, tokens, aliases, the trash, the audit trail."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from ..model import api
from ..model.element import ElementChange, ElementInfo, ElementSpec, ElementType, Link, LinkNames, Probe
from ..model.file import TrashItem
from ..model.outcome import Outcomes, Page
from ..model.people import (
    AuditRow,
    GroupInfo,
    GroupSpec,
    NewToken,
    TokenInfo,
    TokenSpec,
    UserChange,
    UserInfo,
    UserSpec,
    VOInfo,
    VOSpec,
)
from ..model.scan import Adopt, AdoptLine, DumpScan, Scan, ScanLine
from .batch import bulk
from .namespace import LONG, Results, pages
from .scans import lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable

    from .http import Http

V = TypeVar("V")


class Part:
    """Calls about one kind of thing."""

    def __init__(self, http: Http) -> None:
        self.http = http


def at(path: str, name: str) -> str:
    """The address of one thing."""
    return f"{path}/{quote(name, safe='')}"


class Elements(Part):
    """Storage elements. Secret options go in and never come out."""

    async def list(self, match: str = "") -> builtins.list[ElementInfo]:
        """All, or those that an element expression chooses: `country=FR & type=disk`. Raises InvalidRequest."""
        params = {"match": match} if match else None
        return await self.http.call("GET", "/v1/elements", builtins.list[ElementInfo], params=params)

    async def types(self) -> builtins.list[ElementType]:
        return await self.http.call("GET", "/v1/element-types", builtins.list[ElementType])

    async def add(self, spec: ElementSpec) -> ElementInfo:
        return await self.http.call("POST", "/v1/elements", ElementInfo, body=spec, once=True)

    async def show(self, name: str) -> ElementInfo:
        return await self.http.call("GET", at("/v1/elements", name), ElementInfo)

    async def set(self, name: str, change: ElementChange) -> ElementInfo:
        return await self.http.call("PATCH", at("/v1/elements", name), ElementInfo, body=change, once=True)

    async def remove(self, name: str) -> None:
        await self.http.call("DELETE", at("/v1/elements", name), type(None), once=True)

    async def links(self, names: builtins.list[str] | None = None, *, trial: bool = False) -> builtins.list[Link]:
        """Which element can copy to which, and by what means; `trial` copies a small object over each link now."""
        path = "/v1/links/try" if trial else "/v1/links"
        return await self.http.call("POST", path, builtins.list[Link], body=LinkNames(names or []), wait=LONG)

    async def probe(self, name: str) -> Probe:
        """Writes, reads and removes a small object there, now."""
        return await self.http.call("POST", at("/v1/elements", name) + "/probe", Probe, wait=LONG)

    def scan(self, name: str, order: Scan | None = None) -> AsyncIterator[ScanLine]:
        """Hold it against the catalogue: signs of life, findings, what was done about them, and at the end a summary.

        Changes nothing unless `order` says so. Raises when the scan broke off: then what was told is not the whole.
        """
        body = msgspec.json.encode(order or Scan())
        return lines(self.http, at("/v1/elements", name) + "/scan", ScanLine, data=body)

    def scan_dump(self, name: str, pieces: AsyncIterable[bytes], order: DumpScan) -> AsyncIterator[ScanLine]:
        """The same for a dump, given in pieces (see docs/how-to/scan-and-adopt.md)."""
        params = msgspec.to_builtins(order)
        return lines(self.http, at("/v1/elements", name) + "/scan/dump", ScanLine, params, pieces)

    def adopt(self, name: str, order: Adopt) -> AsyncIterator[AdoptLine]:
        """Register what lies there. When it breaks off, the same call goes on with it."""
        return lines(self.http, at("/v1/elements", name) + "/adopt", AdoptLine, data=msgspec.json.encode(order))


class Users(Part):
    def list(self) -> AsyncIterator[UserInfo]:
        return pages(self.http, "/v1/users", Page[UserInfo], {})

    async def add(self, spec: UserSpec) -> UserInfo:
        return await self.http.call("POST", "/v1/users", UserInfo, body=spec, once=True)

    async def show(self, name: str) -> UserInfo:
        return await self.http.call("GET", at("/v1/users", name), UserInfo)

    async def set(self, name: str, change: UserChange) -> UserInfo:
        return await self.http.call("PATCH", at("/v1/users", name), UserInfo, body=change, once=True)

    async def remove(self, name: str) -> None:
        await self.http.call("DELETE", at("/v1/users", name), type(None), once=True)


class Groups(Part):
    def list(self) -> AsyncIterator[GroupInfo]:
        return pages(self.http, "/v1/groups", Page[GroupInfo], {})

    async def add(self, spec: GroupSpec) -> GroupInfo:
        return await self.http.call("POST", "/v1/groups", GroupInfo, body=spec, once=True)

    async def remove(self, name: str) -> None:
        await self.http.call("DELETE", at("/v1/groups", name), type(None), once=True)


class VOs(Part):
    async def list(self) -> builtins.list[VOInfo]:
        return await self.http.call("GET", "/v1/vos", builtins.list[VOInfo])

    async def set(self, spec: VOSpec) -> VOInfo:
        """Make a VO, or replace the administrators of one. Safe to repeat."""
        return await self.http.call("POST", "/v1/vos", VOInfo, body=spec, once=True)

    async def remove(self, name: str) -> None:
        await self.http.call("DELETE", at("/v1/vos", name), type(None), once=True)


class Tokens(Part):
    async def list(self, user: str | None = None) -> builtins.list[TokenInfo]:
        return await self.http.call("GET", "/v1/tokens", builtins.list[TokenInfo], params={"user": user})

    async def add(self, spec: TokenSpec) -> NewToken:
        """A new token; its text is told this once."""
        return await self.http.call("POST", "/v1/tokens", NewToken, body=spec, once=True)

    async def remove(self, id: str) -> None:
        await self.http.call("DELETE", at("/v1/tokens", id), type(None), once=True)


class Aliases(Part):
    async def list(self) -> builtins.list[api.Alias]:
        return await self.http.call("GET", "/v1/aliases", builtins.list[api.Alias])

    async def set(self, alias: api.Alias) -> api.Alias:
        return await self.http.call("POST", "/v1/aliases", api.Alias, body=alias, once=True)

    async def remove(self, prefix: str) -> None:
        await self.http.call("DELETE", "/v1/aliases", type(None), params={"prefix": prefix}, once=True)


class Trash(Part):
    """What was removed and can come back."""

    def list(self, under: str = "/") -> AsyncIterator[TrashItem]:
        return pages(self.http, "/v1/trash", Page[TrashItem], {"under": under})

    async def restore(self, ids: Iterable[int], *, to: str | None = None, dry_run: bool = False) -> Results[str]:
        """The LFN that each is at again: where it was, or in the directory `to`."""
        return await bulk(
            self.http,
            "/v1/trash/restore",
            ids,
            lambda some: api.TrashIds(some, to, dry_run),
            Outcomes[str],
            wait=LONG,
        )

    async def purge(self, ids: Iterable[int], *, dry_run: bool = False) -> Results[None]:
        """For good, not to be restored: their bytes go at the server's next cleaning."""
        return await bulk(
            self.http,
            "/v1/trash/purge",
            ids,
            lambda some: api.TrashIds(some, dry_run=dry_run),
            Outcomes[None],
            wait=LONG,
        )


def audit(
    http: Http, user: str | None = None, action: str | None = None, since: int | None = None
) -> AsyncIterator[AuditRow]:
    params: dict[str, Any] = {"user": user, "action": action, "since": since}
    return pages(http, "/v1/audit", Page[AuditRow], params)
