"""Rules as people see them: made, looked at, changed, taken away; what one would come to; and why a copy is where it
is."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.access.rights import R
from catalog.db import now
from catalog.elements.expression import parse
from catalog.namespace.service import outcomes
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.replica import STATES
from lading.model.request import LinkPlan, Selection
from lading.model.rule import RuleCounts, RuleInfo, RulePlan, Want, Why, WhyCopy, WhyWant

from ..requests.choices import AVAILABLE, states
from ..requests.service import MOST_LINKS, scopes
from ..requests.store import RequestsStore
from ..ways import ways
from .keeper import count, end
from .matching import question
from .store import RulesStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.access.service import AccessService
    from catalog.db import Connection, Database, Transaction
    from catalog.elements.service import ElementsService
    from catalog.namespace.locate import Found
    from catalog.namespace.service import NamespaceService
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller
    from lading.model.rule import NewRule, RuleChange
    from metadata.search import SearchService

    from ..requests.choices import Pool
    from .keeper import Keeper, Look
    from .matching import Matching, Rule

_LOOK = 20.0  # seconds that a preview looks at files
_MOST = 100  # rules of one user; administrators may have more
_SECOND = 1_000_000


class Rules:
    def __init__(
        self,
        database: Database,
        access: AccessService,
        names: NamespaceService,
        elements: ElementsService,
        search: SearchService,
        matching: Matching,
        keeper: Keeper,
    ) -> None:
        self._db = database
        self._access = access
        self._names = names
        self._elements = elements
        self._search = search
        self._matching = matching
        self._keeper = keeper
        self._store = RulesStore()
        self._requests = RequestsStore()

    # ── made ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add(self, caller: Caller, body: NewRule) -> RuleInfo:
        """Have it kept up from now on. It is about the files that the caller may read and change, with the rights of
        each moment. Raises InvalidRequest (selection, expressions), QueryError, NotFound, Forbidden (place, data set,
        another's group), Conflict (a hundred rules of one user)."""
        who = caller.principal

        async def work(tx: Transaction) -> RuleInfo:
            await self._checked(tx.connection, caller, body)
            group = who.group
            if body.group is not None:
                group = (await self._access.ids(tx.connection, "g", [body.group]))[body.group]
                if group not in who.groups and not who.superuser:
                    raise Forbidden(f"you are not in the group '{body.group}'", group=body.group)
            if not who.superuser and await self._store.number_of(tx.connection, who.id) >= _MOST:
                raise Conflict(f"you have {_MOST} rules: take some away, or make one of many directories")
            rule = await self._store.add(
                tx.connection, who.id, scopes(caller), msgspec.to_builtins(body.selection), body.selection.under or "/",
                msgspec.to_builtins(body.wants), body.until, body.grace * _SECOND, body.note, tx.at,
                " + ".join(f"{want.copies} on {want.to}" for want in body.wants)[:1000],
                {"scopes": scopes(caller)}, body.activity, group, body.priority,
            )  # fmt: skip
            tx.audit([f"rule {rule}"], wants=msgspec.to_builtins(body.wants))
            tx.notices.add("requests")
            return await self._shown(tx.connection, caller, rule)

        return await self._db.change(caller, "rule.add", work)

    async def _checked(self, connection: Connection, caller: Caller, body: NewRule) -> None:
        s = body.selection
        if s.lfns or s.on or bool(s.under) == bool(s.dataset):
            raise InvalidRequest("a rule is about a directory (with or without a query), or a data set")
        if s.query is not None and not s.under:
            raise InvalidRequest("a query is asked below a directory: give that too, '/' for all")
        if s.under:  # as it is really called: aliases and links are no place of files
            s.under = (await self._names.open_directory(connection, caller, s.under)).path
        if body.until is not None and body.until <= now():
            raise InvalidRequest("its time is over already: 'until' is to come")
        for want in body.wants:
            if parse(want.to).asks_free:
                raise InvalidRequest("what is free changes with each copy: a rule can't go by it", to=want.to)
            await self._elements.matching(connection, want.to)
        await self._search.prepare(connection, caller, *(question(s) or ("true", s.under or "/")))

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def every(self, caller: Caller, *, everybody: bool = False) -> list[RuleInfo]:
        """One's own; `everybody`'s for administrators."""
        if everybody and not caller.principal.superuser:
            raise Forbidden("only administrators see the rules of others")
        async with self._db.read() as connection:
            rows = await self._store.of(connection, None if everybody else caller.principal.id)
            people = await self._access.names(connection)
        return [_info(row, people) for row in rows]

    async def show(self, caller: Caller, rule: int) -> RuleInfo:
        """Raises NotFound."""
        async with self._db.read() as connection:
            return await self._shown(connection, caller, rule)

    async def _shown(self, connection: Connection, caller: Caller, rule: int) -> RuleInfo:
        row = _mine(caller, await self._store.find(connection, rule), rule)
        return _info(row, await self._access.names(connection))

    # ── changed ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def change(self, caller: Caller, rule: int, change: RuleChange) -> RuleInfo:
        """Another end, grace, priority or note; or look at all its files now. Safe to repeat. Raises NotFound,
        InvalidRequest."""

        async def work(tx: Transaction) -> RuleInfo:
            c = tx.connection
            row = _mine(caller, await self._store.find(c, rule, lock=True), rule)
            until = row["until"] if change.until is None else change.until or None
            if until is not None and until <= tx.at:
                raise InvalidRequest("'until' is to come; to end it now, remove it")
            grace = row["grace"] if change.grace is None else change.grace * _SECOND
            note = row["note"] if change.note is None else change.note
            await self._store.change(c, rule, until, grace, note, check=change.check)
            if change.check:
                await self._store.forget_failures(c, row["request_id"], tx.at)
            if change.priority is not None:
                await self._requests.set_priority(c, row["request_id"], change.priority)
            tx.audit([f"rule {rule}"], **msgspec.to_builtins(change))
            tx.notices.add("requests")
            return await self._shown(c, caller, rule)

        return await self._db.change(caller, "rule.change", work)

    async def remove(self, caller: Caller, rule: int) -> None:
        """End it. The copies that are there stay, and are anybody's to drop; those on their way are broken off. Raises
        NotFound."""

        async def work(tx: Transaction) -> None:
            row = _mine(caller, await self._store.find(tx.connection, rule, lock=True), rule)
            await end(tx, self._store, self._requests, rule, row["request_id"])
            tx.audit([f"rule {rule}"])

        await self._db.change(caller, "rule.remove", work)

    # ── what it would come to ────────────────────────────────────────────────────────────────────────────────────────

    async def plan(self, caller: Caller, body: NewRule) -> RulePlan:
        """What the rule would come to now, beside those that there are. Nothing is written. Raises what `add` does."""
        plan, stop = RulePlan(), time.monotonic() + _LOOK
        links: dict[tuple[int, int], LinkPlan] = {}
        lacking: Counter[str] = Counter()
        async with self._db.read() as connection:
            await self._checked(connection, caller, body)
            row = {
                "id": 0, "user_id": caller.principal.id, "scopes": scopes(caller), "state": "running",
                "selection": msgspec.to_builtins(body.selection), "top": body.selection.under or "/",
                "wants": msgspec.to_builtins(body.wants), "grace": body.grace * _SECOND, "request_id": 0, "plan": {},
            }  # fmt: skip
            rules = [*await self._matching.rules(connection), await self._matching.rule(connection, row)]
            pool = await self._matching.pool(connection, rules)
        at: dict[str, Any] | None = {}
        while at is not None:
            if time.monotonic() > stop:
                plan.whole = False
                break
            rows, at = await self._keeper.piece(row)
            row["plan"], ids = at or {}, list(rows)
            async with self._db.read() as connection:
                look = await self._keeper.look(connection, ids, rows, rules, pool, now())
            count(plan.counts, 0, look, ids)
            _orders(plan, look, pool, links, lacking)
        plan.lacking = dict(lacking.most_common(100))
        plan.links = sorted(links.values(), key=lambda link: -link.bytes)[:MOST_LINKS]
        for link in plan.links:
            ends = [await self._elements.storage(self._elements.named(n)) for n in (link.source, link.target)]
            link.ways = [way.value for way in await ways(*ends)]
        return plan

    # ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def why(self, caller: Caller, lfns: Sequence[str]) -> Outcomes[Why]:
        """Which rules want each file where, what is missing and why; whoever made them. Outcome errors: NotFound,
        Forbidden, InvalidRequest (a directory)."""
        async with self._db.read() as connection:
            found = await self._names.find(connection, caller, lfns)
            results: list[Any] = [f if isinstance(f, CatalogError) else self._readable(caller, f) for f in found]
            ids = [r.row["id"] for r in results if not isinstance(r, CatalogError)]
            rules = await self._matching.rules(connection)
            pool = await self._matching.pool(connection, rules)
            rows = await self._matching.files(connection, ids)
            look = await self._keeper.look(connection, ids, rows, rules, pool, now())
        for n, entry in enumerate(results):
            if not isinstance(entry, CatalogError):
                results[n] = _why(entry, rows[entry.row["id"]], look, rules, pool)
        return outcomes(lfns, results)

    def _readable(self, caller: Caller, found: Found) -> Found | CatalogError:
        row = found.row
        if row["kind"] != 0:
            return InvalidRequest(f"'{lfn.shown(found.path)}' is not a file", lfn=found.path)
        rights = self._names.rights.entry(
            caller.principal, found.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]
        )
        return found if rights & R else Forbidden(f"you may not read '{lfn.shown(found.path)}'", lfn=found.path)


