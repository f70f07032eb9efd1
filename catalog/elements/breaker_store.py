"""SQL of the circuit breaker: what is out, and when it is tried next. Times are microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.db import Connection


class BreakerStore:
    _OUT = """update element set fault = $2, fault_reads = $3, fault_at = $4::bigint, next_try = $4::bigint + $5::bigint
        where id = $1 and fault is null returning id"""

    async def out(
        self, connection: Connection, element_id: int, fault: str, reads: bool, at: int, first_try: int
    ) -> bool:
        """False when it is out, or gone, already."""
        return await connection.fetchval(self._OUT, element_id, fault, reads, at, first_try) is not None

    _CLAIM = """update element set next_try = $1::bigint + least(greatest(($1 - fault_at) / 2, $2::bigint), $3::bigint)
        where fault is not null and next_try <= $1 and state <> 'off' returning id"""

    async def claim(self, connection: Connection, at: int, least: int, most: int) -> set[int]:
        """Elements that are the caller's to try now: what was due is put off, by half the time it is out."""
        return {row["id"] for row in await connection.fetch(self._CLAIM, at, least, most)}

    async def still(self, connection: Connection, element_id: int, fault: str, reads: bool) -> None:
        await connection.execute(
            "update element set fault = $2, fault_reads = $3 where id = $1 and fault is not null",
            element_id,
            fault,
            reads,
        )

    _BACK = """update element set fault = null, fault_reads = false, fault_at = null, next_try = null
        where id = $1 and fault is not null returning id"""

    async def back(self, connection: Connection, element_id: int) -> bool:
        """False when it was not out."""
        return await connection.fetchval(self._BACK, element_id) is not None
