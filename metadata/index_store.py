"""SQL of the indexes on metadata of files, made and dropped while everybody works (outside a transaction).

The value of a field as indexes and queries see it, `expression`, never fails: a value of another type (of another VO's field
of that name, of an undeclared key) is null to it, where a bare cast would make that file impossible to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]

_LOCK = 0x6C616466  # the class of our advisory locks: who builds the indexes of the field with this id
_NUMBER = "case when jsonb_typeof({m} -> '{f}') = 'number' then ({m} ->> '{f}')::numeric end"
_EXPRESSIONS = {
    "int": _NUMBER,
    "float": _NUMBER,
    "timestamp": _NUMBER,
    "date": _NUMBER,
    "bool": "case when jsonb_typeof({m} -> '{f}') = 'boolean' then ({m} ->> '{f}')::boolean end",
    "string": "({m} ->> '{f}') collate \"C\"",
}
INDEXABLE = frozenset(_EXPRESSIONS)


def expression(name: str, type: str, meta: str = "meta") -> str:
    """SQL of the value of a field in the column `meta`, as it is indexed. `name` is a field's: letters, digits, _ . - only."""
    assert "'" not in name
    return _EXPRESSIONS[type].format(m=meta, f=name)


def names(field_id: int) -> tuple[str, str]:
    """The indexes of a field: by directory and value, by value."""
    return f"field_{field_id}_dir", f"field_{field_id}"


class IndexStore:
    async def begin(self, connection: Connection, field_id: int) -> bool:
        """Be the only one at this field's indexes until the connection ends; False when somebody is. Never waits: a
        session that waits for a lock would be waited for by CREATE INDEX CONCURRENTLY."""
        return await connection.fetchval("select pg_try_advisory_lock($1, $2)", _LOCK, field_id)

    _BUSY = """select objid::int from pg_locks where locktype = 'advisory' and granted and classid = $1::int::oid
        and database = (select oid from pg_database where datname = current_database())"""

    async def busy(self, connection: Connection) -> set[int]:
        """The ids of the fields whose indexes somebody is at now."""
        return {r[0] for r in await connection.fetch(self._BUSY, _LOCK)}

    _PROGRESS = """select c.relname as name, p.phase,
            coalesce(p.blocks_done::float8 / nullif(p.blocks_total, 0), p.tuples_done::float8 / nullif(p.tuples_total, 0), 0) as part
        from pg_stat_progress_create_index p join pg_class c on c.oid = p.index_relid
        where p.datname = current_database() and c.relname like 'field\\_%'"""

    async def progress(self, connection: Connection) -> Rows:
        """(index name, phase, part done of this phase) of all that is being built."""
        return await connection.fetch(self._PROGRESS)

    _FOUND = """select c.relname as name, i.indisvalid and i.indisready as valid from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = 'file'::regclass and c.relname ~ '^field_[0-9]+(_dir)?$'"""

    async def found(self, connection: Connection) -> dict[str, bool]:
        """{name: is it valid} of the indexes of all fields."""
        return {r["name"]: r["valid"] for r in await connection.fetch(self._FOUND)}

    async def create(self, connection: Connection, index: str, columns: str, name: str) -> None:
        statement = f"create index concurrently if not exists {index} on file({columns}) where meta ? '{name}'"
        await connection.execute(statement)

    async def build(self, connection: Connection, field_id: int, name: str, type: str) -> None:
        """Make what is missing of a field's indexes. Safe to repeat, invalid leftovers must be dropped before."""
        by_directory, by_value = names(field_id)
        value = f"({expression(name, type)})"
        await self.create(connection, by_directory, f"dir_id, {value}", name)
        await self.create(connection, by_value, value, name)
        await connection.execute("analyze file")  # or the planner knows nothing of the values

    async def drop(self, connection: Connection, index: str) -> None:
        await connection.execute(f"drop index concurrently if exists {index}")
