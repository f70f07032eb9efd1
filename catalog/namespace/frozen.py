"""What snapshots hold: their files may move, but not go, unless by force; and then the snapshot says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.model import lfn
from lading.model.errors import Conflict

from .frozen_store import FrozenStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.db import Connection, Transaction


class Frozen:
    """Who moves or removes files takes the lock shared, after the structure lock; who freezes them takes both so that
    what it reads stays where it is until its list counts. Costs one look where there are no snapshots."""

    def __init__(self) -> None:
        self._store = FrozenStore()

    async def moving(self, connection: Connection, paths: Iterable[str]) -> None:
        """Files of these places are about to move or go."""
        await self._store.lock(connection, paths)

    async def freezing(self, connection: Connection, top: str) -> None:
        """No file at or below `top` moves or goes until the end of this transaction; needs the structure lock."""
        await self._store.lock(connection, [top], exclusive=True)

    async def freezing_these(self, connection: Connection, paths: Iterable[str]) -> None:
        """The same for single files, whose places are to be written down."""
        await self._store.lock(connection, paths, exclusive=True)

    async def held(self, tx: Transaction, files: Sequence[tuple[int, int, str]], *, force: bool) -> dict[int, Conflict]:
        """Of files that are to go (id, directory id, LFN): why some may not. With `force` none is refused, and the
        snapshots that need them say from now on that they are broken."""
        if not files or not await self._store.any(tx.connection):
            return {}
        rows = await self._store.held(tx.connection, [f[0] for f in files], list({f[1] for f in files}))
        paths = {f[0]: f[2] for f in files}
        if force:
            if rows:
                broken = [(r["snapshot_id"], r["id"], paths[r["id"]]) for r in rows]
                await self._store.break_files(tx.connection, broken, tx.caller.principal.id, tx.at)
            return {}
        names: dict[int, list[str]] = {}
        for row in rows:
            names.setdefault(row["id"], []).append(row["snapshot"])
        return {i: refusal(paths[i], found) for i, found in names.items()}

    async def held_below(self, tx: Transaction, path: str, entry: int, *, force: bool) -> None:
        """The same for a whole directory, that becomes the item `entry` of the trash. Raises Conflict."""
        if not await self._store.any(tx.connection):
            return
        if force:
            await self._store.break_below(tx.connection, path, entry, tx.caller.principal.id, tx.at)
        elif names := await self._store.held_below(tx.connection, path):
            raise refusal(path, names, within=True)

    async def back(self, tx: Transaction, entries: Sequence[int]) -> None:
        """These items of the trash were restored: snapshots that they were taken from are whole again."""
        await self._store.mend(tx.connection, entries)

    async def needed(self, connection: Connection, files: Sequence[int], dirs: Iterable[int]) -> bool:
        """For who forgets files: does a snapshot need one that was not taken from it by force?"""
        return bool(files) and await self._store.needed(connection, files, list(set(dirs)))


def refusal(path: str, snapshots: Sequence[str], *, within: bool = False) -> Conflict:
    shown = [lfn.shown(name) for name in snapshots]
    told = ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
    what = f"files in '{lfn.shown(path)}' belong" if within else f"'{lfn.shown(path)}' belongs"
    hint = "release them first, or remove it all the same with --force-snapshots (`force_snapshots`)"
    return Conflict(
        f"{what} to the snapshot{'s' if len(shown) > 1 else ''} {told}: {hint}", lfn=path, snapshots=list(snapshots)
    )
