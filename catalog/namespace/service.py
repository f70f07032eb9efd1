"""Reading the namespace, and the simplest ways of adding to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from catalog.access.rights import REACH, R, require_admin
from catalog.db import Database, Transaction
from lading.model import lfn
from lading.model.api import Alias, Link, Names
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.file import ElementUsage, Entry, FileStatus, Kind, Usage
from lading.model.outcome import Outcome, Outcomes

from .directories import DirectoryMaker
from .frozen import Frozen
from .locate import Directory, Found, Locator, unreachable
from .store import DIRECTORY, FILE, NamesStore

if TYPE_CHECKING:
    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Connection
    from lading.model.principal import Caller

    from .values import Values

T = TypeVar("T")
_KINDS = [Kind.FILE, Kind.DIRECTORY, Kind.LINK]
_STATUSES = list(FileStatus)
_ALIASES_AGE = 5.0


class NamespaceService:
    """Names. Bulk methods answer an outcome per item, in order, and never fail as a whole for one bad item."""

    def __init__(self, database: Database, access: AccessService, values: Values) -> None:
        self._db = database
        self._access = access
        self.values = values
        self.rights = access.rights
        self.locator = Locator(access.rights)
        self.maker = DirectoryMaker(access.rights, self.locator)
        self.store = NamesStore()
        self.frozen = Frozen()
        self._aliases_at = 0.0

    async def ready(self, connection: Connection) -> None:
        """Have aliases and fields at hand; read again after `forget()` and every few seconds."""
        await self.values.ready(connection)
        if time.monotonic() - self._aliases_at > _ALIASES_AGE:
            self.locator.set_aliases(await self.store.aliases(connection))
            self._aliases_at = time.monotonic()

    def forget(self) -> None:
        self._aliases_at = 0.0

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def stat(self, caller: Caller, names: Names) -> Outcomes[Entry]:
        """All that is known of each name. Outcome errors: InvalidRequest, NotFound, Forbidden."""
        async with self._db.read() as connection:
            found = await self.find(connection, caller, names.lfns, follow=names.follow)
            people = await self._access.names(connection)
        return outcomes(
            names.lfns, [f if isinstance(f, CatalogError) else self.entry(f.path, f.row, people) for f in found]
        )

    async def stat_one(self, caller: Caller, text: str) -> Entry | None:
        """`stat` of one name. Raises its error."""
        return (await self.stat(caller, Names([text]))).outcomes[0].get()

    async def exists(self, caller: Caller, names: Names) -> Outcomes[bool]:
        """Is there such a name? What one may not reach is an error, not a 'no'."""
        async with self._db.read() as connection:
            found = await self.find(connection, caller, names.lfns, follow=names.follow)
        return outcomes(
            names.lfns,
            [False if isinstance(f, NotFound) else f if isinstance(f, CatalogError) else True for f in found],
        )

    async def find(
        self, connection: Connection, caller: Caller, texts: Sequence[str], *, follow: bool = True
    ) -> list[Found | CatalogError]:
        """Entries by name, for this and other slices."""
        await self.ready(connection)
        return await self.locator.entries(connection, caller.principal, texts, follow=follow)

    async def open_directory(self, connection: Connection, caller: Caller, text: str) -> Directory:
        """The directory at a path, which the caller may list. Raises NotFound, Forbidden."""
        await self.ready(connection)
        path = self.locator.true_name(text)
        found = (await self.locator.directories(connection, caller.principal, [path]))[path]
        if isinstance(found, CatalogError):
            raise found
        bits = self.rights.directory(caller.principal, found.access_id, found.path)
        if not bits & REACH:
            raise unreachable(path)
        if not bits & R:
            raise Forbidden(f"you may not list '{lfn.shown(path)}'", lfn=path)
        return found

    def _may_list(self, caller: Caller, directory: Directory) -> bool:
        bits = self.rights.directory(caller.principal, directory.access_id, directory.path)
        return bits & (R | REACH) == R | REACH

    def entry(self, path: str, row: asyncpg.Record, people: dict[int, str]) -> Entry:
        """A record of `store.COLUMNS` as an Entry. Its ACL must be loaded."""
        acl_id = row["acl_id"]
        return Entry(
            path,
            _KINDS[row["kind"]],
            row["size"],
            row["guid"],
            checksums(row["adler32"], row["csum"]),
            people.get(row["owner_id"]) or str(row["owner_id"]),
            people.get(row["group_id"]) or str(row["group_id"]),
            row["mode"],
            row["ctime"],
            row["mtime"],
            _STATUSES[row["status"] or 0],
            row["replicas"],
            row["target"],
            row["comment"],
            self._acl_shown(acl_id, people) if acl_id else [],
            self.values.shown(path, row["meta"]) if row["meta"] else {},
        )

    def _acl_shown(self, acl_id: int, people: dict[int, str]) -> list[str]:
        from catalog.access.acl import shown

        return shown(self.rights.acl(acl_id), people)

    async def usage(self, caller: Caller, names: Names) -> Outcomes[Usage]:
        """Files, bytes and copies per element of each subtree: exact, from counters kept by every change.

        A directory's usage needs the right to list it. Outcome errors: InvalidRequest, NotFound, Forbidden.
        """
        async with self._db.read(wide=True) as connection:
            found = await self.find(connection, caller, names.lfns)
            done = [  # each is one range scan over counters, however many files
                one if isinstance(one, CatalogError) else await self._usage(connection, caller, one) for one in found
            ]
        return outcomes(names.lfns, done)

    async def _usage(self, connection: Connection, caller: Caller, found: Found) -> Usage | CatalogError:
        usage = Usage(found.path)
        if found.row["kind"] != DIRECTORY:
            usage.files = int(found.row["kind"] == FILE)
            usage.bytes = found.row["size"] or 0
            rows = await self.store.file_usage(connection, found.row["id"])
            usage.elements = {name: ElementUsage(1, size or 0) for name, size in rows}
            return usage
        directory = (await self.locator.known(connection, [found.path]))[found.path]
        if not isinstance(directory, Directory) or not self._may_list(caller, directory):
            return Forbidden(f"you may not list '{lfn.shown(found.path)}'", lfn=found.path)
        rows, usage.directories = await self.store.usage(connection, found.path)
        for se_id, element, count, size in rows:
            if se_id == 0:
                usage.files, usage.bytes = count, size
            elif count:
                usage.elements[element] = ElementUsage(count, size)
        return usage

    # ── adding ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make_directories(
        self,
        caller: Caller,
        texts: Sequence[str],
        *,
        parents: bool = True,
        mode: int | None = None,
        dry_run: bool = False,
    ) -> Outcomes[None]:
        """Make directories; one that exists is a success with `parents` and a Conflict without (as `mkdir -p` and
        `mkdir`)."""

        async def work(tx: Transaction, paths: list[str | CatalogError]) -> list[CatalogError | bool | None]:
            good = [p for p in paths if isinstance(p, str)]
            await self.store.lock(tx.connection, good)
            found, made = await self.maker.make(tx, good, mode=mode, parents=parents)
            tx.audit(sorted(made))
            result: list[CatalogError | bool | None] = []
            for path in paths:
                one = found[path] if isinstance(path, str) else path
                if isinstance(one, CatalogError):
                    result.append(one)
                elif one.path in made:
                    made.discard(one.path) if not parents else None
                    result.append(None)
                elif parents:
                    result.append(False)
                else:
                    result.append(Conflict(f"'{lfn.shown(one.path)}' exists already", lfn=one.path))
            return result

        return await self.change(caller, "mkdir", texts, work, dry_run=dry_run)

    async def make_links(
        self, caller: Caller, links: Sequence[Link], *, parents: bool = True, dry_run: bool = False
    ) -> Outcomes[None]:
        """Make symbolic links; the same link again is a success, another target or a file there a Conflict."""

        async def work(tx: Transaction, paths: list[str | CatalogError]) -> list[CatalogError | bool | None]:
            checked = [_bad_target(link) or path for link, path in zip(links, paths, strict=True)]
            return await self._make_links(tx, checked, [link.target for link in links], parents)

        return await self.change(caller, "link", [link.lfn for link in links], work, dry_run=dry_run)

    async def _make_links(
        self, tx: Transaction, paths: list[str | CatalogError], targets: list[str], parents: bool
    ) -> list[CatalogError | bool | None]:
        await self.store.lock(tx.connection, [p for p in paths if isinstance(p, str)])
        where = await self.parents(tx, paths, parents)
        rows: dict[tuple[int, str], tuple[str, int]] = {}
        for one, target in zip(where, targets, strict=True):
            if not isinstance(one, CatalogError):
                directory, name = one
                group = (await self.maker.inherit(tx, self.rights.access(directory.access_id), 0, directory=False))[1]
                rows.setdefault((directory.id, name), (target, group))
        keys = sorted(rows)
        links = [(*k, *rows[k]) for k in keys]
        made = await self.store.add_links(tx.connection, links, tx.caller.principal.id, tx.at)
        joined = [one if isinstance(one, CatalogError) else lfn.join(one[0].path, one[1]) for one in where]
        texts = [j for j in joined if isinstance(j, str)]
        there = await self.locator.entries(tx.connection, tx.caller.principal, texts, follow=False)
        existing = dict(zip(texts, there, strict=True))
        result: list[CatalogError | bool | None] = []
        for one, path, target in zip(where, joined, targets, strict=True):
            if isinstance(one, CatalogError) or isinstance(path, CatalogError):
                result.append(one if isinstance(one, CatalogError) else None)
                continue
            entry = existing[path]
            same = isinstance(entry, Found) and entry.row["target"] == target
            if not same:
                result.append(
                    Conflict(f"'{lfn.shown(path)}' exists already and is no link to '{lfn.shown(target)}'", lfn=path)
                )
            else:
                result.append(None if (one[0].id, one[1]) in made else False)
        tx.audit([p for p, r in zip(joined, result, strict=True) if r is None and isinstance(p, str)])
        return result

    async def parents(
        self, tx: Transaction, paths: Sequence[str | CatalogError], make: bool
    ) -> list[tuple[Directory, str] | CatalogError]:
        """(directory, name) for each new path, writable by the caller; missing directories are made if `make`."""
        who = tx.caller.principal
        split = [lfn.split(p) if isinstance(p, str) else ("", "") for p in paths]
        wanted = list(dict.fromkeys(s[0] for s in split if s[0]))
        if make:
            found, made = await self.maker.make(tx, wanted)
            tx.audit(sorted(made), action="mkdir")
        else:
            found = await self.locator.held(tx, wanted)
        denied: dict[str, CatalogError] = {}
        for path, one in found.items():
            if isinstance(one, CatalogError):
                denied[path] = one
            elif not self.maker.may_add(who, one, one.path):
                denied[path] = Forbidden(f"you may not add names to '{lfn.shown(path)}'", lfn=path)
        result: list[tuple[Directory, str] | CatalogError] = []
        for path_, (parent, name) in zip(paths, split, strict=True):
            if isinstance(path_, CatalogError):
                result.append(path_)
            elif not name:
                result.append(Conflict("'/' is the root directory", lfn="/"))
            elif parent in denied:
                result.append(denied[parent])
            else:
                directory = found[parent]
                assert isinstance(directory, Directory)
                result.append((directory, name))
        return result

    async def change(
        self,
        caller: Caller,
        action: str,
        texts: Sequence[str],
        work: Callable[[Transaction, list[str | CatalogError]], Awaitable[Sequence[T | CatalogError | bool | None]]],
        *,
        dry_run: bool = False,
        wide: bool = False,
    ) -> Outcomes[Any]:
        """Run a bulk change over names: `work` gets the true name of each (or why it is none) and answers per item:
        a value or None for changed, False for 'was so already', or an error."""

        async def transaction(tx: Transaction) -> Outcomes[Any]:
            await self.ready(tx.connection)
            return outcomes(texts, await work(tx, self.locator.true_names(texts)), changes=True)

        return await self._db.change(caller, action, transaction, dry_run=dry_run, wide=wide)

    # ── aliases ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def aliases(self, caller: Caller) -> list[Alias]:
        del caller
        async with self._db.read() as connection:
            return [Alias(p, t) for p, t in (await self.store.aliases(connection)).items()]

    async def set_alias(self, caller: Caller, alias: Alias) -> Alias:
        """Make or change an alias (administrators). It hides whatever has that name. Raises InvalidRequest for a
        loop."""
        require_admin(caller.principal)
        prefix, target = lfn.parse(alias.prefix), lfn.parse(alias.target)
        if prefix == "/" or lfn.is_within(target, prefix):
            raise InvalidRequest(
                "an alias can't stand for the root, nor lead into itself", prefix=prefix, target=target
            )

        async def work(tx: Transaction) -> Alias:
            trial = Locator(self.rights)
            trial.set_aliases({**await self.store.aliases(tx.connection), prefix: target})
            trial.true_name(prefix)
            await self.store.set_alias(tx.connection, prefix, target, tx.at)
            tx.audit([prefix], target=target)
            tx.notices.add("aliases")
            tx.after.append(self.forget)
            return Alias(prefix, target)

        return await self._db.change(caller, "alias.set", work)

    async def remove_alias(self, caller: Caller, prefix: str) -> None:
        """Raises NotFound."""
        require_admin(caller.principal)

        async def work(tx: Transaction) -> None:
            if not await self.store.remove_alias(tx.connection, lfn.parse(prefix)):
                raise NotFound(f"there is no alias '{lfn.shown(prefix)}'", prefix=prefix)
            tx.audit([prefix])
            tx.notices.add("aliases")
            tx.after.append(self.forget)

        await self._db.change(caller, "alias.remove", work)


def _bad_target(link: Link) -> InvalidRequest | None:
    try:
        if 0 < len(link.target.encode()) <= lfn.MAX_PATH and "\x00" not in link.target:
            return None
    except UnicodeEncodeError:
        pass
    told = f"the target of '{lfn.shown(link.lfn)}' is empty, too long, or holds what can't be stored"
    return InvalidRequest(told, lfn=lfn.shown(link.lfn))


def checksums(adler32: int | None, others: str | None) -> dict[str, str]:
    """{kind: hex} of what a row of `file` holds."""
    found = {} if adler32 is None else {"adler32": f"{adler32 & 0xFFFFFFFF:08x}"}
    if others:
        for part in others.split(","):
            kind, _, value = part.partition(":")
            found[kind] = value
    return found


class Same(NamedTuple):
    """A change that had nothing to do, and what it would have answered."""

    value: Any


def outcomes(items: Sequence[str], results: Sequence[Any], *, changes: bool = False) -> Outcomes[Any]:
    """Outcomes in order. With `changes`, False means 'was so already'; a `Same` always does."""
    done: list[Outcome[Any]] = []
    failed = 0
    for item, result in zip(items, results, strict=True):
        if isinstance(result, CatalogError):
            failed += 1
            done.append(Outcome(item, error=result.fault(), changed=False))
        elif changes and result is False:
            done.append(Outcome(item, changed=False))
        elif isinstance(result, Same):
            done.append(Outcome(item, result.value, changed=False))
        else:
            done.append(Outcome(item, result))
    return Outcomes(done, failed)
