"""Provenance: which files a file was made from."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from catalog.access.rights import W
from lading.model import lfn
from lading.model.api import Ancestry, Direction, Relatives
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest
from lading.model.file import Relative

from .locate import Found
from .service import outcomes
from .store import FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Connection, Database, Transaction
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

    from .service import NamespaceService

_MOST = 100_000  # relatives answered for one call


class Provenance:
    def __init__(self, database: Database, names: NamespaceService) -> None:
        self._db = database
        self._names = names

    async def relatives(self, caller: Caller, body: Relatives) -> Outcomes[list[Relative]]:
        """The ancestors or descendants of files, nearest first. Those that the caller may not reach are left out."""
        up = body.direction is Direction.ANCESTORS
        async with self._db.read(wide=True) as connection:
            found = await self._names.find(connection, caller, body.lfns)
            ids = [f.row["id"] for f in found if isinstance(f, Found) and f.row["kind"] == FILE]
            walked = await self._walk(connection, ids, body.depth, up=up)
            rows = {r["id"]: r for r in await self._names.store.by_id(connection, list({w[1] for w in walked}))}
            await self._names.rights.load(connection, {r["access_id"] for r in rows.values()})
        mine: dict[int, list[Relative]] = defaultdict(list)
        for start, there, depth in walked:
            row = rows.get(there)
            if row is None or not row["dir_path"].startswith("/"):
                continue  # in the trash
            path = lfn.join(row["dir_path"], row["name"])
            if self._names.rights.directory(caller.principal, row["access_id"], path) & 8:
                mine[start].append(Relative(path, row["guid"], depth))
        done: list[Any] = []
        for f in found:
            if isinstance(f, Found) and f.row["kind"] != FILE:
                done.append(InvalidRequest(f"'{lfn.shown(f.path)}' is not a file", lfn=f.path))
            else:
                done.append(mine[f.row["id"]] if isinstance(f, Found) else f)
        return outcomes(body.lfns, done)

    async def add(self, caller: Caller, files: Sequence[Ancestry], *, dry_run: bool = False) -> Outcomes[None]:
        """Add ancestors to files; safe to repeat. Needs the right to write the file. A cycle is a Conflict."""

        async def work(tx: Transaction) -> Outcomes[None]:
            results = await self.add_in(tx, [(f.lfn, f.ancestors) for f in files])
            tx.audit([f.lfn for f, r in zip(files, results, strict=True) if r is None])
            return outcomes([f.lfn for f in files], results, changes=True)

        return await self._db.change(caller, "ancestors.add", work, dry_run=dry_run)

    async def add_in(self, tx: Transaction, pairs: Sequence[tuple[str, Sequence[str]]]) -> list[CatalogError | None]:
        """`add` within a transaction. One lock for all of provenance: two calls could close a cycle together."""
        await tx.connection.execute("select pg_advisory_xact_lock($1, -1)", 0x6C616469)
        names = list(dict.fromkeys(n for child, parents in pairs for n in (child, *parents)))
        entries = dict(zip(names, await self._names.find(tx.connection, tx.caller, names), strict=True))
        results: list[CatalogError | None] = []
        edges: list[tuple[int, int]] = []
        wished: list[tuple[int, str, list[tuple[int, int]]]] = []
        for n, (child, parents) in enumerate(pairs):
            try:
                wished.append((n, child, self._edges(tx.caller, child, parents, entries)))
                results.append(None)
            except CatalogError as error:
                results.append(error)
        above = await self._above(tx.connection, list({parent for _, _, mine in wished for _, parent in mine}))
        for n, child, mine in wished:
            if any(_reaches(above, parent, below) for below, parent in mine):
                results[n] = Conflict(f"'{lfn.shown(child)}' would become its own ancestor", lfn=child)
                continue
            for below, parent in mine:
                above[below].add(parent)
            edges += mine
        await self._names.store.add_edges(tx.connection, [e[0] for e in edges], [e[1] for e in edges])
        return results

    async def _walk(
        self, connection: Connection, ids: Sequence[int], depth: int, *, up: bool
    ) -> list[tuple[int, int, int]]:
        """(start, id, depth) breadth first, each pair once: a query a level, however many paths lead there."""
        seen = {(i, i) for i in ids}
        front = sorted(seen)
        walked: list[tuple[int, int, int]] = []
        level = 0
        while front and (depth == 0 or level < depth):
            level += 1
            rows = await self._names.store.next_relatives(connection, front, up=up)
            front = [pair for r in rows if (pair := (r["start"], r["id"])) not in seen]
            seen.update(front)
            walked += [(start, there, level) for start, there in front]
            if len(walked) > _MOST:
                raise InvalidRequest(f"more than {_MOST} relatives: ask for fewer files, or for less depth")
        return walked

    async def _above(self, connection: Connection, ids: Sequence[int]) -> dict[int, set[int]]:
        """{file: its parents} for the given files and all their ancestors."""
        above: dict[int, set[int]] = defaultdict(set)
        front, seen = list(ids), set(ids)
        while front:
            rows = await self._names.store.next_relatives(connection, [(i, i) for i in front], up=True)
            for child, parent in rows:
                above[child].add(parent)
            front = list({r["id"] for r in rows} - seen)
            seen.update(front)
        return above

    def _edges(
        self, caller: Caller, child: str, parents: Sequence[str], entries: dict[str, Found | CatalogError]
    ) -> list[tuple[int, int]]:
        found = []
        for name in (child, *parents):
            entry = entries[name]
            if isinstance(entry, CatalogError):
                raise entry
            if entry.row["kind"] != FILE:
                raise InvalidRequest(f"'{lfn.shown(name)}' is not a file", lfn=name)
            found.append(entry)
        row = found[0].row
        rights = self._names.rights
        if (
            not rights.entry(
                caller.principal, found[0].path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]
            )
            & W
        ):
            raise Forbidden(f"you may not change '{lfn.shown(child)}'", lfn=child)
        return [(row["id"], parent.row["id"]) for parent in found[1:]]


def _reaches(above: dict[int, set[int]], start: int, wanted: int) -> bool:
    """Is `wanted` the file `start` or one of its ancestors?"""
    todo, seen = [start], {start}
    while todo:
        here = todo.pop()
        if here == wanted:
            return True
        new = above.get(here, set()) - seen
        seen |= new
        todo += new
    return False
