"""Copies of files: register, resolve and rank, state, drop."""

from __future__ import annotations

import pytest

from lading.model.api import Resolve
from lading.model.element import ElementChange, ElementState, Medium
from lading.model.errors import NotFound
from lading.model.replica import ReplicaRef, ReplicaState

from .world import World, codes, faults, file

LOST, SUSPECT, AVAILABLE, COPYING = (
    ReplicaState.LOST,
    ReplicaState.SUSPECT,
    ReplicaState.AVAILABLE,
    ReplicaState.COPYING,
)


async def states(world: World, lfn: str) -> dict[str, str]:
    name = lfn.rpartition("/")[2]
    rows = await world.sql("select element, state from replica where lfn like '%' || $1", "/" + name)
    return {r["element"]: r["state"] for r in rows}


async def test_adding_a_copy(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, file("/vo/f", 10, "one"), file("/vo/g", 5))
    await world.mkdir(world.admin, "/vo/d")
    await world.link(world.admin, vo__l="f")
    refs = [
        ReplicaRef("/vo/f", "two"), ReplicaRef("/vo/l", "three", "at/f"), ReplicaRef("/vo/g", "one"), ReplicaRef("/vo/none", "one"),
        ReplicaRef("/vo/f", "none"), ReplicaRef("/vo/d", "one"), ReplicaRef("/vo/g", "two", "../x"), ReplicaRef("/vo/g", "two", state=COPYING),
    ]  # fmt: skip
    assert await world.add_replicas(world.admin, *refs) == [
        "ok", "ok", "ok", "not_found", "not_found", "invalid_request", "invalid_request", "invalid_request",
    ]  # fmt: skip
    assert await world.add_replicas(world.admin, refs[0], refs[1]) == ["same", "same"]
    outcomes = await world.services.changes.register(world.admin, [ReplicaRef("/vo/f", "three", "elsewhere")])
    assert codes(outcomes) == ["conflict"]
    assert faults(outcomes)[0].details == {"pfn": "at/f"}
    assert await world.usage("/vo") == (2, 15, {"one": (2, 15), "two": (1, 10), "three": (1, 10)})


async def test_states(world: World) -> None:
    await world.elements("one", "two")
    await world.register(world.admin, file("/vo/f", 10, "one", "two"))
    assert await world.set_state(world.admin, ReplicaRef("/vo/f", "one", state=SUSPECT, note="bad bytes")) == ["ok"]
    assert await world.set_state(world.admin, ReplicaRef("/vo/f", "one", state=SUSPECT)) == ["same"]
    assert (
        await world.set_state(
            world.admin, ReplicaRef("/vo/f", "three", state=LOST), ReplicaRef("/vo/g", "one", state=LOST)
        )
        == ["not_found"] * 2
    )
    assert await states(world, "/vo/f") == {"one": "suspect", "two": "available"}
    assert [r["note"] for r in await world.sql("select note from replica_info")] == ["bad bytes"]
    assert await world.set_state(world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/f", "two", state=LOST)) == [
        "ok",
        "ok",
    ]
    assert await states(world, "/vo/f") == {"one": "available", "two": "lost"}
    assert await world.drop(world.admin, ReplicaRef("/vo/f", "one"), force=True) == ["ok"]
    assert await world.sql("select * from replica_info") == [], "notes go with their replica"


async def test_dropping_a_copy_queues_its_bytes(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, file("/vo/f", 10, "one", "two", "three"), file("/vo/g", 5, "one"))
    assert await world.drop(
        world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/g", "two"), ReplicaRef("/vo/none", "one")
    ) == ["ok", "same", "not_found"]
    rows = await world.sql("select e.name, d.pfn, d.size, d.lfn from deletion d join element e on e.id = d.se_id")
    guid = (await world.stat(world.admin, "/vo/f")).guid or ""
    assert [tuple(r) for r in rows] == [("one", f"{guid[-2:]}/{guid[-4:-2]}/{guid}", 10, "/vo/f")]
    assert await world.drop(world.admin, ReplicaRef("/vo/f", "two"), keep_bytes=True) == ["ok"]
    assert len(await world.sql("select 1 from deletion")) == 1
    assert await world.usage("/vo") == (2, 15, {"three": (1, 10), "one": (1, 5)})


