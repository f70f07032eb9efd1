"""Finding data sets and snapshots by name, who may do what with them, and what they mean in a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.access.rights import R, W
from lading.model import lfn
from lading.model.dataset import Combine, split_name
from lading.model.errors import Forbidden, InvalidRequest, NotFound

from .datasets_store import DatasetsStore, in_list, in_snapshot
from .language.tree import And, Not, Or, Related, Relation
from .language.unparse import unparse
from .nesting import MemberClause
from .snapshots_store import SnapshotsStore

if TYPE_CHECKING:
    import asyncpg

    from catalog.access.rights import Rights
    from catalog.db import Connection
    from lading.model.dataset import Combination
    from lading.model.principal import Caller

    from .language.tree import Node
    from .nesting import Nesting
    from .prepare import Preparer
    from .prepared import Prepared


class Sets:
    """`prepare.Members`, and the look-ups that all of data sets share."""

    def __init__(self, rights: Rights, preparer: Preparer) -> None:
        self._rights = rights
        self._preparer = preparer
        self._store = DatasetsStore()
        self._snapshots = SnapshotsStore()

    # ── rights ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def reads(self, caller: Caller, row: asyncpg.Record, name: str) -> bool:
        """By the mode bits of the set, like a file's."""
        return bool(self._bits(caller, row, name) & R)

    def changes(self, caller: Caller, row: asyncpg.Record, name: str) -> bool:
        """The owner may, who has W by mode, and administrators of the VO."""
        return bool(self._bits(caller, row, name) & W) or self.owns(caller, row, name)

    def owns(self, caller: Caller, row: asyncpg.Record, name: str) -> bool:
        return self._rights.owns(caller.principal, name, row["owner_id"])

    def _bits(self, caller: Caller, row: asyncpg.Record, name: str) -> int:
        return self._rights.entry(caller.principal, name, row["owner_id"], row["group_id"], row["mode"], 0)

    # ── by name ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def dataset(
        self, connection: Connection, caller: Caller, name: str, *, change: bool = False
    ) -> asyncpg.Record:
        """A data set that the caller may read, or `change` (it is locked then). Raises NotFound, Forbidden."""
        path = lfn.parse(name)
        row = await self._store.find(connection, path, lock=change)
        if row is None:
            raise NotFound(f"there is no data set '{lfn.shown(path)}': see 'lading dataset ls'", dataset=path)
        if not (self.changes if change else self.reads)(caller, row, path):
            raise Forbidden(
                f"you may not {'change' if change else 'read'} the data set '{lfn.shown(path)}'", dataset=path
            )
        return row

    async def snapshot(
        self, connection: Connection, caller: Caller, text: str, *, change: bool = False
    ) -> asyncpg.Record:
        """`/vo/set@3`, or the latest of `/vo/set`. Raises NotFound, Forbidden."""
        name, number = split_name(text)
        path = lfn.parse(name)
        row = await self._snapshots.find(connection, path, number, lock=change)
        if row is None:
            await self.dataset(connection, caller, path)
            hint = f"see 'lading dataset snapshots {lfn.shown(path)}'"
            raise NotFound(f"there is no snapshot '{lfn.shown(text)}': {hint}", snapshot=text)
        if not (self.changes if change else self.reads)(caller, row, path):
            raise Forbidden(
                f"you may not {'change' if change else 'read'} the data set '{lfn.shown(path)}'", dataset=path
            )
        return row

    def keeps(self, caller: Caller, row: asyncpg.Record) -> bool:
        """Is the caller told of frozen files that are gone, whose own rights nobody knows any more?"""
        return self.changes(caller, row, row["dataset"])

    # ── in queries ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def asked(self, connection: Connection, caller: Caller, row: asyncpg.Record) -> Prepared:
        """The question that a data set is. Raises what its query does when it is asked by the caller."""
        query, under = meaning(row)
        return await self._preparer.prepare(connection, caller, query, under)

    async def clause(
        self, connection: Connection, caller: Caller, relation: Relation, name: str, nesting: Nesting
    ) -> MemberClause:
        """Is `f` in the data set or the snapshot? Raises NotFound, Forbidden, InvalidRequest (a circle)."""
        if relation is Relation.SNAPSHOT:
            row = await self.snapshot(connection, caller, name)
            return MemberClause(*in_snapshot(row["id"], await self._snapshots.largest(connection, row["id"])))
        if split_name(name)[1] is not None:
            raise InvalidRequest(f'"{lfn.shown(name)}" is a snapshot: ask for in snapshot "{lfn.shown(name)}"')
        row = await self.dataset(connection, caller, name)
        deeper = nesting.into(row["name"])
        if row["query"] is None:
            return MemberClause(*in_list(row["id"]))
        inner = await self._preparer.prepare(connection, caller, row["query"], row["under"], nesting=deeper)
        return MemberClause(inner.membership, inner.member_directories)


def meaning(row: asyncpg.Record) -> tuple[str | Node, str]:
    """The query of a data set, and where it is asked."""
    return (Related(Relation.DATASET, row["name"]) if row["query"] is None else row["query"]), row["under"]


def combined(combination: Combination) -> str:
    """The query of a combination. Raises InvalidRequest for what is no name."""
    first, *others = [_term(name) for name in combination.of]
    if combination.how is Combine.UNION:
        return unparse(Or((first, *others)))
    if combination.how is Combine.INTERSECTION:
        return unparse(And((first, *others)))
    return unparse(And((first, Not(Or(tuple(others)) if len(others) > 1 else others[0]))))


def _term(name: str) -> Related:
    path, number = split_name(name)
    path = lfn.parse(path)
    return Related(*((Relation.DATASET, path) if number is None else (Relation.SNAPSHOT, f"{path}@{number}")))