def _mine(caller: Caller, row: Any, rule: int) -> Any:
    if row is None or (row["user_id"] != caller.principal.id and not caller.principal.superuser):
        raise NotFound(f"there is no rule {rule} of yours: see 'lading rule ls'", rule=rule)
    return row


def _info(row: Any, people: dict[int, str]) -> RuleInfo:
    return RuleInfo(
        row["id"], people.get(row["user_id"], ""), msgspec.convert(row["selection"], Selection),
        msgspec.convert(row["wants"], list[Want]), row["request_id"], row["state"], row["until"],
        row["grace"] // _SECOND, row["priority"], row["note"], msgspec.convert(row["counts"], RuleCounts),
        row["checked"], row["error"], row["created"],
    )  # fmt: skip


def _orders(
    plan: RulePlan, look: Look, pool: Pool, links: dict[tuple[int, int], LinkPlan], lacking: Counter[str]
) -> None:
    """Add what the rule itself, number 0, orders of these files."""
    for file_id, comes_to in look.comes_to.items():
        file, needs = look.files[file_id], look.needs[file_id]
        for number, source, target in comes_to.orders:
            if needs[number].rule == 0:
                plan.copies += 1
                plan.bytes += file.size
                ends = pool.by_id[source].name, pool.by_id[target].name
                link = links.setdefault((source, target), LinkPlan(*ends))
                link.files += 1
                link.bytes += file.size
        lacking.update(
            {lack.why for n, lack in comes_to.lacks.items() if needs[n].rule == 0 and lack.missing and lack.why}
        )


