"""SQL of data sets and of the members of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.namespace.store import path_range

from .params import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    from .compile import Clause
    from .prepared import Prepared
    from .sight import Sight

    Rows = Sequence[asyncpg.Record]

_DEFINING = 0x6C616473
COLUMNS = """n.id, n.name, n.owner_id, n.group_id, n.mode, n.description, n.metadata, n.query, n.under, n.last, n.ctime, n.mtime,
 (select count(*) from snapshot s where s.dataset_id = n.id) as snapshots"""


class DatasetsStore:
    async def defining(self, connection: Connection) -> None:
        """Nobody else says meanwhile what a data set is: two that do could close a circle."""
        await connection.execute("select pg_advisory_xact_lock($1)", _DEFINING)

    _ADD = """insert into dataset(name, owner_id, group_id, mode, description, metadata, query, under, ctime, mtime)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) on conflict on constraint dataset_name_key do nothing returning id"""

    async def add(self, connection: Connection, *values: Any) -> int | None:
        """Name, owner, group, mode, description, metadata, query, under, time. None: the name is taken."""
        return await connection.fetchval(self._ADD, *values)

    _ONE = f"select {COLUMNS} from dataset n where n.name = $1"

    async def find(self, connection: Connection, name: str, *, lock: bool = False) -> asyncpg.Record | None:
        """With `lock` nobody else changes or freezes it until this transaction ends."""
        return await connection.fetchrow(self._ONE + (" for update of n" if lock else ""), name)

    _PAGE = f"""select {COLUMNS} from dataset n where n.name > $1 and (n.name = $2 or (n.name > $3 and n.name < $4))
        order by n.name limit $5"""

    async def page(self, connection: Connection, under: str, after: str, limit: int) -> Rows:
        """Those called `under` or something below it, by name."""
        return await connection.fetch(self._PAGE, after, under, *path_range(under), limit)

    _SET = """update dataset set owner_id = $2, group_id = $3, mode = $4, description = $5, metadata = $6, query = $7, under = $8,
        mtime = $9 where id = $1"""

    async def change(self, connection: Connection, *values: Any) -> None:
        """Id, owner, group, mode, description, metadata, query, under, time."""
        await connection.execute(self._SET, *values)

    _UNFOLLOW = "delete from snapshot_moved m where not exists(select from snapshot_part p where p.dir_id = m.dir_id)"

    async def remove(self, connection: Connection, dataset: int) -> None:
        """With its members and snapshots."""
        await connection.execute("delete from dataset where id = $1", dataset)
        await connection.execute(self._UNFOLLOW)

    _PROTECTING = "select number from snapshot where dataset_id = $1 and released is null order by number limit 5"

    async def protecting(self, connection: Connection, dataset: int) -> list[int]:
        """Numbers of snapshots that protect files; at most five."""
        return [r["number"] for r in await connection.fetch(self._PROTECTING, dataset)]

    # ── members of lists ─────────────────────────────────────────────────────────────────────────────────────────────

    _ADD_MEMBERS = """insert into dataset_member(dataset_id, dir_id, file_id) select $1, f.dir_id, f.id
        from unnest($2::bigint[]) u(id) join file f on f.id = u.id order by f.id
        on conflict (dataset_id, file_id) do nothing returning file_id"""

    async def add_members(self, connection: Connection, dataset: int, files: Sequence[int]) -> set[int]:
        """The ids of those that were no members. Nobody may move them meanwhile."""
        return {r["file_id"] for r in await connection.fetch(self._ADD_MEMBERS, dataset, files)}

    _DROP_MEMBERS = "delete from dataset_member where dataset_id = $1 and file_id = any($2::bigint[]) returning file_id"

    async def remove_members(self, connection: Connection, dataset: int, files: Sequence[int]) -> set[int]:
        """The ids of those that were members."""
        return {r["file_id"] for r in await connection.fetch(self._DROP_MEMBERS, dataset, files)}

    # ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def numbers(self, connection: Connection, asked: Prepared) -> asyncpg.Record:
        """(files, bytes, nowhere) of all that match."""
        params = Params()
        statement = f"select {NUMBERS} from file f join dir d on d.id = f.dir_id where {asked.of_all(params)}"
        return await asked.clock.row(connection, statement, params.values)

    async def elements(self, connection: Connection, asked: Prepared) -> Rows:
        """(element id, files, bytes) that are available there."""
        params = Params()
        statement = f"""select r.se as id, {COPIES} from file f join dir d on d.id = f.dir_id
            cross join lateral unnest(f.se, f.rstate) r(se, state) where coalesce(r.state, 0) = 0 and {asked.of_all(params)} group by 1"""
        return await asked.clock.fetch(connection, statement, params.values)


NUMBERS = """count(*) as files, coalesce(sum(f.size), 0)::numeric as bytes,
 count(*) filter (where not exists(select from unnest(f.se, f.rstate) r(se, state) where coalesce(r.state, 0) = 0)) as nowhere"""
COPIES = "count(*) as files, coalesce(sum(f.size), 0)::numeric as bytes"


# ── clauses ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_list(dataset: int) -> tuple[Clause, Clause]:
    """(is `f` a member?, may `d` hold members?) of a list."""

    def files(params: Params) -> str:
        return f"f.id in (select m.file_id from dataset_member m where m.dataset_id = {params.add(dataset, 'int')})"

    def directories(params: Params) -> str:
        return f"d.id in (select m.dir_id from dataset_member m where m.dataset_id = {params.add(dataset, 'int')})"

    return files, directories


_HASHED = 1000


def in_snapshot(snapshot: int, largest: int) -> tuple[Clause, Clause]:
    """The same of a snapshot whose largest directory holds so many: each file is looked up in the list of its directory, or,
    where such lists are long, in a table of all ids that PostgreSQL makes first."""

    def files(params: Params) -> str:
        given = params.add(snapshot, "int")
        if largest > _HASHED:
            return f"f.id in (select unnest(p.file_ids) from snapshot_part p where p.snapshot_id = {given})"
        return f"""(exists(select from snapshot_part p where p.snapshot_id = {given} and p.dir_id = f.dir_id and f.id = any(p.file_ids))
            or exists(select from snapshot_moved m join snapshot_part p on p.snapshot_id = {given} and p.dir_id = m.dir_id
                and m.file_id = any(p.file_ids) where m.file_id = f.id))"""

    def directories(params: Params) -> str:
        given = params.add(snapshot, "int")
        return f"""d.id in (select p.dir_id from snapshot_part p where p.snapshot_id = {given} union all
            select m.at_dir from snapshot_moved m join snapshot_part p on p.snapshot_id = {given} and p.dir_id = m.dir_id)"""

    return files, directories


def seen(sight: Sight, params: Params, keeper: bool) -> str:
    """SQL: may the asker read this frozen file? Judged where it is now; one that is gone is its keepers' to know of."""
    rest = "true" if keeper else "false"
    return f"""case when d.path >= '/' and d.path < '0' then {sight.directory(params)} and {sight.file(params)} else {rest} end"""