async def test_the_last_good_copy_stays(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, file("/vo/f", 10, "one", "two"), file("/vo/g", 10, "one"))
    await world.set_state(world.admin, ReplicaRef("/vo/f", "two", state=LOST), ReplicaRef("/vo/g", "one", state=LOST))
    assert await world.drop(world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/f", "two")) == ["conflict", "ok"]
    assert await world.drop(world.admin, ReplicaRef("/vo/g", "one")) == ["ok"], "what is lost is no good copy"
    assert await world.drop(world.admin, ReplicaRef("/vo/f", "one"), force=True) == ["ok"]
    assert (await world.stat(world.admin, "/vo/f")).replicas == 0
    await world.register(world.admin, file("/vo/h", 1, "one", "two", "three"))
    assert await world.drop(world.admin, *(ReplicaRef("/vo/h", e) for e in ("one", "two", "three"))) == [
        "ok",
        "ok",
        "conflict",
    ]


async def test_a_copy_that_is_wanted_again_keeps_its_bytes(world: World) -> None:
    await world.elements("one", "two")
    await world.elements("tree", layout="identity")
    guid = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
    await world.register(world.admin, file("/vo/f", 10, "one", "two", "tree", guid=guid))
    await world.drop(world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/f", "tree"))
    assert len(await world.sql("select 1 from deletion")) == 2
    assert await world.add_replicas(world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/f", "tree")) == [
        "ok",
        "ok",
    ]
    assert await world.sql("select 1 from deletion") == []
    await world.drop(world.admin, ReplicaRef("/vo/f", "one"), ReplicaRef("/vo/f", "tree"))
    assert await world.register(world.admin, file("/vo/f", 10, "one", "tree")) == ["ok"], "told of by registration"
    assert await world.sql("select 1 from deletion") == []
    await world.set(world.admin, "/vo", comment="x")
    await world.remove(world.admin, "/vo/f", keep=0)
    while await world.services.cleaner._empty_trash():
        pass
    assert len(await world.sql("select 1 from deletion")) == 3
    assert await world.register(world.admin, file("/vo/f", 10, "one", "tree", guid=guid)) == ["ok"], "as a new file"
    assert [r["pfn"][:2] for r in await world.sql("select pfn from deletion")] == ["71"]


async def test_a_copy_added_by_registration_lies_where_the_layout_says(world: World) -> None:
    await world.elements("one")
    await world.elements("tree", layout="identity")
    await world.register(world.admin, file("/vo/f", 10, "one"))
    await world.register(world.admin, file("/vo/f", 10, "tree"))
    assert [s.pfn for s in (await world.resolve(world.admin, "/vo/f", None, "tree")).sources] == ["vo/f"]


async def test_a_thousand_changes_in_one_call(world: World) -> None:
    await world.elements("one", "two")
    await world.register(world.admin, *(file(f"/vo/{n % 10}/{n}", n, "one") for n in range(2000)))
    names = [f"/vo/{n % 10}/{n}" for n in range(2000)]
    assert await world.add_replicas(world.admin, *(ReplicaRef(n, "two") for n in names)) == ["ok"] * 2000
    assert (await world.usage("/vo"))[2] == {"one": (2000, 1999000), "two": (2000, 1999000)}
    assert await world.set_state(world.admin, *(ReplicaRef(n, "one", state=LOST) for n in names)) == ["ok"] * 2000
    assert await world.drop(world.admin, *(ReplicaRef(n, "one") for n in names)) == ["ok"] * 2000
    assert (await world.usage("/vo"))[2] == {"two": (2000, 1999000)}
    assert len(await world.sql("select 1 from deletion")) == 2000


async def test_a_call_may_name_a_file_more_than_once(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, file("/vo/f", 10, "one"))
    assert await world.add_replicas(
        world.admin, ReplicaRef("/vo/f", "two"), ReplicaRef("/vo/f", "three"), ReplicaRef("/vo/f", "two")
    ) == ["ok", "ok", "same"]
    assert await world.drop(
        world.admin, ReplicaRef("/vo/f", "two"), ReplicaRef("/vo/f", "two"), ReplicaRef("/vo/f", "one")
    ) == ["ok", "same", "ok"]
    assert (await world.usage("/vo"))[2] == {"three": (1, 10)}


# ── resolution ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def order(world: World, lfn: str, site: str | None = None) -> list[str]:
    return [s.se for s in (await world.resolve(world.admin, lfn, site)).sources]


async def test_the_order_available_then_site_then_disk_then_cost(world: World) -> None:
    await world.elements("near", site="LYON", cost=900)
    await world.elements("cheap", site="KEK", cost=1)
    await world.elements("dear", site="KEK", cost=500)
    await world.elements("tape", site="KEK", cost=0, medium=Medium.TAPE)
    await world.elements("neartape", site="LYON", cost=0, medium=Medium.TAPE)
    await world.register(world.admin, file("/vo/f", 1, "tape", "dear", "neartape", "cheap", "near"))
    assert await order(world, "/vo/f") == ["cheap", "dear", "near", "neartape", "tape"] or set(
        (await order(world, "/vo/f"))[3:]
    ) == {"tape", "neartape"}
    assert await order(world, "/vo/f", "LYON") == ["near", "neartape", "cheap", "dear", "tape"]
    assert await order(world, "/vo/f", "KEK") == ["cheap", "dear", "tape", "near", "neartape"]
    await world.set_state(
        world.admin, ReplicaRef("/vo/f", "near", state=SUSPECT), ReplicaRef("/vo/f", "dear", state=LOST)
    )
    assert await order(world, "/vo/f", "LYON") == ["neartape", "cheap", "tape", "near"]


async def test_equals_share_the_load(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, *(file(f"/vo/{n}", 1, "one", "two", "three") for n in range(300)))
    outcomes = await world.services.resolver.resolve(world.admin, Resolve([f"/vo/{n}" for n in range(300)]))
    firsts = [o.value.sources[0].se for o in outcomes.outcomes if o.value]
    assert all(60 < firsts.count(e) < 140 for e in ("one", "two", "three"))


async def test_it_says_why_a_file_cannot_be_read(world: World) -> None:
    await world.elements("one", "two")
    change = world.services.elements.change
    await world.register(world.admin, file("/vo/f", 1, "one", "two"), file("/vo/none"), file("/vo/g", 1, "one"))
    assert (await world.resolve(world.admin, "/vo/f")).why is None
    assert (await world.resolve(world.admin, "/vo/none")).why == "it has no replica"
    await world.set_state(
        world.admin, ReplicaRef("/vo/f", "one", state=SUSPECT), ReplicaRef("/vo/f", "two", state=SUSPECT)
    )
    found = await world.resolve(world.admin, "/vo/f")
    assert len(found.sources) == 2, "still worth a try, when nothing else is left"
    assert "all replicas are suspect" in (found.why or "")
    await world.set_state(world.admin, ReplicaRef("/vo/f", "one", state=LOST), ReplicaRef("/vo/f", "two", state=LOST))
    found = await world.resolve(world.admin, "/vo/f")
    assert (found.sources, found.why) == ([], "no replica can be read: they are lost")
    await change(world.admin, "one", ElementChange(state=ElementState.OFF))
    found = await world.resolve(world.admin, "/vo/g")
    assert (found.sources, found.why) == ([], "no replica can be read: element 'one' is off")
    await change(world.admin, "one", ElementChange(state=ElementState.ACTIVE, can_read=False))
    assert "'one' is closed to read" in ((await world.resolve(world.admin, "/vo/g")).why or "")
    assert "on the elements asked for" in ((await world.resolve(world.admin, "/vo/g", None, "two")).why or "")
    for state in (ElementState.READ_ONLY, ElementState.DRAIN):
        await change(world.admin, "one", ElementChange(state=state, can_read=True))
        assert await order(world, "/vo/g") == ["one"], "still read"


async def test_what_is_resolved(world: World) -> None:
    (one,) = await world.elements("one", site="LYON")
    spec = file("/vo/d d/f#é", 5, "one", checksums={"adler32": "00000001", "md5": "a" * 32})
    spec.replicas[0].pfn = "a b/é#?"
    await world.register(world.admin, spec, file("/vo/g", 1, "one"))
    found = await world.resolve(world.admin, "/vo/d d/f#é")
    assert (found.size, found.checksums) == (5, spec.checksums)
    source = found.sources[0]
    assert (source.se, source.pfn, source.state, source.site) == ("one", "a b/é#?", AVAILABLE, "LYON")
    assert source.url == f"file://{one.options['path']}/a%20b/%C3%A9%23%3F"
    guid = (await world.resolve(world.admin, "/vo/g")).guid or ""
    assert (await world.resolve(world.admin, "/vo/g")).sources[
        0
    ].url == f"file://{one.options['path']}/{guid[-2:]}/{guid[-4:-2]}/{guid}"


async def test_bulk_resolution_answers_in_order(world: World) -> None:
    await world.elements("one", "two")
    await world.register(world.admin, *(file(f"/vo/{n % 7}/{n}", n, "one" if n % 2 else "two") for n in range(1000)))
    await world.link(world.admin, vo__l="3/10", vo__d="/vo/5", vo__dir="/vo/6")
    asked = [f"/vo/{n % 7}/{n}" for n in range(1000)] + [
        "/vo/l",
        "/vo/d/12",
        "/vo/dir",
        "/vo/3",
        "/vo/none",
        "bad",
        "/vo/3/10/x",
        "/",
    ]
    outcomes = await world.services.resolver.resolve(world.admin, Resolve(asked))
    assert [o.item for o in outcomes.outcomes] == asked
    assert codes(outcomes)[1000:] == [
        "ok",
        "ok",
        "invalid_request",
        "invalid_request",
        "not_found",
        "invalid_request",
        "not_found",
        "invalid_request",
    ]
    for n, one in enumerate(outcomes.outcomes[:1002]):
        size = [10, 12][n - 1000] if n >= 1000 else n
        assert one.value
        assert (one.value.size, one.value.sources[0].se) == (size, "one" if size % 2 else "two")
    assert all(
        "is a directory" in f.message
        for f in faults(outcomes)
        if f.code == "invalid_request" and "bad" not in f.message
    )
    with pytest.raises(NotFound, match="no storage element 'none'"):
        await world.resolve(world.admin, "/vo/3/10", None, "none")
