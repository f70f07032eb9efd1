"""The namespace part of the client: files, directories, links, attributes, usage, provenance."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..model import api
from ..model.errors import NotFound
from ..model.file import Entry, FileSpec, Kind, Registered, Relative, TrashItem, Usage
from ..model.outcome import Outcome, Outcomes, Page
from .batch import bulk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from .http import Http

V = TypeVar("V")
Results: TypeAlias = list[Outcome[V]]

LONG = 600.0  # seconds: what goes down a tree or moves bytes may take a while


class Namespace:
    """Calls about names. Every bulk call takes any number of items and answers an Outcome for each, in order."""

    http: Http

    async def register(
        self, files: Iterable[FileSpec], *, parents: bool = True, dry_run: bool = False
    ) -> Results[Registered]:
        """Put files that exist on elements into the catalogue. Safe to repeat; other content under a known LFN is a
        conflict."""
        every = list(files)
        width = 1 if any(f.ancestors for f in every) else 4  # an ancestor may stand in an earlier batch
        return await bulk(
            self.http,
            "/v1/files/register",
            every,
            lambda some: api.Register(some, parents, dry_run),
            Outcomes[Registered],
            width=width,
        )

    async def stat(self, lfns: Iterable[str], *, follow: bool = True) -> Results[Entry]:
        """What is at each LFN; `follow` looks through a link at the end."""
        return await bulk(
            self.http, "/v1/stat", lfns, lambda some: api.Names(some, follow), Outcomes[Entry], once=False
        )

    async def exists(self, lfns: Iterable[str], *, follow: bool = True) -> Results[bool]:
        return await bulk(
            self.http, "/v1/exists", lfns, lambda some: api.Names(some, follow), Outcomes[bool], once=False
        )

    async def entry(self, lfn: str, *, follow: bool = True) -> Entry:
        """One `stat`. Raises the CatalogError of its outcome."""
        found = (await self.stat([lfn], follow=follow))[0].get()
        if found is None:
            raise NotFound(f"'{lfn}' does not exist", lfn=lfn)
        return found

    async def make_directories(
        self, lfns: Iterable[str], *, parents: bool = True, mode: int | None = None, dry_run: bool = False
    ) -> Results[None]:
        """Safe to repeat with `parents`, which also makes what is missing above."""
        return await bulk(
            self.http,
            "/v1/directories/make",
            lfns,
            lambda some: api.MakeDirectories(some, parents, mode, dry_run),
            Outcomes[None],
            width=4 if parents else 1,
        )

    async def list(self, lfn: str, *, verbose: bool = False, page: int = 10_000) -> AsyncIterator[Entry]:
        """The entries of a directory in the server's order; the next page is fetched while this one is used.

        `verbose` adds checksums, metadata and ACLs where the server leaves them out otherwise.
        """
        params: dict[str, Any] = {"lfn": lfn, "limit": page, "verbose": verbose}
        async for entry in pages(self.http, "/v1/list", Page[Entry], params):
            yield entry

    async def walk(self, top: str, *, verbose: bool = False) -> AsyncIterator[tuple[str, _Entries]]:
        """(directory, its entries) for `top` and every directory below it, parents first; links are not followed."""
        waiting, under_way = deque([top]), deque[tuple[str, asyncio.Task[_Entries]]]()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < 4:
                    lfn = waiting.popleft()
                    under_way.append((lfn, asyncio.create_task(self._entries(lfn, verbose))))
                lfn, task = under_way.popleft()
                entries = await task
                waiting.extend(e.lfn for e in entries if e.kind is Kind.DIRECTORY)
                yield lfn, entries
        finally:
            for _, task in under_way:
                task.cancel()

    async def _entries(self, lfn: str, verbose: bool) -> _Entries:
        return [entry async for entry in self.list(lfn, verbose=verbose)]

    async def move(self, moves: Iterable[tuple[str, str]], *, dry_run: bool = False) -> Results[None]:
        """(source, target) pairs. A target that is a directory takes the source in, as `mv` does. Do not chain them."""
        return await bulk(
            self.http,
            "/v1/move",
            [api.Move(source, target) for source, target in moves],
            lambda some: api.Moves(some, dry_run),
            Outcomes[None],
            width=1,
            wait=LONG,
        )

    async def remove(
        self,
        lfns: Iterable[str],
        *,
        recursive: bool = False,
        keep: int | None = None,
        force_snapshots: bool = False,
        dry_run: bool = False,
    ) -> Results[TrashItem]:
        """Into the trash, for `keep` seconds (the server's default when None). What a snapshot needs is a Conflict, but
        for `force_snapshots`."""
        return await bulk(
            self.http,
            "/v1/remove",
            lfns,
            lambda some: api.Remove(some, recursive, keep, dry_run, force_snapshots),
            Outcomes[TrashItem],
            wait=LONG,
        )

    async def link(
        self, links: Iterable[tuple[str, str]], *, parents: bool = True, dry_run: bool = False
    ) -> Results[None]:
        """(LFN of the link, target) pairs."""
        return await bulk(
            self.http,
            "/v1/links/make",
            [api.Link(lfn, target) for lfn, target in links],
            lambda some: api.Links(some, parents, dry_run),
            Outcomes[None],
        )

    async def set_attributes(self, order: api.SetAttributes) -> Results[None]:
        """chmod, chown, ACLs, comments, status, metadata, for every LFN of `order` (see SetAttributes). Safe to
        repeat."""

        def part(lfns: _Names) -> api.SetAttributes:
            return api.SetAttributes(**{f: getattr(order, f) for f in order.__struct_fields__} | {"lfns": lfns})

        return await bulk(self.http, "/v1/attributes", order.lfns, part, Outcomes[None], wait=LONG)

    async def usage(self, lfns: Iterable[str]) -> Results[Usage]:
        return await bulk(self.http, "/v1/usage", lfns, api.Names, Outcomes[Usage], once=False)

    async def relatives(
        self, lfns: Iterable[str], direction: api.Direction = api.Direction.ANCESTORS, *, depth: int = 1
    ) -> Results[_Relatives]:
        """Where files come from, or what came of them; `depth` 0 is all the way."""
        return await bulk(
            self.http,
            "/v1/relatives",
            lfns,
            lambda some: api.Relatives(some, direction, depth),
            Outcomes[list[Relative]],
            once=False,
        )

    async def add_ancestors(self, files: Iterable[api.Ancestry], *, dry_run: bool = False) -> Results[None]:
        """Safe to repeat; a cycle is a conflict."""
        return await bulk(
            self.http,
            "/v1/ancestors",
            files,
            lambda some: api.AddAncestors(some, dry_run),
            Outcomes[None],
            width=1,
        )


# `list` is a method above: inside the class the built-in needs other names
_Entries: TypeAlias = list[Entry]
_Relatives: TypeAlias = list[Relative]
_Names: TypeAlias = list[str]


async def pages(http: Http, path: str, answer: type[Page[V]], params: dict[str, Any]) -> AsyncIterator[V]:
    """Every item of a paged GET. The page after the current one is under way while this one is used."""

    async def fetch(cursor: str | None) -> Page[V]:
        return await http.call("GET", path, answer, params=params | {"cursor": cursor})

    page = await fetch(None)
    while True:
        ahead = asyncio.create_task(fetch(page.next)) if page.next else None
        try:
            for item in page.items:
                yield item
        except GeneratorExit:
            if ahead:
                ahead.cancel()
            raise
        if ahead is None:
            return
        page = await ahead