def _why(entry: Any, row: Any, look: Look, rules: Sequence[Rule], pool: Pool) -> Why:
    file_id = row["id"]

    def name(element_id: int) -> str:
        element = pool.by_id.get(element_id)
        return element.name if element else f"(element {element_id}, gone)"

    why = Why(entry.path)
    file = look.files.get(file_id)
    needs = look.needs.get(file_id, [])
    noted = look.noted.get(file_id, {})
    for element_id, state in states(row).items():
        goes = None
        if element_id in noted and file_id in look.about:
            goes = noted[element_id] + look.grace(file_id, element_id)
        counting = [] if goes is not None else sorted({n.rule for n in needs if element_id in n.elements})
        why.copies.append(WhyCopy(name(element_id), STATES[state].value, counting, goes))
    if file is None:
        return why
    comes_to = look.comes_to[file_id]
    wants = {rule.id: iter(msgspec.convert(rule.row["wants"], list[Want])) for rule in rules}
    on_way = look.coming.get(file_id, set()) | {target for _, _, target in comes_to.orders}
    for number, need in enumerate(needs):
        want = next(wants[need.rule])
        lack = comes_to.lacks.get(number)
        there = [e for e, state in file.copies.items() if e in need.elements and state == AVAILABLE]
        why.wants.append(
            WhyWant(
                need.rule, want.copies, want.to, sorted(map(name, there)),
                sorted(name(e) for e in on_way & need.elements), lack.missing if lack else 0,
                lack.why if lack else None,
            )
        )  # fmt: skip
    return why
