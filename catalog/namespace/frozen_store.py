"""SQL of what snapshots hold: which files may not go, where they went, and which went by force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .store import path_range, structure_buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

_FREEZING = 0x6C616466  # the class of these advisory locks; that of the structure lock is another

# Frozen files by where they are now: still in the directory of their part, or noted as moved.
_STAYED = "snapshot_part p join snapshot s on s.id = p.snapshot_id and s.released is null join dataset n on n.id = s.dataset_id"
_MOVED = f"snapshot_moved m join {_STAYED.replace('snapshot_part p join', 'snapshot_part p on p.dir_id = m.dir_id and m.file_id = any(p.file_ids) join', 1)}"
_NAME = "n.name || '@' || s.number"


class FrozenStore:
    _LOCK = "select pg_advisory_xact_lock{}($1, b) from unnest($2::int[]) b"

    async def lock(self, connection: Connection, paths: Iterable[str], *, exclusive: bool = False) -> None:
        """Shared: files of these places are about to move or go. Exclusive: nobody moves any meanwhile."""
        buckets = structure_buckets(paths, everything=exclusive)
        await connection.execute(self._LOCK.format("" if exclusive else "_shared"), _FREEZING, buckets)

    async def any(self, connection: Connection) -> bool:
        """Is there a snapshot that protects files?"""
        return await connection.fetchval("select exists(select from snapshot where released is null)")

    _HELD = f"""select x.id, {_NAME} as snapshot, s.id as snapshot_id
        from {_STAYED}, unnest(p.file_ids) x(id) where p.dir_id = any($2::bigint[]) and x.id = any($1::bigint[])
        union select m.file_id, {_NAME}, s.id from {_MOVED} where m.file_id = any($1::bigint[]) order by 1, 2"""

    async def held(self, connection: Connection, files: Sequence[int], dirs: Sequence[int]) -> Rows:
        """(id, snapshot, snapshot_id) of each of the files, in these directories, that a snapshot needs."""
        return await connection.fetch(self._HELD, files, dirs)

    _SUBTREE = "(d.path = $1 or (d.path > $2 and d.path < $3))"
    _BELOW = f"""select s.id as snapshot_id, f.id, {_NAME} as snapshot, d.path || '/' || f.name as lfn
        from dir d join {_STAYED.replace(" join", " on p.dir_id = d.id join", 1)} cross join lateral unnest(p.file_ids) x(id)
        join file f on f.id = x.id and f.dir_id = d.id where {_SUBTREE}
        union select s.id, f.id, {_NAME}, d.path || '/' || f.name
        from {_MOVED} join dir d on d.id = m.at_dir join file f on f.id = m.file_id and f.dir_id = d.id where {_SUBTREE}"""
    _BELOW_NAMES = f"select distinct snapshot from ({_BELOW}) z order by snapshot limit 10"

    async def held_below(self, connection: Connection, path: str) -> list[str]:
        """The snapshots that need files at or below a directory; at most ten."""
        return [r["snapshot"] for r in await connection.fetch(self._BELOW_NAMES, path, *path_range(path))]

    _BREAK_BELOW = f"""insert into snapshot_broken(snapshot_id, file_id, lfn, entry_id, user_id, at)
        select snapshot_id, id, lfn, $4, $5, $6 from ({_BELOW}) z order by 1, 2
        on conflict (snapshot_id, file_id) do update set entry_id = excluded.entry_id, user_id = excluded.user_id, at = excluded.at"""

    async def break_below(self, connection: Connection, path: str, entry: int, user: int, at: int) -> None:
        """Note that all the frozen files at or below a directory go with it, by force."""
        await connection.execute(self._BREAK_BELOW, path, *path_range(path), entry, user, at)

    _BREAK = """insert into snapshot_broken(snapshot_id, file_id, lfn, entry_id, user_id, at)
        select s, i, p, i, $4, $5 from unnest($1::int[], $2::bigint[], $3::text[]) u(s, i, p) order by 1, 2
        on conflict (snapshot_id, file_id) do update set entry_id = excluded.entry_id, user_id = excluded.user_id, at = excluded.at"""

    async def break_files(
        self, connection: Connection, rows: Sequence[tuple[int, int, str]], user: int, at: int
    ) -> None:
        """Rows of (snapshot id, file id, LFN it had)."""
        await connection.execute(self._BREAK, *(list(c) for c in zip(*rows, strict=True)), user, at)

    async def mend(self, connection: Connection, entries: Sequence[int]) -> None:
        """These items of the trash are back."""
        await connection.execute("delete from snapshot_broken where entry_id = any($1::bigint[])", entries)

    _NEEDED = f"""select exists(
        select from {_STAYED}, unnest(p.file_ids) x(id) where p.dir_id = any($2::bigint[]) and x.id = any($1::bigint[])
            and not exists(select from snapshot_broken b where b.snapshot_id = s.id and b.file_id = x.id)
        union all select from {_MOVED} where m.file_id = any($1::bigint[])
            and not exists(select from snapshot_broken b where b.snapshot_id = s.id and b.file_id = m.file_id))"""

    async def needed(self, connection: Connection, files: Sequence[int], dirs: Sequence[int]) -> bool:
        """Does a snapshot need one of these files, that was not taken from it by force?"""
        return await connection.fetchval(self._NEEDED, files, dirs)
