"""An import from the first byte to the report: stage, plan, load. Any `Source` will do.

Killed anywhere and run again it comes to the same catalogue: what is staged is used again if it is still whole and was made
of the same dump with the same settings, directories and entries are known by their legacy ids, and every chunk leaves its
mark in the transaction that writes it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import msgspec

from catalog.db import faults, now
from lading.model.errors import CatalogError, Conflict

from . import balance, parties, report
from .beside import aside, together
from .load import Loader
from .maps import Maps, guess_user
from .parties_store import PartiesStore
from .plan_store import PlanStore
from .records import ENTRY, NOTE, TABLES, Batch, Source
from .replicas_store import ReplicasStore
from .report_store import Outcome, ReportStore
from .rows import BadSource, SourceInfo
from .runs_store import Run, RunsStore
from .stage_store import Connection, StageStore, connect
from .tree_store import TreeStore

T = TypeVar("T")


class PolicyFailed(CatalogError):
    """Something was found that the policy says must not be: nothing was written. `report` tells all."""

    code = "policy_failed"

    def __init__(self, codes: Mapping[str, int], report: dict[str, Any]) -> None:
        found = ", ".join(f"{code} ({n})" for code, n in codes.items())
        super().__init__(f"nothing was imported, because the policy says fail for: {found}", codes=dict(codes))
        self.report = report


@dataclass(slots=True)
class Options:
    """`fingerprint` stands for the dump and everything that bears on reading it; None when it can't be read again (a pipe)."""

    name: str
    maps: Maps
    actions: Mapping[str, str]
    fingerprint: str | None = None
    dry_run: bool = False
    subtree_depth: int = 4
    subtrees: int = 100
    examples: int = 10
    progress: Callable[[str, int, int | None], None] = lambda _what, _done, _total: None
    """Called often with (what is done, rows or chunks so far, of how many)."""


