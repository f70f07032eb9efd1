"""The data folder of a server: who holds it, what runs in it, where its database is."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from catalog.db import faults
from catalog.embedded import EmbeddedPostgres, running_dsn
from catalog.pgaccount import make
from catalog.pgbinaries import SUPPORTED
from lading.model.errors import Conflict, InvalidRequest, Unavailable
from migrations.schema import runner

from .config import make_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class State(msgspec.Struct):
    """What a running `lading-server run` says of itself, in `server.json`."""

    pid: int
    url: str
    dsn: str


class Place:
    """`DIR`: postgres/ (the embedded database), secret.key, admin.token, run.lock, server.json."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.postgres = self.folder / "postgres"
        self.admin_token = self.folder / "admin.token"
        self._state = self.folder / "server.json"
        self._lock = self.folder / "run.lock"

    def make(self) -> None:
        """Make the folder. Raises InvalidRequest when it can't be."""
        try:
            make(self.folder)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "it is not writable")
        except OSError as error:
            raise InvalidRequest(f"can't use the data folder {self.folder}: {error.strerror}") from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the one that runs here, until the end of the block or of the process. Raises Conflict when another
        does."""
        with open(self._lock, "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                state = self._read()
                who = f"process {state.pid} at {state.url}" if state else "another lading-server"
                raise Conflict(f"{self.folder} is in use by {who}: stop it, or choose another --data") from None
            self._state.unlink(missing_ok=True)  # of a run that was killed
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)

    def announce(self, url: str, dsn: str) -> None:
        """Tell other commands what runs here. The DSN may hold a password, so only the owner reads it."""
        make_private(self._state, msgspec.json.encode(State(os.getpid(), url, dsn)).decode(), replace=True)

    def state(self) -> State | None:
        """What runs here now; None when nothing does."""
        try:
            with open(self._lock) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return self._read()
        except OSError:
            pass
        return None

    def dsn(self) -> str | None:
        """The database of what runs here now, a server or an import; None when nothing does."""
        state = self.state()
        return state.dsn if state else running_dsn(self.postgres)

    def _read(self) -> State | None:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None


@contextlib.contextmanager
def database(data: str | None, url: str | None) -> Iterator[str]:
    """The DSN that a command works on, usable until the end of the block.

    `url` when given; else that of the server running on the folder `data`; else the folder's embedded PostgreSQL,
    started for as long as the block lasts. Raises InvalidRequest when neither is given, Unavailable when PostgreSQL
    can't start. Blocks while PostgreSQL starts: call it outside the event loop.
    """
    if url:
        yield url
        return
    if not data:
        raise InvalidRequest("which database? Give --data DIR, or --database-url DSN")
    place = Place(data)
    state = place.state()
    if state:
        yield state.dsn
        return
    place.make()
    with EmbeddedPostgres(place.postgres) as postgres:
        yield postgres.dsn


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    try:
        async with faults():
            try:
                connection = await asyncpg.connect(dsn, timeout=20)
            except ValueError as error:  # asyncpg says what is wrong and repeats no password
                raise InvalidRequest(f"the database URL is none: {error}") from None
            try:
                yield connection
            finally:
                await connection.close()
    except asyncpg.PostgresError as error:  # a wrong password, no such database
        raise Unavailable(f"the database refuses: {error}") from error


async def migrate(dsn: str) -> list[str]:
    """Bring a database to this program's schema; the names of the files applied. Raises Unavailable."""
    async with _connected(dsn) as connection:
        return await runner.migrate(connection)


@dataclass(frozen=True, slots=True)
class Found:
    """What a database is."""

    server: str
    major: int
    encoding: str
    schema: int
    wanted: int

    def faults(self) -> list[str]:
        """Why servers can't run on it; nothing when they can."""
        out = []
        if self.major not in SUPPORTED:
            out.append(f"it is PostgreSQL {self.server}; lading needs {SUPPORTED[0]} to {SUPPORTED[-1]}")
        if self.encoding.upper() != "UTF8":
            out.append(
                f"its encoding is {self.encoding}; make a database with 'createdb --encoding=UTF8 --template=template0'"
            )
        if self.schema < self.wanted:
            out.append(f"it has schema {self.schema}, this program needs {self.wanted}: run 'lading-server db migrate'")
        if self.schema > self.wanted:
            out.append(f"it has schema {self.schema}, this program knows {self.wanted}: upgrade lading")
        return out


async def inspect(dsn: str) -> Found:
    """Look at a database and change nothing. Raises Unavailable when it does not answer."""
    async with _connected(dsn) as connection:
        server = connection.get_server_version()
        schema = await runner.version(connection)
        encoding = getattr(connection.get_settings(), "server_encoding", "")
        return Found(f"{server.major}.{server.minor}", server.major, encoding, schema, runner.files()[-1][0])
