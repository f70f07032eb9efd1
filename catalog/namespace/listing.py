"""Listing a directory, as the JSON it is sent as: most entries are never an object here."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.access.acl import shown
from lading.model.errors import CatalogError, NotFound
from lading.model.file import Entry
from lading.model.outcome import Page

from .listing_store import Lines, ListingStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database
    from lading.model.principal import Caller

    from .locate import Directory
    from .service import NamespaceService

_WALK = 2000  # entries a page of a walk
_FEW = 8  # marks that are replaced one after the other; for more one pass over the text is quicker
_MARK = re.compile(rb"\x01([^\x02]*)\x02")
_META = re.compile(rb"\x03([^\x04]*)\x04")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_DECODER = msgspec.json.Decoder(Page[Entry])


class Listing:
    def __init__(self, database: Database, names: NamespaceService, access: AccessService) -> None:
        self._db = database
        self._names = names
        self._access = access
        self._store = ListingStore()

    async def page(
        self, caller: Caller, text: str, *, cursor: str | None = None, limit: int = 1000, verbose: bool = True
    ) -> Page[Entry]:
        """One page of a directory in byte order of the names; `cursor` is the last name of the page before.

        A file is listed as itself. Plain (not `verbose`) entries have name and kind only. Raises NotFound, Forbidden.
        """
        return _DECODER.decode(await self.page_json(caller, text, cursor=cursor, limit=limit, verbose=verbose))

    async def page_json(
        self, caller: Caller, text: str, *, cursor: str | None = None, limit: int = 1000, verbose: bool = True
    ) -> bytes:
        """`page` as the JSON of a Page[Entry]."""
        async with self._db.read() as connection:
            try:
                directory = await self._names.open_directory(connection, caller, text)
            except NotFound:
                found = (await self._names.find(connection, caller, [text]))[0]
                if isinstance(found, CatalogError):
                    raise found from None
                return _encode(Page([self._names.entry(found.path, found.row, await self._access.names(connection))]))
            lines = await self._lines(connection, directory, cursor or "", limit, verbose)
        if lines is None:
            return _encode(Page[Entry]([]))
        more = b',"next":' + _encode(lines.last) if lines.entries == limit else b""
        return b'{"items":[' + lines.text.replace(b"\n", b",") + b"]" + more + b"}"

    async def walk(self, caller: Caller, text: str, *, verbose: bool = True) -> AsyncGenerator[bytes, None]:
        """The whole of a directory, an Entry a line, page by page: constant memory, however many entries it has.

        PostgreSQL writes the next page while the last one is being sent. Raises as `page` does.
        """
        ahead = asyncio.create_task(self._next(caller, text, "", verbose))
        try:
            while (lines := await ahead) is not None:
                if lines.entries == _WALK:
                    ahead = asyncio.create_task(self._next(caller, text, lines.last, verbose))
                    await asyncio.sleep(0)  # have it asked for before this page keeps the loop busy
                yield lines.text + b"\n"
                if lines.entries < _WALK:
                    return
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _next(self, caller: Caller, text: str, after: str, verbose: bool) -> Lines | None:
        async with self._db.read() as connection:
            directory = await self._names.open_directory(connection, caller, text)
            return await self._lines(connection, directory, after, _WALK, verbose)

    async def _lines(
        self, connection: Connection, directory: Directory, after: str, limit: int, verbose: bool
    ) -> Lines | None:
        lines = await self._store.page(connection, directory.id, directory.path, after, limit, verbose=verbose)
        if lines is None:
            return None
        marks = set(_MARK.findall(lines.text))
        rights = self._names.rights
        await rights.load(connection, (), {int(mark.rpartition(b",")[2]) for mark in marks})
        people = await self._access.names(connection)
        named = {mark: self._named(mark, people) for mark in marks}
        text = lines.text
        if len(named) > _FEW:
            text = _MARK.sub(lambda found: named[found[1]], text)
        else:
            for mark, name in named.items():
                text = text.replace(b"\x01" + mark + b"\x02", name)
        if b"\x03" in text:
            path = directory.path
            text = _META.sub(lambda found: _encode(self._names.values.shown(path, _decode(found[1]))), text)
        return lines._replace(text=text)

    def _named(self, mark: bytes, people: dict[int, str]) -> bytes:
        """Owner, group and ACL as an Entry has them."""
        owner, group, acl_id = map(int, mark.split(b","))
        acl = b',"acl":' + _encode(shown(self._names.rights.acl(acl_id), people)) if acl_id else b""
        names = (_encode(people.get(i) or str(i)) for i in (owner, group))
        return b',"owner":%b,"group":%b%b' % (*names, acl)
