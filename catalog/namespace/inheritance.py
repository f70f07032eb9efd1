"""Inherited values: what is set on a directory holds for all below it, until a lower directory or a file says
otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model import lfn

from .inheritance_store import InheritanceStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.db import Connection, Transaction
    from lading.model.file import Metadata

_CHUNK = 5000


class Inherited(NamedTuple):
    """A stored value, and the directory it was set on."""

    value: object
    lfn: str


class Inheritance:
    def __init__(self) -> None:
        self._store = InheritanceStore()

    async def rework(self, tx: Transaction, paths: Iterable[str]) -> None:
        """Work out what holds in these directories and in all below them, after a move or a change of their own values.

        Needs the structure lock exclusively. Work per directory, nothing per file; a directory for which nothing
        changed ends the work on that branch, since what is below it follows from it. Safe to repeat.
        """
        tops = set(paths)
        roots = sorted(p for p in tops if p == "/" or tops.isdisjoint(lfn.parents(p)))
        inner = tops.difference(roots)
        above = {p: lfn.split(p)[0] for p in roots if p != "/"}
        ids = await self._store.ids(tx.connection, list({*roots, *above.values()}))
        changed = await self._store.rework(
            tx.connection, [ids[r] for r in roots], [ids[above[r]] if r in above else 0 for r in roots]
        )
        holding = {p for path in inner for p in lfn.parents(path)}
        walk = [r for r in roots if ids[r] in changed or r in holding]
        if walk:
            await self._below(tx, {r: ids[r] for r in walk}, changed, inner)

    async def _below(self, tx: Transaction, known: dict[str, int], changed: set[int], forced: set[str]) -> None:
        """All below the directories `known`, in chunks of a walk that meets parents first, each level by the one
        above."""
        chunk: list[tuple[int, str]] = []
        tops = list(known)
        async for row in self._store.below(tx.connection, tops):
            chunk.append((row["id"], row["path"]))
            if len(chunk) >= _CHUNK:
                await self._levels(tx, chunk, known, changed, forced)
                open_ = {*lfn.parents(chunk[-1][1]), chunk[-1][1], *tops}  # nobody else has children still to come
                known = {p: i for p, i in known.items() if p in open_}
                changed = changed.intersection(known.values())
                chunk = []
        if chunk:
            await self._levels(tx, chunk, known, changed, forced)

    async def _levels(
        self,
        tx: Transaction,
        chunk: Sequence[tuple[int, str]],
        known: dict[str, int],
        changed: set[int],
        forced: set[str],
    ) -> None:
        levels: dict[int, list[tuple[int, str]]] = {}
        for new, path in chunk:
            known[path] = new
            levels.setdefault(path.count("/"), []).append((new, path))
        for depth in sorted(levels):
            pairs = [(new, known[path.rpartition("/")[0] or "/"], path) for new, path in levels[depth]]
            pairs = [p for p in pairs if p[1] in changed or p[2] in forced]
            if pairs:
                changed |= await self._store.rework(tx.connection, [p[0] for p in pairs], [p[1] for p in pairs])

    async def effective(self, connection: Connection, directories: Sequence[str]) -> dict[str, Metadata]:
        """What holds for everything in each directory, as stored."""
        return {r["path"]: r["eff"] for r in await self._store.effective(connection, directories)}

    async def origins(self, connection: Connection, directories: Iterable[str]) -> dict[str, dict[str, Inherited]]:
        """For each directory, what everything in it inherits: {key: (stored value, the directory it was set on)}."""
        wanted = dict.fromkeys(directories)
        chain = list({p for path in wanted for p in (*lfn.parents(path), path)})
        own = {r["path"]: r["meta"] for r in await self._store.own(connection, chain)}
        made: dict[str, dict[str, Inherited]] = {}
        for path in wanted:
            found: dict[str, Inherited] = {}
            for at in (*lfn.parents(path), path):
                if at in own:
                    found |= {key: Inherited(value, at) for key, value in own[at].items()}
            made[path] = found
        return made
