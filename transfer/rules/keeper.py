"""Keeping rules up: what is missing is ordered, what is too much is dropped once its grace is over.

Files come from two sides. Whoever adds a file or changes its copies puts it into `rule_file` in the same transaction;
and each rule looks at all its files now and then, for those that came to it by a move, new metadata or a data set. Both
end in `_keep`: files are looked at as they are, and only those of which something is to be done are locked, and looked
at again. Any number of keepers may run, and each may be killed at any moment.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from catalog.db import now
from lading.model.errors import CatalogError
from lading.model.principal import SYSTEM
from lading.model.request import Selection
from lading.model.rule import RuleCounts

from ..requests.store import RequestsStore
from .matching import known, question
from .needs import Upkeep, upkeep
from .store import RulesStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.db import Connection, Database, Transaction
    from catalog.namespace.service import NamespaceService
    from catalog.replicas.changes import ReplicaChanges

    from ..queue.queue import Queue
    from ..requests.choices import Known, Need, Pool
    from ..requests.planner import Planner
    from .matching import Matching, Rule

    Rows = Mapping[int, Any]

_log = structlog.get_logger("lading.keeper")
PIECE = 1000  # files of one transaction
_LEASE = 60_000_000
SOON, LATER = 300_000_000, 3_600_000_000  # until the second look at all files of a rule, and between the others
AGAIN = 3_600_000_000  # until a copy that failed for good is tried again


@dataclass(slots=True)
class Look:
    """Files as they are at a moment, and what they come to."""

    files: dict[int, Known] = field(default_factory=dict)
    about: Mapping[int, list[Rule]] = field(default_factory=dict)
    needs: dict[int, list[Need]] = field(default_factory=dict)
    comes_to: dict[int, Upkeep] = field(default_factory=dict)
    coming: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # {file: elements}
    noted: dict[int, dict[int, int]] = field(default_factory=dict)  # {file: {element: surplus since}}

    def acts(self, at: int) -> list[int]:
        """The files of which something is to be done."""
        found = [i for i, comes_to in self.comes_to.items() if comes_to.orders or comes_to.surplus or i in self.noted]
        found += [i for i in self.noted if i not in self.comes_to]
        return [i for i in found if self._acts(i, at)]

    def _acts(self, file_id: int, at: int) -> bool:
        comes_to, noted = self.comes_to.get(file_id, Upkeep()), self.noted.get(file_id, {})
        return bool(comes_to.orders) or set(comes_to.surplus) != set(noted) or bool(self.over(file_id, at))

    def over(self, file_id: int, at: int) -> list[int]:
        """Surplus copies whose grace is over, the first to go first."""
        noted = self.noted.get(file_id, {})
        surplus = self.comes_to[file_id].surplus if file_id in self.comes_to else []
        return [e for e in surplus if e in noted and noted[e] + self.grace(file_id, e) <= at]

    def grace(self, file_id: int, element_id: int) -> int:
        """Microseconds: the longest of the rules about a copy's place."""
        rules = [r for r in self.about[file_id] if any(element_id in need.elements for need in r.needs)]
        return max((int(r.row["grace"]) for r in rules), default=0)


