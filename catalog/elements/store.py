"""SQL of the registry of storage elements: tens of rows, read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

FIELDS = [
    "name",
    "type",
    "options",
    "secrets",
    "site",
    "country",
    "medium",
    "state",
    "can_read",
    "can_write",
    "can_delete",
    "layout",
    "prefix",
    "strip",
    "cost",
    "tags",
    "max_bytes",
    "max_connections",
    "max_rate",
    "scrub_days",
    "description",
]


class ElementsStore:
    async def all(self, connection: Connection) -> Sequence[asyncpg.Record]:
        return await connection.fetch("select * from element order by id")

    _USAGE = "select se_id, sum(nfiles)::bigint as replicas, least(sum(bytes), 9223372036854775807)::bigint as bytes from dir_usage where se_id <> 0 group by 1"

    async def usage(self, connection: Connection) -> dict[int, tuple[int, int]]:
        """element id -> (replicas, bytes)."""
        return {r["se_id"]: (r["replicas"], r["bytes"]) for r in await connection.fetch(self._USAGE)}

    _ONE_USAGE = "select coalesce(sum(nfiles), 0)::bigint as n, least(coalesce(sum(bytes), 0), 9223372036854775807)::bigint as bytes from dir_usage where se_id = $1"

    async def usage_of(self, connection: Connection, element_id: int) -> tuple[int, int]:
        row = await connection.fetchrow(self._ONE_USAGE, element_id)
        assert row is not None
        return row["n"], row["bytes"]

    async def scrub(self, connection: Connection, element_id: int) -> asyncpg.Record | None:
        """How far the round is that reads the element's copies back."""
        return await connection.fetchrow("select * from scrub where se_id = $1", element_id)

    _ADD = f"""insert into element({", ".join(FIELDS)}, placeholder, ctime, mtime)
        values ({", ".join(f"${i + 1}" for i in range(len(FIELDS)))}, ${len(FIELDS) + 1}, ${len(FIELDS) + 2}, ${len(FIELDS) + 2})
        on conflict on constraint element_name_key do nothing returning id"""

    async def add(
        self, connection: Connection, values: dict[str, Any], at: int, *, placeholder: bool = False
    ) -> int | None:
        """The new id, or None when the name is taken."""
        return await connection.fetchval(self._ADD, *(values[f] for f in FIELDS), placeholder, at)

    _SET = f"""update element set {", ".join(f"{f} = ${i + 2}" for i, f in enumerate(FIELDS[1:]))}, placeholder = false,
        fault = null, fault_reads = false, fault_at = null, next_try = null, mtime = ${len(FIELDS) + 1} where id = $1"""

    async def set(self, connection: Connection, element_id: int, values: dict[str, Any], at: int) -> None:
        await connection.execute(self._SET, element_id, *(values[f] for f in FIELDS[1:]), at)

    async def lock(self, connection: Connection, name: str) -> asyncpg.Record | None:
        return await connection.fetchrow("select * from element where name = $1 for update", name)

    _BUSY = """select exists(select from dir_usage where se_id = $1 and nfiles > 0) or exists(select from upload where se_id = $1)
        or exists(select from deletion where se_id = $1)"""

    async def busy(self, connection: Connection, element_id: int) -> bool:
        """True while a replica, an upload or an open deletion names the element."""
        return bool(await connection.fetchval(self._BUSY, element_id))

    async def remove(self, connection: Connection, element_id: int) -> None:
        await connection.execute("delete from dir_usage where se_id = $1", element_id)
        await connection.execute("delete from scrub where se_id = $1", element_id)
        await connection.execute("delete from element where id = $1", element_id)
