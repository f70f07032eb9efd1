"""From LFNs to sources, best first: what a job wrapper asks before it reads. The hottest path of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from catalog.access.rights import REACH, R
from catalog.namespace.locate import unreachable
from catalog.namespace.service import checksums
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest
from lading.model.outcome import Outcome, Outcomes
from lading.model.replica import Resolved

from .sources import Sources, ids
from .store import DIRECTORY, FILE, ReplicasStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from catalog.db import Connection, Database
    from catalog.elements.service import ElementsService
    from catalog.namespace.service import NamespaceService
    from lading.model.api import Resolve
    from lading.model.principal import Caller, Principal

    Refusal = Callable[[str], CatalogError] | None

_CHUNK = 250  # files a statement: while one chunk is being written as JSON, PostgreSQL looks for the next
_CHUNKS = 2  # statements at a time for one call
_DECODER = msgspec.json.Decoder(Outcomes[Resolved])
_encode = msgspec.json.Encoder().encode
_SUSPECT = "all replicas are suspect: readers found them wrong or missing"


class Resolver:
    def __init__(self, database: Database, names: NamespaceService, elements: ElementsService) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._store = ReplicasStore()
        self._sources: dict[tuple[str | None, frozenset[int] | None], Sources] = {}
        self._sources_of: object = None

    async def resolve(self, caller: Caller, body: Resolve) -> Outcomes[Resolved]:
        """The sources of each file: available before suspect, the caller's site first, then by cost, then by turns.

        Needs the right to read the file. Outcome errors: InvalidRequest (a directory), NotFound, Forbidden. A file that
        can't be read now is no error: `why` says what is wrong.
        """
        return _DECODER.decode(await self.resolve_json(caller, body))

    async def resolve_json(self, caller: Caller, body: Resolve) -> bytes:
        """`resolve` as the JSON it is sent as: most of it is never an object here."""
        async with self._db.read() as connection:
            await self._elements.ready(connection)
            await self._names.ready(connection)
        only = frozenset(self._elements.named(name).id for name in body.elements) or None
        found = await self._all(caller, body.lfns, self._sources_for(body.site, only))
        failed = 0
        parts = []
        for text, one in zip(body.lfns, found, strict=True):
            if isinstance(one, str):
                item = f'"{text}"' if text.isascii() and text.isprintable() and not _awkward(text) else _json(text)
                parts.append(f'{{"item":{item},"value":{one}}}')
            else:
                failed += 1
                parts.append(_json(Outcome(text, error=one.fault(), changed=False)))
        return f'{{"outcomes":[{",".join(parts)}],"failed":{failed}}}'.encode()

    def _sources_for(self, site: str | None, only: frozenset[int] | None) -> Sources:
        if self._sources_of is not self._elements.generation or len(self._sources) > 100:
            self._sources = {}
            self._sources_of = self._elements.generation
        if (site, only) not in self._sources:
            self._sources[site, only] = Sources(self._elements, site, only)
        return self._sources[site, only]

    async def _all(self, caller: Caller, texts: Sequence[str], sources: Sources) -> list[str | CatalogError]:
        """The JSON of each file, or why it is none."""
        locator = self._names.locator
        places = locator.places(texts)
        found: list[str | CatalogError | None] = [None if isinstance(p, tuple) else p for p in places]
        where = [i for i, p in enumerate(places) if isinstance(p, tuple)]
        wanted = [p for p in places if isinstance(p, tuple)]
        await self._read(caller, where, wanted, found, sources)
        left = [i for i in where if found[i] is None]
        if left:  # not there under that very name: through links, or with the reason why
            async with self._db.read() as connection:
                entries = await locator.entries(connection, caller.principal, [texts[i] for i in left])
            wanted, where = [], []
            for i, entry in zip(left, entries, strict=True):
                if isinstance(entry, CatalogError):
                    found[i] = entry
                elif entry.path == "/":
                    found[i] = not_a_file("/")
                else:
                    where.append(i)
                    wanted.append(lfn.split(entry.path))
            await self._read(caller, where, wanted, found, sources)
        return [f if f is not None else not_a_file(texts[i]) for i, f in enumerate(found)]

    async def _read(
        self,
        caller: Caller,
        where: Sequence[int],
        wanted: Sequence[tuple[str, str]],
        found: list[str | CatalogError | None],
        sources: Sources,
    ) -> None:
        """Resolve (directory, name) into `found`, at the positions `where`; links and what is missing stay None."""
        if len(wanted) < 2 * _CHUNK:
            if wanted:
                async with self._db.read() as connection:
                    known = await self._store.directories(connection, wanted)
                    lines = await self._lines(connection, wanted, known)
                await self._write(caller, where, wanted, lines, found, sources)
            return
        async with self._db.read() as connection:
            known = await self._store.directories(connection, wanted)
        starts = range(0, len(wanted), _CHUNK)
        ahead = [asyncio.create_task(self._chunk(wanted[s : s + _CHUNK], known)) for s in starts[:_CHUNKS]]
        try:
            for n, start in enumerate(starts):
                lines = await ahead[n]
                if len(ahead) < len(starts):
                    following = starts[len(ahead)]
                    ahead.append(asyncio.create_task(self._chunk(wanted[following : following + _CHUNK], known)))
                    await asyncio.sleep(0)  # have it sent before this thread is busy with the rows
                end = start + _CHUNK
                await self._write(caller, where[start:end], wanted[start:end], lines, found, sources)
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _chunk(
        self, wanted: Sequence[tuple[str, str]], known: Mapping[str, tuple[int, int]] | None
    ) -> list[list[str]]:
        async with self._db.read() as connection:
            return await self._lines(connection, wanted, known)

    async def _lines(
        self, connection: Connection, wanted: Sequence[tuple[str, str]], known: Mapping[str, tuple[int, int]] | None
    ) -> list[list[str]]:
        """The lines of `store.resolve`, split, with what their rights need at hand."""
        lines = [line.split("|", 6) for line in await self._store.resolve(connection, wanted, known)]
        keys = [key.split(",") for key in {line[1] for line in lines}]
        await self._names.rights.load(connection, {int(k[0]) for k in keys}, {int(k[5]) for k in keys})
        return lines

    async def _write(
        self,
        caller: Caller,
        where: Sequence[int],
        wanted: Sequence[tuple[str, str]],
        lines: list[list[str]],
        found: list[str | CatalogError | None],
        sources: Sources,
    ) -> None:
        """Each line as JSON, into `found`."""
        who = caller.principal
        by_path = who.narrowed or bool(who.vos)  # the rights of these depend on the path too
        refusals: dict[str, Refusal] = {}
        for line in lines:
            key = line[1]
            at = int(line[0]) - 1
            if key not in refusals or by_path:
                refusals[key] = self._refusal(who, lfn.join(*wanted[at]), *map(int, key.split(",")))
            refusal = refusals[key]
            if refusal is not None:
                one = refusal(lfn.join(*wanted[at]))
                found[where[at]] = one if not isinstance(one, _IsLink) else None
            elif line[2] == "+":
                _, _, _, ses, guid, size, adler32 = line
                text = sources.plain(ses, guid)
                if text is None:
                    await sources.learn(ses)
                    text = sources.plain(ses, guid)
                if text:
                    found[where[at]] = (
                        f'{{"sources":[{text}],"size":{size},"guid":"{guid}","checksums":{{"adler32":"{adler32}"}}}}'
                    )
                else:
                    file = _File(int(size), guid, _signed(adler32), None, ids(ses))
                    found[where[at]] = await self._other(file, sources)
            else:
                file = msgspec.json.decode("|".join(line[3:]), type=_File)
                found[where[at]] = await self._other(file, sources)

    @staticmethod
    async def _other(file: _File, sources: Sources) -> str:
        """A file that is not like most."""
        await sources.spots(file.se)
        text, suspect = sources.other(file.se, file.guid or "", file.states, file.pfns)
        why = sources.why_not(file.se, file.states) if not text else _SUSPECT if suspect else None
        rest = _json(Resolved([], file.size, file.guid, checksums(file.adler32, file.csum), why))
        return rest.replace("[]", f"[{text}]", 1)

    def _refusal(
        self,
        who: Principal,
        path: str,
        access_id: int,
        kind: int,
        owner: int,
        group: int,
        mode: int,
        acl_id: int,
    ) -> Refusal:
        """Why `who` may not read such an entry in such a directory; None when they may."""
        rights = self._names.rights
        if not rights.directory(who, access_id, path) & REACH:
            return unreachable
        if kind != FILE:
            return not_a_file if kind == DIRECTORY else _IsLink
        return None if rights.entry(who, path, owner, group, mode, acl_id) & R else _unreadable


class _File(msgspec.Struct):
    """A file as `store.resolve` tells of one that is not like most."""

    size: int | None
    guid: str | None
    adler32: int | None
    csum: str | None
    se: list[int]
    states: list[int] | None = None
    pfns: dict[str, str] | None = None


class _IsLink(CatalogError):
    """No fault: to be looked at the long way."""


def _signed(adler32: str) -> int:
    return int.from_bytes(bytes.fromhex(adler32), "big", signed=True)


def _json(value: object) -> str:
    return _encode(value).decode()


def _awkward(text: str) -> bool:
    """Would JSON escape something in it?"""
    return '"' in text or "\\" in text


def _unreadable(path: str) -> Forbidden:
    return Forbidden(f"you may not read '{lfn.shown(path)}'", lfn=path)


def not_a_file(path: str) -> InvalidRequest:
    return InvalidRequest(f"'{lfn.shown(path)}' is a directory, not a file", lfn=path)
