"""SQL over every value of one field in one VO, on directories, on files and in the trash: renaming, retyping, deleting, counting.

Runs with the VO's structure lock held exclusively. No text of a user is part of a statement: keys are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from catalog.namespace.store import path_range

if TYPE_CHECKING:
    from catalog.db import Connection

_BATCH = 2000

# What becomes of the object @ that has the key $2. Values are kept as they are where they are not of the old type
# (a directory that came from another VO).
_NUMBER = (
    "@ || jsonb_build_object($2::text, case when jsonb_typeof(@ -> $2::text) = 'number' then {} else @ -> $2::text end)"
)
_INSTANT = """timestamp '1970-01-01' + interval '1 second' * ((@ ->> $2::text)::bigint / 1000000)
    + interval '1 microsecond' * ((@ ->> $2::text)::bigint % 1000000)"""
_SECONDS = f"to_char({_INSTANT}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"
_RFC3339 = f"""to_jsonb(case when (@ ->> $2::text)::bigint % 1000000 = 0 then {_SECONDS} || 'Z'
    else to_char({_INSTANT}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || 'Z' end)"""
_DAY = "to_jsonb(to_char(date '1970-01-01' + (@ ->> $2::text)::int, 'YYYY-MM-DD'))"
_TEXT = "@ || jsonb_build_object($2::text, @ ->> $2::text)"

RENAME = "(@ - $2::text) || jsonb_build_object($3::text, @ -> $2::text)"
DELETE = "@ - $2::text"
SAME = ""
RETYPE = {
    ("int", "float"): SAME,
    ("date", "timestamp"): _NUMBER.format("to_jsonb((@ ->> $2::text)::bigint * 86400000000)"),
    ("timestamp", "string"): _NUMBER.format(_RFC3339),
    ("timestamp", "json"): _NUMBER.format(_RFC3339),
    ("date", "string"): _NUMBER.format(_DAY),
    ("date", "json"): _NUMBER.format(_DAY),
    ("int", "string"): _TEXT,
    ("float", "string"): _TEXT,
    ("bool", "string"): _TEXT,
    ("json", "string"): SAME,  # where all are strings
    ("int", "json"): SAME,
    ("float", "json"): SAME,
    ("bool", "json"): SAME,
    ("string", "json"): SAME,
}


class Scope(NamedTuple):
    """The ids of all directories of a VO, those in the trash too, and of the files that lie in the trash by themselves."""

    directories: Sequence[int]
    trashed: Sequence[int]


class RewriteStore:
    _DIRECTORIES = """select id from dir where path = $1 or (path > $2 and path < $3)
        union all select d.id from trash t
         cross join lateral (select d.id from dir d where d.path = 'T/' || t.entry_id
             or (d.path > 'T/' || t.entry_id || '/' and d.path < 'T/' || t.entry_id || '0')) d
         where t.kind = 1 and (t.path = $1 or (t.path > $2 and t.path < $3))"""
    _TRASHED = "select entry_id from trash where kind = 0 and path > $1 and path < $2"

    async def scope(self, connection: Connection, top: str) -> Scope:
        """All that is at or below the directory `top`."""
        bounds = path_range(top)
        directories = await connection.fetch(self._DIRECTORIES, top, *bounds)
        return Scope([r[0] for r in directories], [r[0] for r in await connection.fetch(self._TRASHED, *bounds)])

    _COUNT_DIRECTORIES = "select count(*) from file where id = any($1::bigint[]) and meta ? $2"
    _COUNT_FILES = "select count(*) from file where dir_id = any($1::bigint[]) and kind = 0 and meta ? $2"

    async def count(self, connection: Connection, scope: Scope, key: str, *, files: bool = True) -> tuple[int, int]:
        """(files, directories) that have the key themselves. Without `files` those are not looked at."""
        counts = [0, 0]
        for part in parts(scope.directories):
            counts[1] += await connection.fetchval(self._COUNT_DIRECTORIES, part, key)
            counts[0] += await connection.fetchval(self._COUNT_FILES, part, key) if files else 0
        if files:
            counts[0] += await connection.fetchval(self._COUNT_DIRECTORIES, scope.trashed, key)
        return counts[0], counts[1]

    _MISFIT = "select f.meta -> $2 as value from file f where f.{} = any($1::bigint[]) and f.meta ? $2 and jsonb_typeof(f.meta -> $2) <> all($3::text[]) limit 1"

    async def misfit(
        self, connection: Connection, scope: Scope, key: str, kinds: Sequence[str], *, files: bool = True
    ) -> object:
        """A stored value of the key that is none of these kinds of JSON; None when there is none."""
        for part in parts(scope.directories):
            for column in ("id", "dir_id") if files else ("id",):
                found = await connection.fetchrow(self._MISFIT.format(column), part, key, kinds)
                if found:
                    return found["value"]
        found = await connection.fetchrow(self._MISFIT.format("id"), scope.trashed, key, kinds)
        return found["value"] if found else None

    # `$3 is not null` is always true: not everything that is done has a use for a new name.
    _OWN = "update file set meta = nullif({}, '{{}}') where id = any($1::bigint[]) and meta ? $2::text and $3::text is not null"
    _EFFECTIVE = "update dir set eff = {} where id = any($1::bigint[]) and eff ? $2::text and $3::text is not null"
    _FILES = "update file set meta = nullif({}, '{{}}') where dir_id = any($1::bigint[]) and kind = 0 and meta ? $2::text and $3::text is not null"

    async def rewrite(
        self, connection: Connection, scope: Scope, how: str, key: str, new: str = "", *, files: bool = True
    ) -> None:
        """Do one of the above to every value of the key."""
        if how == SAME:
            return
        own, effective, each = (
            statement.format(how.replace("@", column))
            for statement, column in ((self._OWN, "meta"), (self._EFFECTIVE, "eff"), (self._FILES, "meta"))
        )
        for part in parts(scope.directories):
            await connection.execute(own, part, key, new)
            await connection.execute(effective, part, key, new)
            if files:
                await connection.execute(each, part, key, new)
        if files:
            await connection.execute(own, scope.trashed, key, new)


def parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[i : i + _BATCH] for i in range(0, len(ids), _BATCH)]
