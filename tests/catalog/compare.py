"""Everything that the services show, compared with the model. Each function raises AssertionError where the two differ."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lading.model import lfn
from lading.model.api import Names, Resolve
from lading.model.errors import CatalogError
from lading.model.file import Entry
from lading.model.outcome import Outcomes, Page
from lading.model.principal import Caller
from lading.model.replica import Resolved

from .invariants import broken
from .model import AVAILABLE, DIRECTORY, FILE, LOST, SUSPECT, Node, Refused, Usage
from .model_files import Catalogue
from .world import World


async def compare_all(world: World, model: Catalogue, people: dict[str, Caller]) -> None:
    """All names, listings, sources, usages, trash and deletions; and the invariants of the tables."""
    who = people["bob"]  # all may look
    every = model.all()
    paths = [path for path, _ in every]
    stats = await world.services.names.stat(who, Names(paths, follow=False))
    assert values(stats) == [("ok", entry(path, node)) for path, node in every]
    for path, node in every:
        if node.kind == DIRECTORY:
            await compare_listing(world, who, path, node)
    files = [(path, node) for path, node in every if node.kind == FILE]
    resolved = await world.services.resolver.resolve(who, Resolve([path for path, _ in files]))
    assert values(resolved) == [("ok", sources(node)) for _, node in files]
    named = [(path, node) for path, node in every if not node.target]
    usages = await world.services.names.usage(who, Names([path for path, _ in named]))
    assert values(usages) == [("ok", (path, node.usage())) for path, node in named]
    for name, caller in people.items():
        await compare_trash(world, model, name, caller)
    rows = await world.sql("select e.name, d.pfn from deletion d join element e on e.id = d.se_id")
    assert Counter((r["name"], r["pfn"]) for r in rows) == +model.deletions
    assert await broken(world.dsn) == {}


async def compare_one(world: World, model: Catalogue, who: Caller, path: str, *, follow: bool) -> None:
    """What each way of looking says of a path that may not be there, or lead through links."""
    names, one = world.services.names, Names([path], follow)
    spot, refused = None, ""
    try:
        spot = model.find(path, follow=follow)
    except Refused as error:
        refused = str(error)
    stat = values(await names.stat(who, one))[0]
    assert stat == (("ok", entry(spot.path, spot.node)) if spot else (refused, None))
    exists = values(await names.exists(who, one))[0]
    assert exists == (("ok", spot is not None) if refused in ("", "not_found") else (refused, None))
    try:
        spot = model.find(path)
    except Refused as error:
        spot, refused = None, str(error)
    file = spot is not None and spot.node.kind == FILE
    resolved = values(await world.services.resolver.resolve(who, Resolve([path])))[0]
    assert resolved == ("ok", sources(spot.node)) if spot and file else (refused or "invalid_request", None)
    usage = values(await names.usage(who, Names([path])))[0]
    assert usage == (("ok", (spot.path, spot.node.usage())) if spot else (refused, None))
    if spot and not file:
        await compare_listing(world, who, path, spot.node, spot.path)
        return
    try:
        found, said = [shown(e) for e in (await world.services.listing.page(who, path)).items], ""
    except CatalogError as error:
        found, said = [], error.code
    assert (found, said) == ([entry(spot.path, spot.node)] if spot else [], refused)


async def compare_listing(world: World, who: Caller, asked: str, node: Node, true: str | None = None) -> None:
    """The directory at once and with everything, and plainly by pages of two."""
    path = true or asked
    there = [(lfn.join(path, name), child) for name, child in sorted(node.children.items(), key=_bytes)]
    page = await world.services.listing.page(who, asked)
    assert [shown(e) for e in page.items] == [entry(*one) for one in there]
    assert page.next is None
    found: list[Entry] = []
    cursor = None
    while True:
        part: Page[Entry] = await world.services.listing.page(who, asked, cursor=cursor, limit=2, verbose=False)
        found += part.items
        if part.next is None:
            break
        assert len(part.items) == 2
        cursor = part.next
    assert found == [Entry(at, kind=e.kind) for e, (at, _) in zip(page.items, there, strict=True)]


async def compare_trash(world: World, model: Catalogue, name: str, who: Caller) -> None:
    found = []
    cursor = None
    while True:
        page = await world.services.trash.page(who, cursor=cursor, limit=3)
        found += page.items
        if page.next is None:
            break
        cursor = page.next
    assert [(i.id, i.lfn, i.kind.value, i.removed_by, (i.files, i.bytes)) for i in found] == [
        (item, t.path, t.node.kind, name, t.usage) for item, t in sorted(model.trash.items()) if t.by == name
    ]


# ── the same things, seen from both sides ────────────────────────────────────────────────────────────────────────────────


def entry(path: str, node: Node) -> tuple[Any, ...]:
    size, guid, target = (node.size, node.guid, None) if node.kind == FILE else (None, None, node.target or None)
    return path, node.kind, size, guid, node.checksums, node.owner, len(node.replicas), target


def shown(e: Entry) -> tuple[Any, ...]:
    return e.lfn, e.kind.value, e.size, e.guid, e.checksums, e.owner, e.replicas, e.target


def sources(node: Node) -> tuple[Any, ...]:
    """What is asked of `resolve`: the sources of each state, the better state first."""
    states = [state for state, _ in node.replicas.values()]
    ranked = [
        {(se, node.pfn(se)) for se, r in node.replicas.items() if r[0] == state} for state in (AVAILABLE, SUSPECT)
    ]
    return node.size, node.guid, node.checksums, ranked, AVAILABLE in states


def _resolved(r: Resolved) -> tuple[Any, ...]:
    states = [s.state for s in r.sources]
    assert states == sorted(states, key=[AVAILABLE, SUSPECT, LOST].index)
    ranked = [{(s.se, s.pfn) for s in r.sources if s.state == state} for state in (AVAILABLE, SUSPECT)]
    return r.size, r.guid, r.checksums, ranked, r.why is None


def values(outcomes: Outcomes[Any]) -> list[tuple[str, Any]]:
    """(code, value) of each outcome, values in the model's words."""
    return [(o.error.code, None) if o.error else ("ok", _value(o.value)) for o in outcomes.outcomes]


def _value(value: Any) -> Any:
    if isinstance(value, Entry):
        return shown(value)
    if isinstance(value, Resolved):
        return _resolved(value)
    if isinstance(value, bool):
        return value
    elements = {name: (u.replicas, u.bytes) for name, u in value.elements.items()}
    usage: Usage = (value.files, value.bytes, elements, value.directories)
    return value.lfn, usage


def _bytes(item: tuple[str, Node]) -> bytes:
    return item[0].encode()
