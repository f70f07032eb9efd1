"""SQL of accounting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model.accounting import By
from lading.model.request import RESULTS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

_TIME = "to_char(to_timestamp(a.at / 1e6) at time zone 'UTC', '{}')"
_KEYS = {
    By.HOUR: _TIME.format("YYYY-MM-DD HH24:00"),
    By.DAY: _TIME.format("YYYY-MM-DD"),
    By.USER: "r.user_id",
    By.GROUP: "r.group_id",
    By.ACTIVITY: "r.activity",
    By.KIND: "r.kind",
    By.SOURCE: "a.source",
    By.TARGET: "a.target",
    By.WAY: "a.way",
    By.RESULT: "a.result",
}
_DONE, _FAILED, _RETRY = (RESULTS.index(result) for result in (Result.DONE, Result.FAILED, Result.RETRY))


class Filters(NamedTuple):
    """None: any. `element` is the source or the target."""

    user: int | None
    activity: str | None
    kind: str | None
    element: int | None


class AccountingStore:
    async def sums(
        self, connection: Connection, by: Sequence[By], since: int, until: int, filters: Filters, limit: int
    ) -> Sequence[asyncpg.Record]:
        """Rows of k0, k1, … (the keys), tries, done, failed, retried, bytes (of those done), micros; in order of the
        keys."""
        keys = "".join(f"{_KEYS[one]} as k{n}, " for n, one in enumerate(by))
        numbers = ", ".join(str(n + 1) for n in range(len(by)))
        grouped = f"group by {numbers} order by {numbers}" if by else ""
        statement = f"""select {keys}count(*) as tries, count(*) filter (where a.result = {_DONE}) as done,
                count(*) filter (where a.result = {_FAILED}) as failed, count(*) filter (where a.result = {_RETRY}) as retried,
                coalesce(sum(a.bytes) filter (where a.result = {_DONE}), 0) as bytes, coalesce(sum(a.micros), 0)::bigint as micros
            from attempt a join request r on r.id = a.request_id
            where a.at >= $1 and a.at < $2 and ($3::int is null or r.user_id = $3) and ($4::text is null or r.activity = $4)
                and ($5::text is null or r.kind = $5) and ($6::int is null or $6 in (a.source, a.target))
            {grouped} limit $7"""
        return await connection.fetch(statement, since, until, *filters, limit)
