"""The history of our database: numbered SQL files beside this module, each applied once and never edited after."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lading.model.errors import Unavailable

if TYPE_CHECKING:
    import asyncpg

_FOLDER = Path(__file__).parent
_LOCK = 0x6C6164696E67  # 'lading': one runner at a time, on any number of hosts
_LEDGER = """
create table if not exists schema_history(
  version int primary key, name text not null, sha256 text not null, applied timestamptz not null default now())
"""


def files() -> list[tuple[int, Path]]:
    """(version, file) of every migration, in order."""
    return sorted((int(p.name.split("_", 1)[0]), p) for p in _FOLDER.glob("[0-9]*.sql"))


async def migrate(connection: asyncpg.Connection) -> list[str]:
    """Bring the database to this program's schema; returns the names applied. Safe to repeat and to run from many
    hosts.

    Raises Unavailable, having changed nothing, when the database is newer than this program or when a file already
    applied was edited. Each file is one transaction, unless its first line is `-- no-transaction`.
    """
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_LEDGER)
        done = {r["version"]: r["sha256"] for r in await connection.fetch("select version, sha256 from schema_history")}
        known = files()
        newer = sorted(set(done) - {v for v, _ in known})
        if newer:
            raise Unavailable(f"the database has schema {newer[-1]}, newer than this program knows: upgrade lading")
        applied = []
        for version, path in known:
            text = path.read_text()
            digest = hashlib.sha256(text.encode()).hexdigest()
            if version not in done:
                await _apply(connection, version, path.name, text, digest)
                applied.append(path.name)
            elif done[version] != digest:
                raise Unavailable(f"{path.name} was edited after it was applied: restore it and add a new file")
        return applied
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def _apply(connection: asyncpg.Connection, version: int, name: str, text: str, digest: str) -> None:
    record = "insert into schema_history(version, name, sha256) values ($1, $2, $3)"
    if text.startswith("-- no-transaction"):
        await connection.execute(text)
        await connection.execute(record, version, name, digest)
        return
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(record, version, name, digest)


async def version(connection: asyncpg.Connection) -> int:
    """The schema the database has; 0 when it is empty."""
    if not await connection.fetchval("select to_regclass('schema_history') is not null"):
        return 0
    return await connection.fetchval("select coalesce(max(version), 0) from schema_history") or 0
