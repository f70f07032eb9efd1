"""The record of imports: sources, runs and how far they came. The audit row of an import, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catalog.db import now

from .stage_store import Connection

_LOCKS = 0x6C696D70  # the class of our advisory locks: one import of a source at a time


@dataclass(frozen=True, slots=True)
class Run:
    id: int
    source_id: int
    stage: str
    info: dict[str, Any]

    @property
    def schema(self) -> str:
        return f"import_{self.id}"


class RunsStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def source(self, name: str, kind: str) -> int:
        """The source's id; a new name is a new source."""
        insert = "insert into import_source(name, kind, ctime) values ($1, $2, $3) on conflict (name) do nothing"
        await self._connection.execute(insert, name, kind, now())
        return int(await self._connection.fetchval("select id from import_source where name = $1", name))

    async def lock(self, source_id: int) -> bool:
        """Be the one that imports this source, until the connection ends. False when another does."""
        return bool(await self._connection.fetchval("select pg_try_advisory_lock($1, $2)", _LOCKS, source_id))

    _UNFINISHED = """select id, source_id, stage, info, fingerprint, dry_run from import_run
        where source_id = $1 and stage not in ('done', 'failed') order by id desc"""

    async def unfinished(self, source_id: int, fingerprint: str | None, dry_run: bool) -> tuple[Run | None, list[Run]]:
        """(the run that this one may go on with, the dead others). The caller holds the lock, so none of them lives."""
        same, others = None, []
        for r in await self._connection.fetch(self._UNFINISHED, source_id):
            run = Run(r["id"], r["source_id"], r["stage"], r["info"])
            if same is None and fingerprint is not None and r["fingerprint"] == fingerprint and r["dry_run"] == dry_run:
                same = run
            else:
                others.append(run)
        return same, others

    _START = "insert into import_run(source_id, fingerprint, dry_run, started) values ($1, $2, $3, $4) returning id"

    async def start(self, source_id: int, fingerprint: str, dry_run: bool) -> Run:
        run_id = await self._connection.fetchval(self._START, source_id, fingerprint, dry_run, now())
        return Run(run_id, source_id, "staging", {})

    async def reached(self, run: Run, stage: str, info: dict[str, Any] | None = None) -> None:
        """The run has come to `stage`: a later one starts from here. `info` is added to what is known of it."""
        await self._connection.execute(
            "update import_run set stage = $2, info = info || $3 where id = $1", run.id, stage, info or {}
        )

    async def finish(self, run: Run, stage: str, report: dict[str, Any] | None) -> None:
        await self._connection.execute(
            "update import_run set stage = $2, finished = $3, report = $4 where id = $1", run.id, stage, now(), report
        )

    async def chunks(self, run: Run) -> dict[int, dict[str, int]]:
        """Chunks that are in the catalogue, with what each wrote."""
        rows = await self._connection.fetch("select chunk, counts from import_chunk where run_id = $1", run.id)
        return {r["chunk"]: r["counts"] for r in rows}

    _AUDIT = "insert into audit(at, user_id, action, count, targets, details, origin) values ($1, 1, 'import', $2, $3, $4, 'lading-server import')"

    async def audit(self, count: int, source: str, details: dict[str, Any]) -> None:
        await self._connection.execute(self._AUDIT, now(), count, [source], details)

    async def tell(self) -> None:
        """Running servers look again at people, elements and aliases."""
        for topic in ("people", "elements", "aliases"):
            await self._connection.execute("select pg_notify('lading', $1)", topic)
