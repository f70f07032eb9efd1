"""SQL of declared fields and open trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

_COLUMNS = """id, vo, name, type, unit, description, allowed, pattern, minimum, maximum, required_below, index_state, index_error, index_at,
 on_files, on_dirs, ctime, mtime"""


class FieldsStore:
    _ALL = f"""select (select epoch from field_epoch) as epoch,
        (select coalesce(jsonb_agg(to_jsonb(f) order by f.vo, f.name), '[]') from (select {_COLUMNS} from field) f) as fields,
        (select coalesce(jsonb_agg(path order by path), '[]') from open_tree) as trees"""

    async def all(self, connection: Connection) -> asyncpg.Record:
        """(epoch, fields, open trees) of one snapshot."""
        row = await connection.fetchrow(self._ALL)
        assert row is not None
        return row

    async def epoch(self, connection: Connection) -> int:
        return await connection.fetchval("select epoch from field_epoch")

    async def bump(self, connection: Connection) -> None:
        """Tell everybody that what they remember of fields holds no more. With every change."""
        await connection.execute("update field_epoch set epoch = epoch + 1")

    _ADD = """insert into field(vo, name, type, unit, description, allowed, pattern, minimum, maximum, required_below,
            on_files, on_dirs, user_id, ctime, mtime)
        select x ->> 'vo', x ->> 'name', x ->> 'type', x ->> 'unit', x ->> 'description', nullif(x -> 'allowed', '[]'), x ->> 'pattern',
            nullif(x -> 'minimum', 'null'), nullif(x -> 'maximum', 'null'), array(select jsonb_array_elements_text(x -> 'required_below')),
            (x ->> 'on_files')::bool, (x ->> 'on_dirs')::bool, $2, $3, $3
          from unnest($1::jsonb[]) x order by 1, 2
        on conflict on constraint field_vo_name_key do nothing returning vo, name"""

    async def add(
        self, connection: Connection, fields: Sequence[dict[str, Any]], user: int, at: int
    ) -> set[tuple[str, str]]:
        """The (VO, name) of those added: the others are there already."""
        return {(r[0], r[1]) for r in await connection.fetch(self._ADD, fields, user, at)}

    _LOCK = f"select {_COLUMNS} from field where vo = $1 and name = $2 for update"

    async def lock(self, connection: Connection, vo: str, name: str) -> dict[str, Any] | None:
        row = await connection.fetchrow(self._LOCK, vo, name)
        return None if row is None else dict(row)

    _CHANGE = """update field set name = $2, type = $3, unit = $4, description = $5, allowed = nullif($6::jsonb, '[]'), pattern = $7,
        minimum = nullif($8::jsonb, 'null'), maximum = nullif($9::jsonb, 'null'), required_below = $10, mtime = $11 where id = $1"""

    async def change(self, connection: Connection, field: dict[str, Any], at: int) -> None:
        """Write what may be changed of a field."""
        parts = (
            "id",
            "name",
            "type",
            "unit",
            "description",
            "allowed",
            "pattern",
            "minimum",
            "maximum",
            "required_below",
        )
        await connection.execute(self._CHANGE, *(field[p] for p in parts), at)

    async def remove(self, connection: Connection, field_id: int) -> None:
        await connection.execute("delete from field where id = $1", field_id)

    _LEARN = "update field set {0} = true where vo = $1 and name = any($2::text[]) and not {0}"

    async def learn(self, connection: Connection, vo: str, names: Sequence[str], *, directories: bool) -> bool:
        """Note that fields have values there; False when that was known."""
        statement = self._LEARN.format("on_dirs" if directories else "on_files")
        return await connection.execute(statement, vo, names) != "UPDATE 0"

    async def set_use(self, connection: Connection, field_id: int, on_files: bool, on_dirs: bool) -> None:
        """Write down where there are values, with the structure lock of the VO held exclusively."""
        await connection.execute(
            "update field set on_files = $2, on_dirs = $3 where id = $1", field_id, on_files, on_dirs
        )

    # ── the state of indexes ─────────────────────────────────────────────────────────────────────────────────────────

    _STATE = """update field set index_state = $2, index_error = $3, index_at = $5
        where id = $1 and ($4::text is null or index_state = $4)"""

    async def set_index(
        self,
        connection: Connection,
        field_id: int,
        state: str,
        at: int,
        error: str | None = None,
        was: str | None = None,
    ) -> bool:
        """Change the state of a field's index, if it `was` so; False when it was not, or is no more."""
        return await connection.execute(self._STATE, field_id, state, error, was, at) != "UPDATE 0"

    async def wanted(self, connection: Connection, field_id: int) -> tuple[str, str, str] | None:
        """(name, type, state of the index) now; None when the field is no more."""
        row = await connection.fetchrow("select name, type, index_state from field where id = $1", field_id)
        return None if row is None else (row[0], row[1], row[2])

    async def indexed(self, connection: Connection) -> set[int]:
        """The ids of the fields that have an index, or will have."""
        statement = "select id from field where index_state in ('building', 'ready', 'failed')"
        return {r[0] for r in await connection.fetch(statement)}

    async def unfinished(self, connection: Connection) -> set[int]:
        """The ids of the fields whose index should be being built."""
        return {r[0] for r in await connection.fetch("select id from field where index_state = 'building'")}

    # ── open trees ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def open_tree(self, connection: Connection, path: str, user: int, at: int) -> bool:
        statement = "insert into open_tree(path, user_id, ctime) values ($1, $2, $3) on conflict (path) do nothing"
        return await connection.execute(statement, path, user, at) == "INSERT 0 1"

    async def close_tree(self, connection: Connection, path: str) -> bool:
        return await connection.execute("delete from open_tree where path = $1", path) == "DELETE 1"

    async def notify(self, connection: Connection) -> None:
        """Tell all processes, where no `Transaction` does."""
        await connection.execute("select pg_notify('lading', 'fields')")
