"""Values of names: set and read in bulk, with where each comes from."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from catalog.access.rights import W
from catalog.namespace.inheritance import Inheritance
from catalog.namespace.locate import Found
from catalog.namespace.service import outcomes
from catalog.namespace.store import DIRECTORY
from catalog.namespace.values import lacks
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest
from lading.model.file import Kind
from lading.model.metadata import MAX_BYTES, Described, Overridden, check_metadata

from .values_store import ValuesStore

if TYPE_CHECKING:
    from catalog.db import Database, Transaction
    from catalog.namespace.inheritance import Inherited
    from catalog.namespace.service import NamespaceService
    from lading.model.api import Names
    from lading.model.file import Metadata
    from lading.model.metadata import SetMetadata
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

    from .known import Known

Rules = set[tuple[str, str]]  # `set` is a method below
_KINDS = [Kind.FILE, Kind.DIRECTORY, Kind.LINK]
_encode = msgspec.json.Encoder().encode


class _Wish(NamedTuple):
    """What to do to one entry."""

    entry: Found
    values: Metadata  # stored forms, None: take away
    position: int

    @property
    def directory(self) -> bool:
        return self.entry.row["kind"] == DIRECTORY


class Values:
    def __init__(self, database: Database, names: NamespaceService, known: Known) -> None:
        self._db = database
        self._names = names
        self._known = known
        self._inheritance = Inheritance()
        self._store = ValuesStore()

    # ── setting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def set(self, caller: Caller, body: SetMetadata) -> Outcomes[None]:
        """Set values of files and directories, each name its own; safe to repeat.

        Values not named stay, unless `replace`. What is set on a directory holds for all below it at once: work per
        directory, never per file. Links are followed. Outcome errors: NotFound, Forbidden (no right to write the
        entry), InvalidRequest (undeclared key, value that does not fit, a required value taken away), Conflict (named
        twice).
        """

        async def work(tx: Transaction, paths: list[str | CatalogError]) -> list[Any]:
            return await self._set(tx, body, paths)

        texts = [item.lfn for item in body.items]
        return await self._names.change(caller, "metadata", texts, work, dry_run=body.dry_run)

    async def _set(self, tx: Transaction, body: SetMetadata, paths: list[str | CatalogError]) -> list[Any]:
        entries = await self._settle(tx, [p for p in paths if isinstance(p, str)])
        await self._known.current(tx.connection)
        results: list[Any] = [None] * len(paths)
        wishes: list[_Wish] = []
        seen: set[int] = set()
        for i, (item, path) in enumerate(zip(body.items, paths, strict=True)):
            try:
                entry = entries[path] if isinstance(path, str) else path
                if isinstance(entry, CatalogError):
                    raise entry
                if entry.row["id"] in seen:
                    raise Conflict(f"'{lfn.shown(entry.path)}' is named twice in this call", lfn=entry.path)
                self._may_write(tx.caller.principal, entry)
                check_metadata({k: v for k, v in item.values.items() if v is not None})
                values = self._known.stored(entry.path, {k: v for k, v in item.values.items() if v is not None})
                seen.add(entry.row["id"])
                wishes.append(_Wish(entry, values | {k: None for k, v in item.values.items() if v is None}, i))
            except CatalogError as error:
                results[i] = error
        if not wishes:
            return results
        before = await self._store.lock(tx.connection, [w.entry.row["id"] for w in wishes])
        directories = [w for w in wishes if w.directory]
        if directories:
            await self._set_directories(tx, directories, before, body.replace, results)
        files = [w for w in wishes if not w.directory]
        if files:
            await self._set_files(tx, files, before, body.replace, results)
        done = [w for w in wishes if results[w.position] is None]
        tx.audit(
            [w.entry.path for w in done], keys=sorted({k for w in done for k in w.values})[:100], replace=body.replace
        )
        return results

    async def _settle(self, tx: Transaction, paths: list[str]) -> dict[str, Found | CatalogError]:
        """What the names are, with the lock that setting their values needs. Nearly always they are files where they
        are said to be, and one look is enough; a directory among them needs the exclusive lock, and the shared one
        given back first."""
        attempt = tx.connection.transaction()  # its locks go when it is rolled back
        await attempt.start()
        await self._names.store.lock(tx.connection, paths)
        found = await self._names.locator.entries(tx.connection, tx.caller.principal, paths)
        if all(
            not isinstance(f, Found) or (f.row["kind"] != DIRECTORY and lfn.vo(f.path) == lfn.vo(p))
            for f, p in zip(found, paths, strict=True)
        ):
            await attempt.commit()
            return dict(zip(paths, found, strict=True))
        await attempt.rollback()
        return await self._names.locator.settle(tx, paths, moving=True)

    def _may_write(self, who: Principal, entry: Found) -> None:
        row, rights = entry.row, self._names.rights
        if not rights.entry(who, entry.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]) & W:
            raise Forbidden(f"you may not change '{lfn.shown(entry.path)}'", lfn=entry.path)

    async def _set_files(
        self, tx: Transaction, wishes: list[_Wish], before: dict[int, Metadata], replace: bool, results: list[Any]
    ) -> None:
        required = {p: self._known.required(p) for p in {lfn.split(w.entry.path)[0] for w in wishes}}
        ruled = [p for p, names in required.items() if names]
        inherited = await self._inheritance.effective(tx.connection, ruled) if ruled else {}
        ids, values = [], []
        for wish in wishes:
            new = self._merged(wish, before, replace, results)
            if new is None:
                continue
            parent = lfn.split(wish.entry.path)[0]
            lacking = sorted(n for n in required[parent] if n not in new and n not in inherited[parent])
            if lacking:
                results[wish.position] = lacks(wish.entry.path, lacking)
                continue
            ids.append(wish.entry.row["id"])
            values.append(new)
        await self._write(tx, ids, values, [w for w in wishes if results[w.position] is None], directories=False)

    async def _set_directories(
        self, tx: Transaction, wishes: list[_Wish], before: dict[int, Metadata], replace: bool, results: list[Any]
    ) -> None:
        """Their own values, then what holds below them. A directory whose rules would be broken is left as it was."""
        ids, values, good = [], [], []
        for wish in wishes:
            new = self._merged(wish, before, replace, results)
            if new is None:
                continue
            gone = before[wish.entry.row["id"]].keys() - new.keys()
            around = self._known.rules_around(wish.entry.path, gone)
            if around and (broken := await self._broken(tx, wish.entry, new, around)):
                results[wish.position] = broken
                continue
            ids.append(wish.entry.row["id"])
            values.append(new)
            good.append(wish)
        await self._write(tx, ids, values, good, directories=True)
        if good:
            await self._inheritance.rework(tx, [w.entry.path for w in good])

    async def _broken(self, tx: Transaction, entry: Found, new: Metadata, around: Rules) -> InvalidRequest | None:
        """Why the directory can't do without what it had; found out by doing it, and undoing it."""
        attempt = tx.connection.transaction()
        await attempt.start()
        try:
            await self._store.set(tx.connection, [entry.row["id"]], [new])
            await self._inheritance.rework(tx, [entry.path])
            effective = await self._inheritance.effective(tx.connection, list({path for path, _ in around}))
        finally:
            await attempt.rollback()
        for path, name in sorted(around):
            if path in effective and name not in effective[path]:
                told = (
                    f"files below '{lfn.shown(path)}' must have '{name}': set it there first, or have the rule changed"
                )
                return InvalidRequest(told, lfn=entry.path, field=name)
        return None

    def _merged(self, wish: _Wish, before: dict[int, Metadata], replace: bool, results: list[Any]) -> Metadata | None:
        """The entry's own values after the wish; None when that is no change, or an error."""
        old = before.get(wish.entry.row["id"])
        if old is None:  # it was removed between the look and the lock: only files can be
            results[wish.position] = Conflict(f"'{lfn.shown(wish.entry.path)}' is being removed", lfn=wish.entry.path)
            return None
        new = {} if replace else dict(old)
        for key, value in wish.values.items():
            if value is None:
                new.pop(key, None)
            else:
                new[key] = value
        if new.keys() == old.keys() and all(_encode(new[k]) == _encode(old[k]) for k in wish.values if k in new):
            results[wish.position] = False
            return None
        if old and not replace and len(_encode(new)) > MAX_BYTES:  # else what was given was weighed
            told = f"the metadata of one name is at most {MAX_BYTES} bytes"
            results[wish.position] = InvalidRequest(told, lfn=wish.entry.path)
            return None
        return new

    async def _write(
        self, tx: Transaction, ids: list[int], values: list[Metadata], wishes: list[_Wish], *, directories: bool
    ) -> None:
        if not ids:
            return
        await self._store.set(tx.connection, ids, values)
        used: defaultdict[str, set[str]] = defaultdict(set)
        for wish in wishes:
            used[lfn.vo(wish.entry.path)].update(k for k, v in wish.values.items() if v is not None)
        await self._known.learn(tx, used, directories=directories)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, caller: Caller, names: Names) -> Outcomes[Described]:
        """What holds for each name, and where it comes from. Outcome errors: InvalidRequest, NotFound, Forbidden."""
        async with self._db.read() as connection:
            found = await self._names.find(connection, caller, names.lfns, follow=names.follow)
            above = {lfn.split(f.path)[0] if f.path != "/" else "/" for f in found if isinstance(f, Found)}
            origins = await self._inheritance.origins(connection, above) if above else {}
        shown: dict[tuple[str, str], _Shown] = {}
        results: list[Described | CatalogError] = []
        for one in found:
            if isinstance(one, CatalogError):
                results.append(one)
                continue
            parent = lfn.split(one.path)[0]
            vo = lfn.vo(one.path)
            if (parent, vo) not in shown:
                shown[parent, vo] = self._inherited(one.path, origins.get(parent, {}))
            results.append(self._described(one, shown[parent, vo]))
        return outcomes(names.lfns, results)

    def _inherited(self, path: str, origin: dict[str, Inherited]) -> _Shown:
        values = self._known.shown(path, {k: i.value for k, i in origin.items()})
        return _Shown(values, {k: i.lfn for k, i in origin.items()})

    def _described(self, entry: Found, inherited: _Shown) -> Described:
        kind, meta = _KINDS[entry.row["kind"]], entry.row["meta"]
        if not meta:
            return Described(entry.path, kind, inherited.values, [], inherited.origins)
        own = self._known.shown(entry.path, meta)
        values, origins = inherited
        hidden = own.keys() & origins.keys()
        return Described(
            entry.path,
            kind,
            values | own,
            list(own),
            {k: v for k, v in origins.items() if k not in own} if hidden else origins,
            {k: Overridden(origins[k], values[k]) for k in hidden} if hidden else {},
        )


class _Shown(NamedTuple):
    """What is inherited: the values as people see them, and the directory of each."""

    values: Metadata
    origins: dict[str, str]