@dataclass(slots=True)
class Import:
    """One run. `run()` is called once."""

    dsn: str
    open_source: Callable[[], Source]
    options: Options
    timing: dict[str, float] = field(default_factory=dict)

    async def run(self) -> dict[str, Any]:
        """The report. Raises BadSource (the dump), PolicyFailed, Unbalanced, Conflict (the source is being imported), Unavailable.

        After an error nothing is left in staging, and of the catalogue only whole transactions of a run that had begun to
        load: running again goes on from there.
        """
        async with faults():
            connection = await connect(self.dsn)
            try:
                return await self._run(connection)
            finally:
                await connection.close(timeout=10)

    async def _run(self, connection: Connection) -> dict[str, Any]:
        options, runs = self.options, RunsStore(connection)
        source = self.open_source()
        source_id = await runs.source(options.name, source.kind)
        if not await runs.lock(source_id):
            raise Conflict(f"'{options.name}' is being imported at this moment: wait for it, or give another --source")
        run, dead = await runs.unfinished(source_id, options.fingerprint, options.dry_run)
        if run is not None and (run.stage == "staging" or not await StageStore(connection, run.schema).is_sealed()):
            dead.append(run)
            run = None
        for other in dead:
            await StageStore(connection, other.schema).drop()
            await runs.finish(other, "failed", None)
        if run is None:
            run = await runs.start(source_id, options.fingerprint or "", options.dry_run)
        stage = StageStore(connection, run.schema)
        try:
            result = await self._stages(connection, runs, run, stage, source)
        except (CatalogError, asyncpg.DataError) as error:
            await stage.drop()
            await runs.finish(run, "failed", getattr(error, "report", None))
            if isinstance(error, asyncpg.DataError):
                raise BadSource(
                    f"a value of the source does not fit: {error}. Is this the catalogue it seems to be?"
                ) from error
            raise
        await stage.drop()
        await runs.finish(run, "done", result)
        return result

    async def _stages(
        self, connection: Connection, runs: RunsStore, run: Run, stage: StageStore, source: Source
    ) -> dict[str, Any]:
        options = self.options
        if run.stage == "staging":
            await stage.create()
            await self._timed("stage", self._stage(run, stage, source))
            kept = {"read": source.read, "source": msgspec.to_builtins(source.info)}
            await runs.reached(run, "staged", kept)
            run = Run(run.id, run.source_id, "staged", kept)
        else:
            await stage.enter()
            source.read.update(run.info["read"])
            source.info = msgspec.convert(run.info["source"], SourceInfo)
        if run.stage == "staged":
            await stage.begin_plan(run.source_id, options.name, options.actions, source.tables)
            people = await self._timed("plan", self._plan(connection, run))
            await runs.reached(run, "planned", {"people": msgspec.to_builtins(people)})
        else:
            people = msgspec.convert(run.info["people"], list[parties.Party])
        outcome = await ReportStore(connection).outcome()
        balance.tables(source, outcome)
        failing = await PlanStore(connection).failing()
        if failing or options.dry_run:
            result = await self._report(connection, run, source, outcome, people)
            if failing:
                raise PolicyFailed(failing, result)
        else:
            # The report is made of staging alone, so the catalogue can be written meanwhile.
            loader = Loader(self.dsn, connection, run, people, options.maps, options.progress)
            result, loaded = await together(
                self._aside(run, lambda c: self._report(c, run, source, outcome, people)),
                self._timed("load", loader.run()),
            )
            result["written"] = loaded
            result["catalogue"] = await ReportStore(connection).catalogue(run.source_id)
        result["timing"] = report.timing(self.timing, sum(source.read.values()))
        return result

    async def _aside(self, run: Run, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await aside(self.dsn, run.schema, work)

    async def _timed(self, what: str, work: Awaitable[T]) -> T:
        begun = time.monotonic()
        result = await work
        self.timing[what] = time.monotonic() - begun
        return result

    async def _stage(self, run: Run, stage: StageStore, source: Source) -> None:
        """Copy batches while the next one is being made in a thread."""
        batches = iter(source)
        # Millions of short-lived tuples and no cycles: looking for them took a tenth of the time.
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, *thresholds[1:])
        following = asyncio.create_task(asyncio.to_thread(_next, batches))
        try:
            while (batch := await following) is not None:
                following = asyncio.create_task(asyncio.to_thread(_next, batches))
                await stage.copy(batch)
                self.options.progress("reading", sum(source.read.values()), None)
        finally:
            gc.set_threshold(*thresholds)
            if not following.done():
                await asyncio.wait({following})
            if not following.cancelled():
                following.exception()
        others = [t for t in TABLES if t not in (ENTRY, NOTE)]
        await together(stage.key([ENTRY]), self._aside(run, lambda c: StageStore(c, run.schema).key(others)))
        await stage.seal()

    async def _plan(self, connection: Connection, run: Run) -> list[parties.Party]:
        """Everything that is decided; only staging is written."""
        options = self.options
        tree, plan, people = TreeStore(connection), PlanStore(connection), PartiesStore(connection)
        steps: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("paths", tree.walk),
            ("rows", lambda: together(tree.judge_entries(), self._aside(run, self._hosts))),
            ("verdicts", lambda: self._acls_and_verdicts(people, plan)),
            ("directories", lambda: plan.map_paths(options.maps.paths)),
            ("files", plan.plan_files),
            ("copies", plan.plan_replicas),
        ]
        for i, (name, step) in enumerate(steps):
            options.progress(f"planning: {name}", i, len(steps))
            await self._timed(f"plan: {name}", step())
        return [*await self._people(people, "u"), *await self._people(people, "g")]

    async def _hosts(self, connection: Connection) -> None:
        replicas = ReplicasStore(connection)
        pairs = [(r["host"], r["sfn_host"], r["n"]) for r in await replicas.judge()]
        elements = await PartiesStore(connection).elements()
        await replicas.settle_hosts(parties.Hosts(self.options.maps, elements).decide(pairs))

    async def _acls_and_verdicts(self, people: PartiesStore, plan: PlanStore) -> None:
        users = {0, *(r[0] for r in await people.staged("s_user"))}
        groups = {0, *(r[0] for r in await people.staged("s_group"))}
        strange = [
            t
            for t, _ in await people.acls()
            if not (parties.acl_ids(t)[0] <= users and parties.acl_ids(t)[1] <= groups)
        ]
        await people.note_acls(strange)
        await plan.decide()

    async def _people(self, store: PartiesStore, kind: str) -> list[parties.Party]:
        rows = await store.staged("s_user" if kind == "u" else "s_group")
        missing = await store.missing("owner_uid_missing" if kind == "u" else "gid_missing")
        for text, _ in await store.acls():
            missing |= parties.acl_ids(text)[kind == "g"]
        return parties.people(kind, rows, missing, self.options.maps, await store.known(kind), self.options.name)

    async def _report(
        self, connection: Connection, run: Run, source: Source, outcome: Outcome, people: list[parties.Party]
    ) -> dict[str, Any]:
        store, options = ReportStore(connection), self.options
        made = await self._timed(
            "report",
            report.build(
                store,
                source,
                outcome,
                people,
                options.actions,
                options.subtree_depth,
                options.subtrees,
                options.examples,
            ),
        )
        made |= {"run": run.id, "name": options.name, "dry_run": options.dry_run, "finished": now()}
        taken = {p.name for p in people if p.kind == "u"}
        for user in made["unmapped"]["users"]:
            user["guess"] = guess_user(user["dn"], taken) if user["dn"] else None
        return made


def _next(batches: Iterator[Batch]) -> Batch | None:
    return next(batches, None)
