"""SQL of bytes on their way: uploads, deletions, and the emptying of the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.namespace.store import path_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class TransferStore:
    # ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────

    _ADD = "insert into upload(id, lfn, se_id, pfn, guid, user_id, spec, started, expires) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"

    async def add_upload(self, connection: Connection, *values: Any) -> None:
        await connection.execute(self._ADD, *values)

    _EXTEND = "update upload set expires = $2 where id = $1"

    async def extend_upload(self, connection: Connection, upload: str, expires: int) -> bool:
        """False when the upload is no more: the cleaner took it."""
        return await connection.execute(self._EXTEND, upload, expires) == "UPDATE 1"

    _LOCK = "select id::text as id, lfn, se_id, pfn, guid::text as guid, user_id, spec, expires from upload where id = $1 for update"

    async def lock_upload(self, connection: Connection, upload: str) -> asyncpg.Record | None:
        return await connection.fetchrow(self._LOCK, upload)

    async def remove_upload(self, connection: Connection, upload: str) -> None:
        await connection.execute("delete from upload where id = $1", upload)

    _CLAIM = "select pg_advisory_xact_lock(hashtextextended($2, $1))"
    _UPLOADING = "select exists(select from upload where se_id = $1 and pfn = $2)"

    async def uploading(self, connection: Connection, element: int, pfn: str) -> bool:
        """Is an upload to this place under way? Who asks next waits for the end of this transaction."""
        await connection.execute(self._CLAIM, element, pfn)
        return await connection.fetchval(self._UPLOADING, element, pfn)

    _EXPIRED = """select u.id::text as id, u.lfn, u.se_id, u.pfn, u.guid::text as guid, f.id is not null as registered,
            f.pfn ->> u.se_id::text as explicit
        from upload u left join file f on f.guid = u.guid and u.se_id = any(f.se)
        where u.expires < $1 and u.se_id = any($2::int[]) order by u.expires limit 1 for update of u skip locked"""

    async def expired_upload(self, connection: Connection, at: int, elements: Sequence[int]) -> asyncpg.Record | None:
        """An upload whose lease ran out, locked; `registered` when its file has a replica there all the same, at `explicit`
        (null: where the GUID says)."""
        return await connection.fetchrow(self._EXPIRED, at, elements)

    # ── deletions ────────────────────────────────────────────────────────────────────────────────────────────────────

    _DUE = """select id, se_id, pfn, lfn, attempts from deletion where not_before <= $1 and se_id = $2
        order by not_before limit $3 for update skip locked"""

    async def due_deletions(self, connection: Connection, at: int, element: int, limit: int) -> Rows:
        return await connection.fetch(self._DUE, at, element, limit)

    async def deletions_done(self, connection: Connection, ids: Sequence[int]) -> None:
        await connection.execute("delete from deletion where id = any($1::bigint[])", ids)

    _FAILED = """update deletion d set attempts = d.attempts + 1, error = u.e, not_before = u.t
        from unnest($1::bigint[], $2::text[], $3::bigint[]) u(id, e, t) where d.id = u.id"""

    async def deletions_failed(self, connection: Connection, rows: Sequence[tuple[int, str, int]]) -> None:
        """Rows of (id, error, not before)."""
        await connection.execute(self._FAILED, *(list(c) for c in zip(*rows, strict=True)))

    _WAITING = "select se_id from deletion where not_before <= $1 group by 1 union select se_id from upload where expires < $1 group by 1"

    async def elements_with_work(self, connection: Connection, at: int) -> list[int]:
        return [r[0] for r in await connection.fetch(self._WAITING, at)]

    # ── the trash ────────────────────────────────────────────────────────────────────────────────────────────────────

    _TRASHED = (
        "select entry_id, kind, path from trash where expires <= $1 order by expires limit 1 for update skip locked"
    )

    async def expired_trash(self, connection: Connection, at: int) -> asyncpg.Record | None:
        return await connection.fetchrow(self._TRASHED, at)

    _ITEM_FILES = """select f.id, f.dir_id, f.name, f.size, f.guid::text as guid, f.se, f.rstate, f.pfn, d.path
        from dir d join file f on f.dir_id = d.id and f.kind = 0 where d.path = $1 or (d.path > $2 and d.path < $3) limit $4"""

    async def files_below(self, connection: Connection, path: str, limit: int) -> Rows:
        """Some of the files of a subtree of the trash, as `ReplicasStore.lock` has them, with their directory's path."""
        return await connection.fetch(self._ITEM_FILES, path, *path_range(path), limit)

    _ONE = """select f.id, f.dir_id, f.name, f.size, f.guid::text as guid, f.se, f.rstate, f.pfn, 'T' as path from file f
        where f.id = $1 and f.kind = 0 and f.dir_id = 2"""

    async def file(self, connection: Connection, entry: int) -> Rows:
        return await connection.fetch(self._ONE, entry)

    _FORGET = """with gone as (delete from file where id = any($1::bigint[]) and kind = 0 returning id, dir_id, size, se),
            e as (delete from edge using gone where edge.child = gone.id or edge.parent = gone.id),
            i as (delete from replica_info r using gone where r.file_id = gone.id),
            l as (delete from dataset_member l using gone where l.file_id = gone.id)
        insert into dir_usage as u(dir_id, se_id, nfiles, bytes)
        select dir_id, s, -count(*), -coalesce(sum(size), 0) from gone cross join lateral unnest(se || 0) s group by 1, 2 order by 1, 2
        on conflict (dir_id, se_id) do update set nfiles = u.nfiles + excluded.nfiles, bytes = u.bytes + excluded.bytes"""

    async def forget_files(self, connection: Connection, ids: Sequence[int]) -> None:
        """Take files out of the catalogue for good, with all that is known of them."""
        await connection.execute(self._FORGET, ids)

    _FORGET_TREE = (
        "delete from dir_usage where dir_id in (select id from dir where path = $1 or (path > $2 and path < $3))",
        "delete from file where dir_id in (select id from dir where path = $1 or (path > $2 and path < $3))",
        "delete from dir where path = $1 or (path > $2 and path < $3)",
    )

    async def forget_tree(self, connection: Connection, entry: int, path: str) -> None:
        """Take the directories and links of a subtree without files out of the catalogue."""
        for statement in self._FORGET_TREE:
            await connection.execute(statement, path, *path_range(path))
        await connection.execute("delete from file where id = $1", entry)

    async def postpone_item(self, connection: Connection, entry: int, until: int) -> None:
        await connection.execute("update trash set expires = $2 where entry_id = $1", entry, until)

    async def forget_item(self, connection: Connection, entry: int) -> None:
        await connection.execute("delete from trash where entry_id = $1", entry)

    _OLD = (
        "delete from idempotency where at < $1 - 86400000000",
        "delete from token where expires < $1 - 2592000000000",
    )

    async def forget_old(self, connection: Connection, at: int) -> None:
        """Answers kept for repeats go after a day, expired tokens after a month."""
        for statement in self._OLD:
            await connection.execute(statement, at)
