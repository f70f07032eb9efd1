"""Statements of searches. PostgreSQL writes the lines of the answer itself, as for listings.

Two ways lead to files. *Directories first*: those that fit, in byte order of their paths, then for each the files in it, in
order of their names, through the key (dir_id, name) or a field's index by directory; the parts about files never see more than
one directory at a time. *Flat*: one statement over `file` and `dir`, sorted, for what an index on files answers by itself, for
another order, and for searches of directories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .compile_shown import line, sort_key
from .compile_standard import LFN
from .params import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from catalog.db import Connection

    from .compile_shown import Column
    from .prepared import Prepared

_JSON_LFN = f"to_json({LFN})::text"
_LFN = "case when z.path = '/' then '' else z.path end || '/' || z.name"


class Lines(NamedTuple):
    """JSON objects, one a line."""

    text: bytes
    entries: int


class Dir(NamedTuple):
    """A directory that fits, how many files it holds, and the name in it after which to go on."""

    id: int
    path: str
    files: int
    after: str = ""


class Order(NamedTuple):
    column: Column
    down: bool


class Batch(NamedTuple):
    """The matching files of one directory, in order of their names: parallel lists. `checksums` are texts as they are
    stored: 'md5:…,sha1:…'; `adler32` signed numbers."""

    dir_id: int
    path: str
    ids: list[int]
    names: list[str]
    guids: list[str | None]
    sizes: list[int | None]
    adler32: list[int | None]
    checksums: list[str | None]


class SearchStore:
    # To start a worker and have it learn the tables takes 5 ms and more, which the default (1000) puts at a fifth of that.
    _BEGIN = """select set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('parallel_setup_cost', '10000', true)"""

    async def begin(self, connection: Connection, seconds: float) -> None:
        """For the rest of this transaction: a limit of time for a statement, and plans that know the values."""
        await connection.execute(self._BEGIN, str(max(1, round(seconds * 1000))))

    async def directories(self, connection: Connection, asked: Prepared, after: str, limit: int) -> list[Dir]:
        """Directories that fit and hold files, at or after the path `after`, in byte order."""
        found: list[Dir] = []
        for low, high in asked.ranges(after):
            params = Params()
            statement = directories_statement(asked, params, low, high, limit - len(found))
            found += [Dir(*row) for row in await asked.clock.fetch(connection, statement, params.values)]
            if len(found) >= limit:
                break
        return found

    async def files(
        self, connection: Connection, asked: Prepared, dirs: Sequence[Dir], columns: Sequence[Column], limit: int | None
    ) -> Lines:
        """At most `limit` matching files of each directory (None: all of them), those of one after another."""
        params = Params()
        statement = files_statement(asked, params, dirs, columns, limit)
        return _lines(await asked.clock.row(connection, statement, params.values), columns)

    async def flat(
        self,
        connection: Connection,
        asked: Prepared,
        columns: Sequence[Column],
        order: Order | None,
        after: tuple[Any, str, str] | None,
        limit: int,
    ) -> Lines:
        """At most `limit` of all that match, in order, after (sort key, path of `d`, name)."""
        params = Params()
        statement = flat_statement(asked, params, columns, order, after, limit)
        return _lines(await asked.clock.row(connection, statement, params.values), columns)

    async def batch(self, connection: Connection, asked: Prepared, dirs: Sequence[Dir]) -> list[Batch]:
        """The matching files of whole directories; those without any are left out."""
        params = Params()
        ids, paths = params.add([d.id for d in dirs], "bigint[]"), params.add([d.path for d in dirs], "text[]")
        found = each(
            asked,
            lambda part: (
                f"""select f.id, f.name, f.guid, f.size, f.adler32, f.csum from file f
                where f.dir_id = d.id and {part.of_files(params)}"""
            ),
        )
        statement = f"""select d.id, d.path, x.* from unnest({ids}, {paths}) with ordinality u(id, path, o)
            join dir d on d.id = u.id and d.path = u.path cross join lateral (
                select array_agg(f.id order by f.name), array_agg(f.name order by f.name), array_agg(f.guid::text order by f.name),
                    array_agg(f.size order by f.name), array_agg(f.adler32 order by f.name), array_agg(f.csum order by f.name)
                from ({found}) f having count(*) > 0) x
            where {asked.sight.directory(params)} order by u.o"""
        return [Batch(*row) for row in await asked.clock.fetch(connection, statement, params.values)]

    async def count(self, connection: Connection, asked: Prepared) -> int:
        """How many match, exactly: from the counters of the directories where no file has to be looked at."""
        if asked.only_directories and not asked.directories:
            return (await self.extent(connection, asked))[1]
        params = Params()
        write = count_statement if asked.directories or asked.file_terms else guarded_count_statement
        return int((await asked.clock.row(connection, write(asked, params), params.values))[0])

    async def estimate(self, connection: Connection, asked: Prepared) -> tuple[float, str | None]:
        """(rows, the index on files) that the planner sees for the flat statement; None: it would use none."""
        params = Params()
        statement = f"explain (format json) select 1 from {_TABLES} where {asked.of_all(params)}"
        raw = (await asked.clock.row(connection, statement, params.values))[0]
        plan = (msgspec.json.decode(raw) if isinstance(raw, str | bytes) else raw)[0]["Plan"]
        return plan["Plan Rows"], _index(plan)

    async def extent(self, connection: Connection, asked: Prepared, most: int | None = None) -> tuple[int, int]:
        """(directories that fit and hold files, files in them); `most` directories are looked at."""
        params = Params()
        row = await asked.clock.row(connection, extent_statement(asked, params, most), params.values)
        return row["directories"], row["files"]


_TABLES = "file f join dir d on d.id = f.dir_id"
_DIRECTORIES = "dir d join file f on f.id = d.id"


def directories_statement(asked: Prepared, params: Params, low: str, high: str, limit: int) -> str:
    condition = f"d.path >= {params.add(low, 'text')} and d.path < {params.add(high, 'text')} and {asked.of_directories(params)}"
    found = f"select d.id, d.path, u.nfiles from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0 where {condition} and u.nfiles > 0"
    if asked.contained:  # or the limit makes the planner walk the paths in order, past all that don't fit
        return f"select * from ({found} offset 0) z order by path limit {int(limit)}"
    return f"{found} order by d.path limit {int(limit)}"


def files_statement(
    asked: Prepared, params: Params, dirs: Sequence[Dir], columns: Sequence[Column], limit: int | None
) -> str:
    ids, paths = params.add([d.id for d in dirs], "bigint[]"), params.add([d.path for d in dirs], "text[]")
    after = params.add([d.after for d in dirs], "text[]")
    heads = [d.path if d.path == "/" else d.path + "/" for d in dirs]
    if columns:
        heads = [msgspec.json.encode(head).decode()[:-1] for head in heads]
        written = line("u.head || substr(to_json(f.name)::text, 2)", columns, asked.names, params, directories=False)
        files, lines = f"f.name, {written} as line", "string_agg(z.line, E'\\n' order by z.name)"
    else:
        heads = ["\n" + head for head in heads]
        files, lines = "f.name", "substr(u.head, 2) || string_agg(z.name, u.head order by z.name)"
    some = "" if limit is None else f" order by name limit {int(limit)}"
    found = each(
        asked,
        lambda part: (
            f"select {files} from file f where f.dir_id = d.id and f.name > u.after and {part.of_files(params)}{some}"
        ),
    )
    return f"""select convert_to(string_agg(y.lines, E'\\n' order by y.o), 'UTF8') as lines, coalesce(sum(y.entries), 0)::bigint as entries
        from (select u.o, x.lines, x.entries from unnest({ids}, {paths}, {params.add(heads, "text[]")}, {after}) with ordinality u(id, path, head, after, o)
            join dir d on d.id = u.id and d.path = u.path cross join lateral (
                select {lines} as lines, count(*) as entries from (select * from ({found}) w{some}) z) x
            where x.entries > 0 and {asked.sight.directory(params)}) y"""


def _lines(row: asyncpg.Record, columns: Sequence[Column]) -> Lines:
    """Where only the LFN is told, PostgreSQL sends bare LFNs, and all become JSON at once: lines that it writes cost as much
    again as finding the files."""
    text = row["lines"] or b""
    if text and not columns:  # no name holds a control character: newlines are ours, and JSON escapes no more than this
        text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        text = b'{"lfn":"' + text.replace(b"\n", b'"}\n{"lfn":"') + b'"}'
    return Lines(text, row["entries"])


def flat_statement(
    asked: Prepared,
    params: Params,
    columns: Sequence[Column],
    order: Order | None,
    after: tuple[Any, str, str] | None,
    limit: int,
) -> str:
    found, by = ordered(asked, params, columns, order, after, limit, bare=not columns)
    shown = "z.line" if columns else "z.path" if asked.directories else _LFN
    return f"""select convert_to(string_agg({shown}, E'\\n' order by {by}), 'UTF8') as lines, count(*) as entries
        from (select * from ({found}) w order by {by} limit {int(limit)}) z"""


def ordered(
    asked: Prepared,
    params: Params,
    columns: Sequence[Column],
    order: Order | None,
    after: tuple[Any, str, str] | None,
    limit: int | None = None,
    *,
    bare: bool = False,
) -> tuple[str, str]:
    """(SQL of rows with a `line`, what to sort them by). With `limit` each part of the question has its first ones.
    `bare`: path and name alone, and no line."""
    directories = asked.directories
    tie = "''" if directories else "f.name"
    key, way, sorted_by = "null", "", "path, name"
    if order is not None:
        sql, type_ = sort_key(order.column, asked.names, params, directories)
        key, way = sql, " desc" if order.down else ""
        sorted_by = f"k{way} nulls last, path, name"
    told = "null"
    if not bare:
        told = line("to_json(d.path)::text" if directories else _JSON_LFN, columns, asked.names, params, directories)
    beyond = "true"
    if after is not None:
        value, path, name = after
        here = f"(d.path > {params.add(path, 'text')} or (d.path = {params.add(path, 'text')} and {tie} > {params.add(name, 'text')}))"
        if order is None:
            beyond = here
        elif value is None:
            beyond = f"({key} is null and {here})"
        else:
            given = params.add(value, type_)
            beyond = f"({key} {'<' if order.down else '>'} {given} or ({key} = {given} and {here}) or {key} is null)"
    start = after[1] if after is not None and order is None else ""
    first = "" if limit is None else f" order by {sorted_by} limit {int(limit)}"
    found = each(
        asked,
        lambda part: (
            f"""select {key} as k, d.path as path, {tie} as name, {told} as line from {_DIRECTORIES if directories else _TABLES}
            where {part.of_all(params, start)} and {beyond}{first}"""
        ),
    )
    return found, sorted_by


def each(asked: Prepared, write: Callable[[Prepared], str]) -> str:
    """SQL of the rows that `write` selects, of all parts of the question."""
    return " union all ".join(f"({write(part)})" for part in asked.parts)


def extent_statement(asked: Prepared, params: Params, most: int | None = None) -> str:
    places = [
        f"d.path >= {params.add(low, 'text')} and d.path < {params.add(high, 'text')}" for low, high in asked.ranges()
    ]
    found = f"""select u.nfiles from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0
        where ({" or ".join(f"({p})" for p in places) or "false"}) and {asked.of_directories(params)} and u.nfiles > 0"""
    limit = "" if most is None else f" limit {int(most)}"
    return (
        f"""select count(*)::bigint as directories, coalesce(sum(nfiles), 0)::bigint as files from ({found}{limit}) s"""
    )


def count_statement(asked: Prepared, params: Params) -> str:
    tables = _DIRECTORIES if asked.directories else _TABLES
    numbers = [f"(select count(*) from {tables} where {part.of_all(params)})" for part in asked.parts]
    return f"select {' + '.join(numbers)}"


def guarded_count_statement(asked: Prepared, params: Params) -> str:
    """All files of the directories, less those that the asker may not read."""
    places = [f"(d.path >= {params.add(a, 'text')} and d.path < {params.add(b, 'text')})" for a, b in asked.ranges()]
    return f"""select coalesce(sum(u.nfiles - {unreadable(asked, params)}), 0)::bigint
        from dir d join dir_usage u on u.dir_id = d.id and u.se_id = 0
        where ({" or ".join(places) or "false"}) and {asked.of_directories(params)} and u.nfiles > 0"""


def unreadable(asked: Prepared, params: Params) -> str:
    """SQL: how many files of `d` the asker may not read. Who is not kept out by the index `file_guarded` is let in."""
    top = asked.where.top if asked.where else "/"
    if asked.sight.free_of_checks(top):
        return "0"
    return f"""(select count(*) from file f where f.dir_id = d.id and f.kind = 0
        and (f.acl_id is not null or f.mode & 292 <> 292) and ({asked.sight.file(params, top)}) is not true)"""


def _index(plan: dict[str, Any]) -> str | None:
    name = str(plan.get("Index Name", ""))
    if name == "file_guid_key" or name.startswith("field_"):
        return name
    return next((found for part in plan.get("Plans", ()) if (found := _index(part))), None)
