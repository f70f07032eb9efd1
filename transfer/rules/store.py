"""SQL of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metadata.params import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection
    from metadata.prepared import Prepared

    Rows = Sequence[asyncpg.Record]

_RULE = """select r.*, q.state, q.activity, q.group_id, q.priority from rule r join request q on q.id = r.request_id"""


class RulesStore:
    # ── made and shown ───────────────────────────────────────────────────────────────────────────────────────────────

    _ADD = """with q as (insert into request(kind, user_id, selection, target, options, activity, group_id, priority, created, state, planned)
            values ('replicate', $1, $3, $10, $11, $12, $13, $14, $9, 'running', true) returning id),
        r as (insert into rule(user_id, scopes, selection, top, wants, until, grace, note, created, request_id)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, id from q returning id)
        select r.id as rule, q.id as request from r, q"""

    async def add(self, connection: Connection, *values: Any) -> int:
        """Its number. Values: user, scopes, selection, top, wants, until, grace, note, at; of its request: target,
        options, activity, group, priority."""
        row = await connection.fetchrow(self._ADD, *values)
        assert row is not None
        await connection.execute("update request set rule_id = $2 where id = $1", row["request"], row["rule"])
        return int(row["rule"])

    async def every(self, connection: Connection, at: int) -> Rows:
        """All that are in force at a moment."""
        return await connection.fetch(f"{_RULE} where r.until is null or r.until > $1 order by r.id", at)

    async def of(self, connection: Connection, user: int | None) -> Rows:
        return await connection.fetch(f"{_RULE} where $1::int is null or r.user_id = $1 order by r.id", user)

    async def number_of(self, connection: Connection, user: int) -> int:
        return await connection.fetchval("select count(*) from rule where user_id = $1", user)

    async def find(self, connection: Connection, rule: int, *, lock: bool = False) -> asyncpg.Record | None:
        return await connection.fetchrow(f"{_RULE} where r.id = $1{' for update of r, q' if lock else ''}", rule)

    # A look that is under way begins anew: what it has passed may be what somebody wants looked at.
    _CHANGE = """update rule set until = $2, grace = $3, note = $4, due = case when $5 then 0 else due end,
            lease = case when $5 then 0 else lease end, plan = case when $5 then '{}' else plan end,
            counting = case when $5 then '{}' else counting end where id = $1"""

    async def change(
        self, connection: Connection, rule: int, until: int | None, grace: int, note: str, *, check: bool
    ) -> None:
        await connection.execute(self._CHANGE, rule, until, grace, note, check)

    async def remove(self, connection: Connection, rule: int) -> None:
        await connection.execute("delete from rule where id = $1", rule)

    _OVER = "select id, request_id, user_id from rule where until <= $1 order by until limit 1 for update skip locked"

    async def over(self, connection: Connection, at: int) -> asyncpg.Record | None:
        """A rule whose time is over, locked."""
        return await connection.fetchrow(self._OVER, at)

    # ── files to look at ─────────────────────────────────────────────────────────────────────────────────────────────

    _TAKE = """delete from rule_file where id in
        (select id from rule_file where due <= $1 order by due, id limit $2 for update skip locked) returning file_id"""

    _WAITING = """select exists(select from rule_file where due <= $1) as files, exists(select from rule where until <= $1) as over"""

    async def waiting(self, connection: Connection, at: int) -> asyncpg.Record:
        """Are there files that are due, and rules whose time is over?"""
        row = await connection.fetchrow(self._WAITING, at)
        assert row is not None
        return row

    async def take(self, connection: Connection, at: int, limit: int) -> list[int]:
        """Files that are due, taken off the list when the transaction ends; each once."""
        return list({r["file_id"]: None for r in await connection.fetch(self._TAKE, at, limit)})

    async def put(self, connection: Connection, files: Sequence[int], due: Sequence[int]) -> None:
        if files:
            statement = "insert into rule_file(file_id, due) select * from unnest($1::bigint[], $2::bigint[])"
            await connection.execute(statement, files, due)

    _COLUMNS = "f.id, d.path, d.access_id, f.name, f.size, f.owner_id, f.group_id, f.mode, f.acl_id, f.se, f.rstate"
    _FILES = (
        f"select {_COLUMNS} from file f join dir d on d.id = f.dir_id where f.id = any($1::bigint[]) and f.kind = 0"
    )

    async def files(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """Files, with their directory's path: no LFN for what is in the trash."""
        return await connection.fetch(self._FILES, ids)

    _BELOW = f"""select {_COLUMNS} from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0 and u.nfiles > 0
        cross join lateral (select * from file where dir_id = d.id and kind = 0 and (d.path > $3 or name > $4) order by name limit $5) f
        where d.path >= $1 and d.path < $2 and d.path >= $3 order by d.path, f.name limit $5"""

    async def below(self, connection: Connection, top: str, path: str, name: str, limit: int) -> Rows:
        """Files below a directory (or in it), by directory and name, after one of them; as `files` has them."""
        if top == "/":
            return await connection.fetch(self._BELOW, "/", "0", path, name, limit)
        found: list[asyncpg.Record] = []
        for low, high in ((top, top + "\x01"), (top + "/", top + "0")):
            if path < high and len(found) < limit:
                found += await connection.fetch(self._BELOW, low, high, path, name, limit - len(found))
        return found

    async def members(self, connection: Connection, asked: Prepared, ids: Sequence[int]) -> set[int]:
        """Which of the files a question is answered by, whoever asks."""
        params = Params()
        wanted = params.add(list(ids), "bigint[]")
        statement = f"select f.id from file f join dir d on d.id = f.dir_id where f.id = any({wanted}) and {asked.membership(params)}"
        return {r["id"] for r in await connection.fetch(statement, *params.values)}

    # ── what is under way, what failed ───────────────────────────────────────────────────────────────────────────────

    _COMING = """select q.file_id, l.target from queued q join lane l on l.id = abs(q.lane_id)
            where q.request_id = any($1::bigint[]) and q.file_id = any($2::bigint[])
        union select file_id, target from active where request_id = any($1::bigint[]) and file_id = any($2::bigint[])"""

    async def coming(self, connection: Connection, requests: Sequence[int], files: Sequence[int]) -> Rows:
        """(file id, target) of the copies on their way."""
        return await connection.fetch(self._COMING, requests, files)

    _FAILED = """select distinct on (file_id, target) file_id, target, error from failure
        where request_id = any($1::bigint[]) and file_id = any($2::bigint[]) and at > $3 and target is not null
        order by file_id, target, at desc"""

    async def failed(self, connection: Connection, requests: Sequence[int], files: Sequence[int], since: int) -> Rows:
        return await connection.fetch(self._FAILED, requests, files, since)

    async def forget_failures(self, connection: Connection, request: int, at: int) -> None:
        """Have what failed looked at and tried again."""
        statement = "insert into rule_file(file_id, due) select distinct file_id, $2::bigint from failure where request_id = $1 and file_id is not null"
        await connection.execute(statement, request, at)
        await connection.execute("update failure set at = 0 where request_id = $1 and at > 0", request)

    # What is ordered again has failed no more: the request's list of failures holds what is wrong now.
    _ORDER = """with gone as (delete from failure x using unnest($2::bigint[], $3::int[]) u(f, t)
            where x.request_id = $1 and x.file_id = u.f and x.target = u.t returning x.bytes)
        update request set files = files + cardinality($2) - (select count(*) from gone),
            bytes = bytes + $4 - (select coalesce(sum(bytes), 0) from gone), failed = failed - (select count(*) from gone) where id = $1"""

    async def order(self, connection: Connection, request: int, transfers: Sequence[tuple[int, int, int, int]]) -> None:
        """Count new transfers (source, target, file id, bytes) of a rule's request."""
        files, targets = [t[2] for t in transfers], [t[1] for t in transfers]
        await connection.execute(self._ORDER, request, files, targets, sum(t[3] for t in transfers))

    # ── copies too many ──────────────────────────────────────────────────────────────────────────────────────────────

    async def surplus(self, connection: Connection, files: Sequence[int]) -> Rows:
        return await connection.fetch(
            "select file_id, se_id, since from surplus where file_id = any($1::bigint[])", files
        )

    _NOTE = """insert into surplus(file_id, se_id, since) select f, s, $3 from unnest($1::bigint[], $2::int[]) u(f, s)
        on conflict do nothing"""

    async def note_surplus(self, connection: Connection, copies: Sequence[tuple[int, int]], at: int) -> None:
        if copies:
            await connection.execute(self._NOTE, [c[0] for c in copies], [c[1] for c in copies], at)

    _FORGET = (
        "delete from surplus s using unnest($1::bigint[], $2::int[]) u(f, e) where s.file_id = u.f and s.se_id = u.e"
    )

    async def forget_surplus(self, connection: Connection, copies: Sequence[tuple[int, int]]) -> None:
        if copies:
            await connection.execute(self._FORGET, [c[0] for c in copies], [c[1] for c in copies])

    # ── looking at all files of a rule ───────────────────────────────────────────────────────────────────────────────

    _CLAIM = """update rule set lease = $2 where id = (select id from rule where due <= $1 and lease < $1
        and (until is null or until > $1) order by lease, id limit 1 for update skip locked) returning *"""

    async def claim(self, connection: Connection, at: int, until: int) -> asyncpg.Record | None:
        """A rule to look at a piece of, the one first that waited longest since its last piece."""
        return await connection.fetchrow(self._CLAIM, at, until)

    _PROGRESS = """update rule set plan = $3, counting = case when $6 then '{}' else $4::jsonb end, lease = $5, error = null,
            due = case when not $6 then due when checked is null then $5::bigint + $7::bigint else $5::bigint + $8::bigint end,
            checked = case when $6 then $5 else checked end, counts = case when $6 then $4::jsonb else counts end
        where id = $1 and lease = $2"""

    async def progress(
        self,
        connection: Connection,
        rule: int,
        claimed: int,
        plan: Any,
        counting: Any,
        at: int,
        *,
        whole: bool,
        soon: int,
        later: int,
    ) -> bool:
        """`whole`: that was all; it is looked at again `soon` after the first time, else `later`. False: it is not the
        keeper's any more who `claimed` it."""
        values = rule, claimed, plan, counting, at, whole, soon, later
        return await connection.execute(self._PROGRESS, *values) == "UPDATE 1"

    async def stand_still(self, connection: Connection, rule: int, why: str, due: int) -> None:
        statement = "update rule set error = $2, due = $3, plan = '{}', counting = '{}' where id = $1"
        await connection.execute(statement, rule, why, due)
