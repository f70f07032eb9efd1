"""SQL of objects that are written in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection


class PartsStore:
    async def find(self, connection: Connection, element: int, pfn: str) -> asyncpg.Record | None:
        statement = "select token, bytes_key, part_size, parts from parted where se_id = $1 and pfn = $2"
        return await connection.fetchrow(statement, element, pfn)

    _BEGIN = """insert into parted(se_id, pfn, token, bytes_key, part_size, touched) values ($1, $2, $3, $4, $5, $6)
        on conflict (se_id, pfn) do update set token = excluded.token, bytes_key = excluded.bytes_key,
            part_size = excluded.part_size, parts = '{}', touched = excluded.touched"""

    async def begin(
        self, connection: Connection, element: int, pfn: str, token: str, key: str, part_size: int, at: int
    ) -> None:
        """In place of what was there."""
        await connection.execute(self._BEGIN, element, pfn, token, key, part_size, at)

    _DONE = """update parted set parts = parts || jsonb_build_object($4::text, $5::text), touched = $6
        where se_id = $1 and pfn = $2 and token = $3"""

    async def done(
        self, connection: Connection, element: int, pfn: str, token: str, number: int, tag: str, at: int
    ) -> None:
        """A part is complete; of no effect when the upload is another by now."""
        await connection.execute(self._DONE, element, pfn, token, str(number), tag, at)

    _FORGET = """delete from parted p using unnest($1::int[], $2::text[], $3::text[]) u(s, f, t)
        where p.se_id = u.s and p.pfn = u.f and p.token = u.t"""

    async def forget_all(self, connection: Connection, rows: Sequence[tuple[int, str, str]]) -> None:
        """Rows of (element id, PFN, upload); those that are another upload's by now stay."""
        if rows:
            await connection.execute(self._FORGET, *(list(c) for c in zip(*rows, strict=True)))

    _OLD = "select se_id, pfn, token from parted where touched < $1 order by touched limit $2"

    async def old(self, connection: Connection, before: int, limit: int) -> Sequence[asyncpg.Record]:
        """Those on which nobody has gone on since."""
        return await connection.fetch(self._OLD, before, limit)
