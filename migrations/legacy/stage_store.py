"""The staging tables of a run: a schema of its own, unlogged, filled by COPY, dropped at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping

import asyncpg
import msgspec

from .anomalies import VERDICTS
from .records import TABLES, Batch, Table

_COLLATE = {"text": ' collate "C"'}
Connection = asyncpg.Connection  # ours alone: an import holds it for its whole life
_SETTINGS = {
    "application_name": "lading import",
    "timezone": "UTC",
    "jit": "off",
    "work_mem": "128MB",
    "maintenance_work_mem": "256MB",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


async def connect(dsn: str, schema: str | None = None) -> Connection:
    """A connection for an import. With `schema` its tables are found first, the catalogue's after them."""
    connection = await asyncpg.connect(dsn, timeout=20, server_settings=_SETTINGS, statement_cache_size=0)
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda v: msgspec.json.encode(v).decode(), decoder=msgspec.json.decode
    )
    if schema is not None:
        await StageStore(connection, schema).enter()
    return connection


class StageStore:
    """Works on the schema `import_<run>`; the name is made of a number, so it is safe in SQL."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self.schema = schema

    async def enter(self) -> None:
        """Unqualified names are looked for in the staging schema first from here on."""
        await self._connection.execute(
            "select set_config('search_path', $1 || ', ' || current_setting('search_path'), false)", self.schema
        )

    async def create(self) -> None:
        """Empty tables. What an earlier try left is dropped."""
        await self.drop()
        await self._connection.execute(f"create schema {self.schema}")
        await self.enter()
        for table in TABLES:
            columns = ", ".join(f"{c.name} {c.type}" + _COLLATE.get(c.type, "") for c in table.columns)
            await self._connection.execute(
                f"create unlogged table {table.name}({columns}) with (autovacuum_enabled = off)"
            )

    _KEY = "create unique index {table}_key on {table}({key})"
    _TWICE = """with x as (delete from {table} t using (
            select ctid as row, row_number() over (partition by {key} order by ctid) as k from {table}) o
          where t.ctid = o.row and o.k > 1 returning t.*)
        insert into s_found(kind, id, code, value) select '{kind}', x.{key}, 'dup_row_id', to_jsonb(x)::text from x"""

    async def key(self, tables: Iterable[Table]) -> None:
        """All rows of these are there: an index of their ids, which are unique in a sound source.

        Of rows with one id the first stays, the others become notes with their content.
        """
        for table in tables:
            names = {"table": table.name, "key": table.columns[0].name, "kind": table.kind}
            try:
                await self._connection.execute(self._KEY.format(**names))
            except asyncpg.UniqueViolationError:
                await self._connection.execute(self._TWICE.format(**names))
                await self._connection.execute(self._KEY.format(**names))
            await self._connection.execute(f"analyze {table.name}")

    _SEAL = """analyze s_found; create unlogged table s_staged(at timestamptz); insert into s_staged values (now())"""

    async def seal(self) -> None:
        """Everything is staged and has its keys. The marker is unlogged as the rest: gone when a crash emptied the tables."""
        await self._connection.execute(self._SEAL)

    async def begin_plan(
        self, source_id: int, source: str, actions: Mapping[str, str], kinds: Mapping[str, str]
    ) -> None:
        """Drop what an earlier plan left, and say whose plan this is. `kinds`: source table by kind of record."""
        keep = {t.name for t in TABLES} | {"s_staged"}
        found = await self._connection.fetch("select tablename from pg_tables where schemaname = $1", self.schema)
        for row in found:
            if row[0] not in keep:
                await self._connection.execute(f"drop table {self.schema}.{row[0]}")
        await self._connection.execute(self._PLAN)
        await self._connection.execute("insert into s_self values ($1, $2)", source_id, source)
        rows = [(code, action, VERDICTS[action]) for code, action in actions.items()]
        await self._connection.copy_records_to_table("s_policy", records=rows, schema_name=self.schema)
        await self._connection.copy_records_to_table(
            "s_kind", records=[(k, t) for t, k in kinds.items()], schema_name=self.schema
        )
        await self._connection.execute("analyze s_self, s_policy, s_kind")

    _PLAN = """
create unlogged table s_self(source_id int, name text);
create unlogged table s_policy(code text collate "C" primary key, action text, verdict smallint);
create unlogged table s_kind(kind text collate "C" primary key, source_table text);
create unlogged table s_note with (autovacuum_enabled = off) as select * from s_found;
analyze s_note;
"""

    async def is_sealed(self) -> bool:
        """True when a complete staging is still there, whole."""
        if await self._connection.fetchval("select to_regclass($1)", f"{self.schema}.s_staged") is None:
            return False
        return bool(await self._connection.fetchval(f"select exists(select from {self.schema}.s_staged)"))

    async def copy(self, batch: Batch) -> None:
        """Append a batch. Raises asyncpg.DataError for a cell that its column can't hold."""

        async def chunks() -> AsyncIterator[bytes]:
            text = batch.copy_text()
            for at in range(0, len(text), 1 << 20):
                yield text[at : at + (1 << 20)]

        await self._connection.copy_to_table(
            batch.table.name, source=chunks(), schema_name=self.schema, columns=batch.table.names()
        )

    async def drop(self) -> None:
        await self._connection.execute(f"drop schema if exists {self.schema} cascade")

    async def drop_others(self, schemas: Iterable[str]) -> None:
        """Drop what dead runs left behind."""
        for schema in schemas:
            await self._connection.execute(f"drop schema if exists {schema} cascade")