class Keeper:
    def __init__(
        self,
        database: Database,
        names: NamespaceService,
        changes: ReplicaChanges,
        queue: Queue,
        planner: Planner,
        matching: Matching,
    ) -> None:
        self._db = database
        self._names = names
        self._changes = changes
        self._queue = queue
        self._planner = planner
        self._matching = matching
        self._store = RulesStore()
        self._requests = RequestsStore()

    async def step(self) -> bool:
        """Look at some files, or end a rule whose time is over; False when there is nothing to do now."""
        async with self._db.read() as connection:
            waiting = await self._store.waiting(connection, now())
        if waiting["files"]:
            return await self._changed()
        return await self._over() if waiting["over"] else await self._look()

    # ── files that changed ───────────────────────────────────────────────────────────────────────────────────────────

    async def _changed(self) -> bool:
        async def work(tx: Transaction) -> bool:
            ids = await self._store.take(tx.connection, tx.at, PIECE)
            rules = await self._matching.rules(tx.connection)
            rows = await self._matching.files(tx.connection, ids)
            await self._keep(tx, ids, rows, rules, await self._matching.pool(tx.connection, rules))
            tx.audit([], count=len(ids))
            return bool(ids)

        return await self._db.change(SYSTEM, "rule.keep", work)

    async def look(
        self, connection: Connection, ids: Sequence[int], rows: Rows, rules: Sequence[Rule], pool: Pool, at: int
    ) -> Look:
        """What files come to; nothing is written. `rows`: those of `Matching.files`, of the ids that are files yet."""
        look = Look(about=await self._matching.about(connection, rules, rows))
        requests = [r.row["request_id"] for r in rules]
        for row in await self._store.coming(connection, requests, ids):
            look.coming[row["file_id"]].add(row["target"])
        failed: dict[int, dict[int, str]] = defaultdict(dict)
        for row in await self._store.failed(connection, requests, ids, at - AGAIN):
            failed[row["file_id"]][row["target"]] = row["error"]
        for row in await self._store.surplus(connection, ids):
            look.noted.setdefault(row["file_id"], {})[row["se_id"]] = row["since"]
        alike: dict[
            Any, Upkeep
        ] = {}  # of files with the same copies and rules, unless something is ordered: that differs
        wanted: dict[tuple[int, ...], list[Need]] = {}
        for file_id, about in look.about.items():
            numbers = tuple([rule.id for rule in about])
            if numbers not in wanted:
                wanted[numbers] = [need for rule in about for need in rule.needs]
            file, needs = known(rows[file_id]), wanted[numbers]
            look.files[file_id], look.needs[file_id] = file, needs
            key = None
            if file_id not in look.coming and file_id not in failed:
                key = numbers, *file.copies.items()
            comes_to = alike.get(key)
            if comes_to is None:
                comes_to = upkeep(file, needs, pool, coming=look.coming.get(file_id, ()), failed=failed.get(file_id))
                if key is not None and not comes_to.orders:
                    alike[key] = comes_to
            look.comes_to[file_id] = comes_to
        return look

    async def _keep(self, tx: Transaction, ids: Sequence[int], rows: Rows, rules: Sequence[Rule], pool: Pool) -> Look:
        """Do what is to be done of files; how they were found."""
        found = await self.look(tx.connection, ids, rows, rules, pool, tx.at)
        acting = found.acts(tx.at)
        if acting:
            await self._changes.lock(tx, acting)
            pool = await self._matching.pool(tx.connection, rules)
            rows = await self._matching.files(tx.connection, acting)
            look = await self.look(tx.connection, acting, rows, rules, pool, tx.at)
            await self._order(tx, look, rules)
            await self._drop(tx, look, acting, pool)
        return found

    async def _order(self, tx: Transaction, look: Look, rules: Sequence[Rule]) -> None:
        ordered: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        for file_id, comes_to in look.comes_to.items():
            for number, source, target in comes_to.orders:
                transfer = source, target, file_id, look.files[file_id].size
                ordered[look.needs[file_id][number].rule].append(transfer)
        for rule in rules:
            if transfers := ordered.get(rule.id):
                request = {"id": rule.row["request_id"]}
                request |= {k: rule.row[k] for k in ("activity", "group_id", "priority")}
                await self._queue.add(tx, request, transfers)
                await self._store.order(tx.connection, request["id"], transfers)

    async def _drop(self, tx: Transaction, look: Look, ids: Sequence[int], pool: Pool) -> None:
        """Note what is surplus from now on, forget what is so no more, drop that whose grace is over."""
        new, gone, due = [], [], []
        going: dict[int, tuple[str, list[int]]] = {}
        for file_id in ids:
            noted = look.noted.get(file_id, {})
            surplus = look.comes_to[file_id].surplus if file_id in look.comes_to else []
            for element_id in surplus:
                if element_id not in noted:
                    new.append((file_id, element_id))
                    due.append(tx.at + look.grace(file_id, element_id))
            gone += [(file_id, e) for e in noted if e not in surplus]
            if over := look.over(file_id, tx.at):
                going[file_id] = (look.files[file_id].path, over)
                gone += [(file_id, e) for e in over]
        await self._store.note_surplus(tx.connection, new, tx.at)
        await self._store.put(tx.connection, [n[0] for n in new], due)
        await self._store.forget_surplus(tx.connection, gone)
        await self._planner.drop(tx, going, pool, look.needs)

    # ── all files of a rule ──────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> bool:
        async with self._db.read() as connection:
            claimed = await self._store.claim(connection, now(), now() + _LEASE)
        if claimed is None:
            return False
        try:
            rows, plan = await self.piece(claimed)
        except CatalogError as error:
            if error.retryable:
                raise
            await self._stand_still(claimed["id"], error.message)
            return True
        ids = list(rows)

        async def work(tx: Transaction) -> None:
            rules = await self._matching.rules(tx.connection)
            look = await self._keep(tx, ids, rows, rules, await self._matching.pool(tx.connection, rules))
            counts = msgspec.convert(claimed["counting"], RuleCounts)
            count(counts, claimed["id"], look, ids)
            done = await self._store.progress(
                tx.connection, claimed["id"], claimed["lease"], plan or {}, msgspec.to_builtins(counts), tx.at,
                whole=plan is None, soon=SOON, later=LATER,
            )  # fmt: skip
            if done:
                tx.audit([], count=max(len(ids), 1), rule=claimed["id"])

        await self._db.change(SYSTEM, "rule.look", work)
        return True

    async def piece(self, rule: Any) -> tuple[dict[int, Any], dict[str, Any] | None]:
        """The next files that a rule (a record, or what looks like one) may be about, {id: record}; and where it goes
        on: None when these were the last. Raises Unauthenticated, NotFound, Forbidden, QueryError."""
        async with self._db.read() as connection:
            caller = await self._matching.owner(connection, rule)
            if question(msgspec.convert(rule["selection"], Selection)) is None:  # all that is below a directory
                after = rule["plan"].get("path", ""), rule["plan"].get("name", "")
                found = await self._store.below(connection, rule["top"], *after, PIECE)
                last = {"path": found[-1]["path"], "name": found[-1]["name"]} if len(found) == PIECE else None
                return {r["id"]: r for r in found if r["path"].startswith("/")}, last
        lfns, plan = await self._planner.names(caller, rule)
        async with self._db.read() as connection:
            entries = await self._names.find(connection, caller, lfns)
            ids = [e.row["id"] for e in entries if not isinstance(e, CatalogError)]
            return await self._matching.files(connection, ids), plan

    async def _stand_still(self, rule: int, why: str) -> None:
        async def work(tx: Transaction) -> None:
            await self._store.stand_still(tx.connection, rule, why, tx.at + LATER)
            tx.audit([f"rule {rule}"], error=why)

        await self._db.change(SYSTEM, "rule.look", work)
        _log.warning("rule stands still", rule=rule, why=why)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _over(self) -> bool:
        async def work(tx: Transaction) -> bool:
            row = await self._store.over(tx.connection, tx.at)
            if row is None:
                return False
            await end(tx, self._store, self._requests, row["id"], row["request_id"])
            tx.audit([f"rule {row['id']}"])
            return True

        return await self._db.change(SYSTEM, "rule.over", work)


async def end(tx: Transaction, store: RulesStore, requests: RequestsStore, rule: int, request: int) -> None:
    """Take a rule away. Its copies stay, and are anybody's to drop; those not yet made are not."""
    await store.remove(tx.connection, rule)
    await requests.set_state(tx.connection, request, "cancelled", settled=False)
    await requests.finish(tx.connection, request, tx.at)
    tx.notices.update(("requests", "transfers"))


def count(counts: RuleCounts, rule: int, look: Look, ids: Sequence[int]) -> None:
    """Add files to the counts of a rule."""
    for file_id in ids:
        numbers = [n for n, need in enumerate(look.needs.get(file_id, ())) if need.rule == rule]
        counts.files += 1
        if not numbers:
            counts.refused += 1
            continue
        comes_to: Any = look.comes_to[file_id]
        lacks = [comes_to.lacks[n] for n in numbers if n in comes_to.lacks]
        if any(lack.missing for lack in lacks):
            counts.lacking += 1
        elif lacks:
            counts.coming += 1
        else:
            counts.ok += 1
        counts.surplus += len(comes_to.surplus)
