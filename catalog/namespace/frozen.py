"""What snapshots hold: their files may move, but not go, unless by force; and then the snapshot says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model import lfn
from lading.model.errors import Conflict

from .frozen_store import FrozenStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.db import Connection, Transaction


class Holding(NamedTuple):
    """A snapshot (id, `NAME@3`) that needs a file."""

    snapshot: int
    name: str
    file: int


class Lost(NamedTuple):
    """A file that a snapshot loses, and the LFN it had then."""

    snapshot: int
    file: int
    path: str


class Frozen:
    """Who moves or removes files takes the lock shared, after the structure lock; who freezes them takes both, when its
    list is written, so that all of it stays where it is until it counts. Costs one look where there are no
    snapshots."""

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

    async def held(self, connection: Connection, files: Sequence[tuple[int, int]]) -> dict[int, list[Holding]]:
        """The snapshots that need each of these files (id, directory id), of those that one does."""
        if not files or not await self._store.any(connection):
            return {}
        found: dict[int, list[Holding]] = {}
        rows = await self._store.held(connection, [f[0] for f in files], list({f[1] for f in files}))
        for row in rows:
            found.setdefault(row["id"], []).append(Holding(row["snapshot_id"], row["snapshot"], row["id"]))
        return found

    def broken(self, path: str, held: Sequence[Holding], *, force: bool) -> list[Lost]:
        """What there is to `note` of a file that goes by `force`. Raises Conflict without it, when a snapshot needs
        it."""
        if held and not force:
            raise refusal(path, [h.name for h in held])
        return [Lost(h.snapshot, h.file, path) for h in held]

    async def note(self, tx: Transaction, lost: Sequence[Lost]) -> None:
        """These files went by force: their snapshots say so from now on."""
        if lost:
            await self._store.break_files(tx.connection, lost, tx.caller.principal.id, tx.at)

    async def held_below(self, tx: Transaction, path: str, entry: int, *, force: bool) -> None:
        """For a whole directory that becomes the item `entry` of the trash: `broken` and `note` at once. Raises
        Conflict."""
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
