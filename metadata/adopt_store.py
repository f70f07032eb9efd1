"""SQL of the values of a key that nobody declared yet: which there are, and giving them the form of a type.

Runs with the VO's structure lock held exclusively. Values are told apart by their text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .rewrite_store import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import asyncpg

    from catalog.db import Connection

    from .rewrite_store import Scope


class Place(NamedTuple):
    """Where values lie: those that are set on the rows `ids` of `file`, or on files in the directories `ids`; or what holds
    in these directories, `inherited`."""

    ids: Sequence[int]
    files: bool = False
    inherited: bool = False

    @property
    def table(self) -> str:
        return "dir" if self.inherited else "file"

    @property
    def column(self) -> str:
        return "eff" if self.inherited else "meta"

    @property
    def rows(self) -> str:
        return "t.dir_id = any($1::bigint[]) and t.kind = 0" if self.files else "t.id = any($1::bigint[])"


def places(scope: Scope, *, inherited: bool) -> Iterator[Place]:
    """All that there are, in pieces; with what is inherited, or only what is set."""
    for part in parts(scope.directories):
        yield Place(part)
        yield Place(part, files=True)
        if inherited:
            yield Place(part, inherited=True)
    yield Place(scope.trashed)


class AdoptStore:
    async def present(self, connection: Connection, place: Place, keys: Sequence[str]) -> set[str]:
        """Which of the keys have a value there."""
        statement = f"""select distinct k from file t cross join lateral jsonb_object_keys(t.meta) k
            where {place.rows} and t.meta ?| $2::text[] and k = any($2::text[])"""
        return {row[0] for row in await connection.fetch(statement, place.ids, keys)}

    async def values(self, connection: Connection, place: Place, key: str) -> Sequence[asyncpg.Record]:
        """(JSON text, how many, the id of one) of the values there."""
        statement = f"""select (t.{place.column} -> $2::text)::text as text, count(*)::int as n, min(t.id) as id
            from {place.table} t where {place.rows} and t.{place.column} ? $2::text group by 1 order by 3"""
        return await connection.fetch(statement, place.ids, key)

    async def convert(
        self, connection: Connection, place: Place, key: str, old: Sequence[str], new: Sequence[object]
    ) -> None:
        """Put values in place of those with the texts `old`."""
        statement = f"""update {place.table} t set {place.column} = t.{place.column} || jsonb_build_object($2::text, u.new)
            from unnest($3::text[], $4::jsonb[]) u(old, new)
            where {place.rows} and t.{place.column} ? $2::text and (t.{place.column} -> $2::text)::text = u.old"""
        await connection.execute(statement, place.ids, key, old, new)

    _PATHS = """select case when f.kind = 1 then own.path when d.path = '/' then '/' || f.name else d.path || '/' || f.name end
        from unnest($1::bigint[]) with ordinality u(id, o) join file f on f.id = u.id join dir d on d.id = f.dir_id
        left join dir own on own.id = f.id order by u.o"""

    async def paths(self, connection: Connection, ids: Sequence[int]) -> list[str]:
        """Where these entries are; those in the trash at `T/…`."""
        return [r[0] for r in await connection.fetch(self._PATHS, ids)]
