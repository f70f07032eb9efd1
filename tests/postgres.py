"""A real PostgreSQL for the tests: one server a session, and a fresh migrated database for every test that asks (20 ms)."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from catalog.db import Database
from catalog.embedded import EmbeddedPostgres
from migrations.schema.runner import migrate

TEMPLATE = "lading_template"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
}


@dataclass
class Postgres:
    """A server; `dsn` is an administrator's."""

    dsn: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _has_template: bool = False

    def at(self, database: str) -> str:
        """The DSN of another database of this server."""
        head, _, tail = self.dsn.partition("?")
        return f"{head.rpartition('/')[0]}/{database}{'?' if tail else ''}{tail}"

    async def create(self) -> str:
        """A new database with the whole schema; returns its DSN."""
        if not self._has_template:
            await self._make_template()
        name = f"lading_{os.getpid()}_{next(self._numbers)}"
        connection = await asyncpg.connect(self.dsn)
        try:
            strategy = "strategy file_copy" if connection.get_server_version().major >= 15 else ""
            await connection.execute(f"create database {name} template {TEMPLATE} {strategy}")
        finally:
            await connection.close()
        return self.at(name)

    async def empty(self) -> str:
        """A new database without any schema; returns its DSN."""
        name = f"lading_{os.getpid()}_{next(self._numbers)}"
        await self._administer(f"create database {name} template template0 encoding 'UTF8'")
        return self.at(name)

    async def drop(self, dsn: str) -> None:
        """Take a database away, whoever is still connected."""
        await self._administer(f"drop database if exists {dsn.partition('?')[0].rpartition('/')[2]} with (force)")

    async def _make_template(self) -> None:
        await self._administer(f"drop database if exists {TEMPLATE} with (force)")
        await self._administer(f"create database {TEMPLATE} template template0 encoding 'UTF8'")
        connection = await asyncpg.connect(self.at(TEMPLATE))
        try:
            await migrate(connection)
        finally:
            await connection.close()
        self._has_template = True

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _folder() -> Path:
    """A new folder in memory where there is plenty: a new database then takes 20 ms, and 100 on a disk."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    parent = memory if roomy else Path(tempfile.gettempdir())
    for left in parent.glob("lading-test-*-*") if Path("/proc").is_dir() else ():
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"lading-test-{os.getpid()}-", dir=parent))
    folder.chmod(0o755)  # as root the server runs as another user, who must get in
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server: our embedded one, or the one LADING_TEST_DATABASE_URL names (any PostgreSQL of 14 to 18)."""
    given = os.environ.get("LADING_TEST_DATABASE_URL")
    if given:
        yield Postgres(given)
        return
    folder = _folder()
    server = EmbeddedPostgres(folder / "pg", SETTINGS)
    try:
        server.start()
        yield Postgres(server.dsn)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    """The DSN of a fresh migrated database of this test's own."""
    made = await postgres.create()
    yield made
    await postgres.drop(made)


@pytest_asyncio.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """An opened `catalog.db.Database` on this test's own database."""
    opened = Database(dsn, size=8)
    await opened.open()
    yield opened
    await opened.close()
