"""From an LFN to what it names: aliases, links on the way, and why there is nothing."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from catalog.access.rights import REACH, X
from catalog.db import LostRace
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest, NotFound

from .store import DIRECTORY, LINK, NamesStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from catalog.access.rights import Rights
    from catalog.db import Connection, Transaction
    from lading.model.principal import Principal

MAX_HOPS = 5  # links followed for one path: the LFC's limit


class Found(NamedTuple):
    """An entry: its true path (aliases and links gone), the directory it is in, and its record (`store.COLUMNS`)."""

    path: str
    dir_id: int
    access_id: int
    row: asyncpg.Record


class Directory(NamedTuple):
    path: str
    id: int
    access_id: int


class Locator:
    """Look-ups with rights: a name below a directory that the asker may not reach is Forbidden, there or not."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._store = NamesStore()
        self._aliases: list[tuple[str, str]] = []
        self._prefixes: frozenset[str] = frozenset()

    def set_aliases(self, aliases: dict[str, str]) -> None:
        self._aliases = sorted(aliases.items(), key=lambda a: -len(a[0]))
        self._prefixes = frozenset(aliases)

    def true_name(self, text: str) -> str:
        """The LFN of a text: checked, and its alias replaced, the longest prefix first. Raises InvalidRequest.

        The true name of a true name is itself: what an alias leads to may be an alias again.
        """
        path = lfn.parse(text)
        if not self._aliases:
            return path
        for _hop in range(MAX_HOPS + 1):
            for prefix, target in self._aliases:
                if path.startswith(prefix) and lfn.is_within(path, prefix):
                    rest = path[len(prefix) :]
                    path = lfn.parse(target + rest if target != "/" else rest or "/")  # it may be too long now
                    break
            else:
                return path
        raise InvalidRequest(f"'{lfn.shown(text)}' leads through more than {MAX_HOPS} aliases", lfn=lfn.shown(text))

    def true_names(self, texts: Sequence[str]) -> list[str | CatalogError]:
        """`true_name` of each, or why it is none."""
        found: list[str | CatalogError] = []
        for text in texts:
            try:
                found.append(self.true_name(text))
            except CatalogError as error:
                found.append(error)
        return found

    def places(self, texts: Sequence[str]) -> list[tuple[str, str] | CatalogError]:
        """(directory, name) of each LFN's true name (('', '') of the root), or why it is none.

        What many share is looked at once: the directory. A plain name can't make a wrong LFN of a right directory.
        """
        true: dict[str, str | None] = {}
        found: list[tuple[str, str] | CatalogError] = []
        for text in texts:
            head, _, name = text.rpartition("/")
            if head not in true:
                true[head] = self._true_directory(head)
            parent = true[head]
            if parent is not None and 0 < len(name) < 64 and name[0] != "." and name.isprintable():
                found.append((parent, name))
            else:
                try:
                    found.append(lfn.split(self.true_name(text)))
                except CatalogError as error:
                    found.append(error)
        return found

    def _true_directory(self, path: str) -> str | None:
        """The true name of a directory that any plain name can be put behind; None: look at each name below it."""
        if not path or path.endswith("/") or len(path) > 448:  # 448 and 64 characters are at most lfn.MAX_PATH bytes
            return None
        try:
            true = self.true_name(path)
        except CatalogError:
            return None
        if self._prefixes:
            inside = true + "/"
            if any(p.startswith(inside) for p in self._prefixes):
                return None
        return true if len(true) <= 448 else None

    async def entries(
        self, connection: Connection, who: Principal, texts: Sequence[str], *, follow: bool = True
    ) -> list[Found | CatalogError]:
        """What each LFN names, in order; or InvalidRequest, NotFound or Forbidden for it."""
        paths = self.true_names(texts)
        found: list[Found | CatalogError | None] = [p if isinstance(p, CatalogError) else None for p in paths]
        where = [i for i, p in enumerate(paths) if isinstance(p, str)]
        good = [p for p in paths if isinstance(p, str)]
        split = [lfn.split(p) for p in good]
        rows = await self._store.lookup(connection, [s[0] for s in split], [s[1] for s in split])
        await self._rights.load(connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
        slow: dict[int, str] = dict(zip(where, good, strict=True))
        for row in rows:
            i = where[row["o"] - 1]
            if row["kind"] == LINK and follow:
                continue
            path = slow.pop(i)
            if self._rights.directory(who, row["access_id"], path) & REACH:
                found[i] = Found(path, row["dir_id"], row["access_id"], row)
            else:
                found[i] = unreachable(path)
        if slow:
            walked = await self._walk(connection, who, list(slow.values()), follow)
            for i, one in zip(slow, walked, strict=True):
                found[i] = one
        return [f for f in found if f is not None]

    async def settle(
        self, tx: Transaction, paths: Sequence[str], *, moving: bool, follow: bool = True
    ) -> dict[str, Found | CatalogError]:
        """What these true names are, looked at with the structure lock held: exclusive when directories are
        `moving`."""
        found = await self.entries(tx.connection, tx.caller.principal, paths, follow=follow)
        places = [f.path for f in found if isinstance(f, Found)]
        exclusive = moving and _any_directory(found)
        await self._store.lock(tx.connection, places, exclusive=exclusive)
        found = await self.entries(tx.connection, tx.caller.principal, paths, follow=follow)
        now = {lfn.vo(f.path) for f in found if isinstance(f, Found)}
        if (moving and exclusive < _any_directory(found)) or now - {lfn.vo(p) for p in places}:
            raise LostRace  # something else has come to be there
        return dict(zip(paths, found, strict=True))

    async def directories(
        self, connection: Connection, who: Principal, paths: Sequence[str]
    ) -> dict[str, Directory | CatalogError]:
        """The directory at each (already true) path, links followed; rights on it are the caller's to check."""
        wanted = list(dict.fromkeys(paths))
        found = await self.known(connection, wanted)
        missing = [p for p in wanted if p not in found]
        if missing:
            for path, one in zip(missing, await self._walk(connection, who, missing, True), strict=True):
                if isinstance(one, CatalogError):
                    found[path] = one
                elif one.row["kind"] != DIRECTORY:
                    found[path] = NotFound(f"'{lfn.shown(path)}' is not a directory", lfn=path)
                else:
                    found[path] = Directory(one.path, one.row["id"], await self._own_access(connection, one))
        return found

    async def held(self, tx: Transaction, paths: Sequence[str]) -> dict[str, Directory | CatalogError]:
        """`directories`, with the structure lock (shared) of those that links lead to as well; that of `paths` is
        held."""
        who, locked = tx.caller.principal, {lfn.vo(p) for p in paths}
        found = await self.directories(tx.connection, who, paths)
        beyond = _elsewhere(found, locked)
        if beyond:
            await self._store.lock(tx.connection, beyond)
            found = await self.directories(tx.connection, who, paths)
            if _elsewhere(found, locked | {lfn.vo(p) for p in beyond}):
                raise LostRace
        return found

    async def known(self, connection: Connection, wanted: Sequence[str]) -> dict[str, Directory | CatalogError]:
        """The directories that are at exactly these paths: one statement, nothing followed."""
        rows = await self._store.directories(connection, wanted)
        await self._rights.load(connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
        return {path: Directory(path, r["id"], r["access_id"]) for r in rows for path in (wanted[r["o"] - 1],)}

    async def _own_access(self, connection: Connection, found: Found) -> int:
        row = (await self._store.directories(connection, [found.path]))[0]
        await self._rights.load(connection, [row["access_id"]])
        return row["access_id"]

    # ── the long way: component by component, for what a single look-up did not find ──────────────────────────────────

    async def _walk(
        self, connection: Connection, who: Principal, paths: Sequence[str], follow: bool
    ) -> list[Found | CatalogError]:
        """Follow every component of every path, one query per hop of links for all of them together."""
        done: dict[int, Found | CatalogError] = {}
        current = dict(enumerate(paths))
        for hop in range(MAX_HOPS + 1):
            every = list({p for path in current.values() for p in (*lfn.parents(path), path)})
            split = [lfn.split(p) for p in every]
            rows = await self._store.lookup(connection, [s[0] for s in split], [s[1] for s in split])
            await self._rights.load(connection, {r["access_id"] for r in rows}, {r["acl_id"] for r in rows})
            known = {every[r["o"] - 1]: r for r in rows}
            if "/" in every:
                known["/"] = await self._store.root(connection)
                await self._rights.load(connection, [1])
            for i, path in list(current.items()):
                step = self._step(who, path, known, follow)
                if isinstance(step, str) and hop < MAX_HOPS:
                    current[i] = step
                else:
                    asked = paths[i]
                    loop = NotFound(f"'{lfn.shown(asked)}' leads through more than {MAX_HOPS} links", lfn=asked)
                    done[i] = loop if isinstance(step, str) else step
                    del current[i]
            if not current:
                break
        return [done[i] for i in range(len(paths))]

    def _step(
        self, who: Principal, path: str, known: dict[str, asyncpg.Record], follow: bool
    ) -> Found | CatalogError | str:
        """The entry at `path`, or why there is none, or the path it becomes by its first link."""
        for prefix in (*lfn.parents(path)[1:], path):
            row = known.get(prefix)
            last = prefix == path
            if row is None:
                # Whoever may not reach the place where it would be is not told that it is missing.
                above = known.get(lfn.split(prefix)[0])
                if above is not None and above["kind"] == DIRECTORY and not self._may_use(who, path, above):
                    return unreachable(path)
                shown = lfn.shown(path)
                return NotFound(
                    f"'{shown}' does not exist"
                    if last
                    else f"'{shown}' does not exist: there is no '{lfn.shown(prefix)}'",
                    lfn=path,
                )
            # A narrowed token is held against where the path leads, not against what lies above it.
            if prefix == "/" and who.narrowed and not (who.scoped("read") or who.scoped("write")):
                return unreachable(path)
            if prefix != "/" and not self._rights.directory(who, row["access_id"], path) & REACH:
                return unreachable(path)
            if row["kind"] == LINK and (follow or not last):
                return self.through(prefix, row["target"], path)
            if row["kind"] != DIRECTORY and not last:
                return NotFound(
                    f"'{lfn.shown(path)}' does not exist: '{lfn.shown(prefix)}' is not a directory", lfn=path
                )
        row = known[path]
        return Found(path, row["dir_id"], row["access_id"], row)

    def _may_use(self, who: Principal, path: str, directory: asyncpg.Record) -> bool:
        """May `who` use this directory? Judged by its entry: no child of it told us its access row."""
        row = directory
        return bool(self._rights.entry(who, path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]) & X)

    def through(self, link: str, target: str, path: str) -> str | CatalogError:
        there = posixpath.normpath(target if target.startswith("/") else lfn.join(lfn.split(link)[0], target))
        there = "/" + there.lstrip("/")
        rest = path[len(link) :]
        joined = (there if there != "/" else "") + rest
        try:
            return self.true_name(joined or "/")
        except CatalogError:
            return NotFound(f"'{lfn.shown(path)}' leads to '{lfn.shown(joined)}', which is no LFN", lfn=path)


def _elsewhere(found: Mapping[str, Directory | CatalogError], vos: set[str]) -> list[str]:
    return [d.path for d in found.values() if isinstance(d, Directory) and lfn.vo(d.path) not in vos]


def _any_directory(found: Sequence[Found | CatalogError]) -> bool:
    return any(isinstance(f, Found) and f.row["kind"] == DIRECTORY for f in found)


def unreachable(path: str) -> Forbidden:
    return Forbidden(f"you may not use a directory on the way to '{lfn.shown(path)}'", lfn=path)
