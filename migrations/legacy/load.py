"""Loading: what was planned goes into the catalogue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from catalog.db import now
from catalog.namespace.store import NamesStore
from lading.model.errors import Conflict, Unavailable

from . import parties
from .beside import aside, together
from .directories_store import DirectoriesStore
from .load_store import CHUNK, LoadStore
from .maps import Maps
from .parties_store import PartiesStore
from .runs_store import Run, RunsStore
from .stage_store import Connection

_WORKERS = 2
_TRIES = 5


class Loader:
    """Every step may be repeated; each is one transaction, or many that each leave their mark."""

    def __init__(
        self,
        dsn: str,
        connection: Connection,
        run: Run,
        people: Sequence[parties.Party],
        maps: Maps,
        progress: Callable[[str, int, int | None], None],
    ) -> None:
        self._dsn = dsn
        self._connection = connection
        self._run = run
        self._people = people
        self._maps = maps
        self._progress = progress
        self._store = LoadStore(connection)
        self._runs = RunsStore(connection)
        self._names = NamesStore()
        self._tops: list[str] = []

    async def run(self) -> dict[str, int]:
        """What was written: directories, files, links, replicas, and `late`, names that were taken while loading."""
        self._tops = await self._store.tops()
        made = self._run.info.get("directories", 0)
        if self._run.stage != "loading":
            self._progress("people and elements", 0, None)
            await self._parties()
            directories = DirectoriesStore(self._connection)
            # PostgreSQL has another core: what needs no directory is done beside them.
            (made, last), _ = await together(directories.shape(), self._aside(LoadStore.gather_copies))
            await together(self._directories(directories, last), self._aside(LoadStore.prepare))
            await self._runs.reached(self._run, "loading", {"directories": made})
        written, _ = await together(self._chunks(), self._aside(LoadStore.write_issues))
        self._progress("finishing", 0, None)
        async with self._connection.transaction():
            await self._names.lock(self._connection, self._tops)
            await self._store.adopt()
            await self._store.add_aliases(self._maps.paths, now())
            result = {"directories": made, **{k: sum(c[k] for c in written) for k in ("files", "links", "replicas")}}
            result["late"] = sum(c["wanted"] for c in written) - result["files"] - result["links"]
            await self._runs.audit(sum(result.values()), f"import_run {self._run.id}", result)
            await self._runs.tell()
        return result

    async def _parties(self) -> None:
        store = PartiesStore(self._connection)
        async with self._connection.transaction():
            await store.add_people(self._people)
            await store.add_elements()
            principals = await store.principals()
            await store.set_acls([(text, parties.acl(text, principals)) for text, _ in await store.acls()])
            await self._store.gather_originals()

    async def _aside(self, work: Callable[[LoadStore], Awaitable[None]]) -> None:
        await aside(self._dsn, self._run.schema, lambda c: work(LoadStore(c)))

    async def _directories(self, store: DirectoriesStore, last: int) -> None:
        """Make the missing directories."""
        for after in range(0, last, CHUNK):
            self._progress("directories", after, last)
            with _raced():
                async with self._connection.transaction():
                    await self._names.lock(self._connection, self._tops)
                    if not await store.make(after, after + CHUNK):
                        raise asyncpg.UniqueViolationError
        await store.know()

    async def _chunks(self) -> list[Mapping[str, int]]:
        """Write the chunks that are missing, over two connections; what all of them wrote."""
        done = await self._runs.chunks(self._run)
        count = -(-await self._store.rows() // CHUNK)
        waiting = [i for i in range(count) if i not in done]
        waiting.reverse()

        async def work(connection: Connection) -> None:
            while waiting:
                number = waiting.pop()
                done[number] = await self._chunk(connection, number)
                self._progress("files and replicas", len(done), count)

        workers = [
            asyncio.create_task(aside(self._dsn, self._run.schema, work)) for _ in range(min(_WORKERS, len(waiting)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return list(done.values())

    async def _chunk(self, connection: Connection, number: int) -> dict[str, Any]:
        store, careful = LoadStore(connection), False
        for attempt in range(_TRIES):
            try:
                with _raced() if careful else contextlib.nullcontext():
                    async with connection.transaction():
                        await self._names.lock(connection, self._tops)
                        return await store.chunk(self._run.id, number, self._run.source_id, careful=careful)
            except asyncpg.UniqueViolationError:
                careful = True
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable("the database is too busy with these directories: run the import again when it is quieter")


@contextlib.contextmanager
def _raced() -> Iterator[None]:
    """A name or GUID that was free when the import was planned is taken now."""
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise Conflict(
            "somebody changed what this import is about to write: run it again, and it goes by what is there then"
        ) from None
