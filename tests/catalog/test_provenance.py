"""Which files a file was made from: ancestors, descendants, no cycles."""

from __future__ import annotations

import random

from lading.model.api import Ancestry, Direction, Relatives
from lading.model.principal import Caller

from .world import World, codes, faults, file


async def add(world: World, who: Caller, **ancestors: list[str]) -> list[str]:
    """Names of one letter below /vo."""
    files = [Ancestry(f"/vo/{c}", [f"/vo/{p}" for p in parents]) for c, parents in ancestors.items()]
    return codes(await world.services.provenance.add(who, files))


async def relatives(
    world: World, name: str, depth: int = 1, *, down: bool = False, who: Caller | None = None
) -> list[tuple[str, int]]:
    body = Relatives([f"/vo/{name}"], Direction.DESCENDANTS if down else Direction.ANCESTORS, depth)
    found = (await world.services.provenance.relatives(who or world.admin, body)).outcomes[0].get()
    assert found is not None
    return [(r.lfn.rpartition("/")[2], r.depth) for r in found]


async def test_ancestors_and_descendants_nearest_first(world: World) -> None:
    await world.register(world.admin, *(f"/vo/{c}" for c in "abcdef"))
    assert await add(world, world.admin, b=["a"], c=["b"], d=["c", "a"], f=["d", "e"]) == ["ok"] * 4
    assert await relatives(world, "f") == [("d", 1), ("e", 1)]
    assert await relatives(world, "f", 2) == [("d", 1), ("e", 1), ("a", 2), ("c", 2)]
    assert await relatives(world, "f", 0) == [("d", 1), ("e", 1), ("a", 2), ("c", 2), ("b", 3)]
    assert await relatives(world, "a", down=True) == [("b", 1), ("d", 1)]
    assert await relatives(world, "a", 0, down=True) == [("b", 1), ("d", 1), ("c", 2), ("f", 2)]
    assert await relatives(world, "a") == []


async def test_adding_is_safe_to_repeat_and_errors_name_their_item(world: World) -> None:
    await world.register(world.admin, *(f"/vo/{c}" for c in "abc"))
    assert await add(world, world.admin, b=["a"]) == ["ok"]
    assert await add(world, world.admin, b=["a", "c"]) == ["ok"]
    assert await relatives(world, "b") == [("a", 1), ("c", 1)]
    outcomes = await world.services.provenance.add(
        world.admin,
        [
            Ancestry("/vo/c", ["/vo/a"]),
            Ancestry("/vo/none", ["/vo/a"]),
            Ancestry("/vo/a", ["/vo/none"]),
            Ancestry("/vo", ["/vo/a"]),
            Ancestry("bad", []),
        ],
    )
    assert codes(outcomes) == ["ok", "not_found", "not_found", "invalid_request", "invalid_request"]
    assert codes(await world.services.provenance.relatives(world.admin, Relatives(["/vo/c", "/vo", "/vo/none"]))) == [
        "ok",
        "invalid_request",
        "not_found",
    ]


async def test_a_cycle_is_a_conflict_of_its_item_alone(world: World) -> None:
    await world.register(world.admin, *(f"/vo/{c}" for c in "abcdxy"))
    await add(world, world.admin, b=["a"], c=["b"])
    assert await add(world, world.admin, a=["a"]) == ["conflict"]
    assert await add(world, world.admin, a=["c"]) == ["conflict"]
    assert await add(world, world.admin, a=["c"], y=["x"]) == ["conflict", "ok"]
    assert await relatives(world, "y") == [("x", 1)]
    assert await relatives(world, "a") == []
    loop = await add(world, world.admin, x=["d"], d=["y"], b=["a"])
    assert loop[2] == "ok"
    assert "conflict" in loop[:2], "the two would close a cycle together"
    found = await world.services.provenance.add(world.admin, [Ancestry("/vo/a", ["/vo/c"])])
    assert "/vo/a" in faults(found)[0].message


async def test_a_call_that_closes_a_cycle_by_itself(world: World) -> None:
    await world.register(world.admin, *(f"/vo/{n}" for n in range(6)))
    ring = [Ancestry(f"/vo/{n}", [f"/vo/{(n + 1) % 6}"]) for n in range(6)]
    assert "conflict" in codes(await world.services.provenance.add(world.admin, ring))
    edges = {(r["child"], r["parent"]) for r in await world.sql("select child, parent from edge")}
    reach = set(edges)
    for _ in range(6):
        reach |= {(a, d) for a, b in reach for c, d in edges if b == c}
    assert not any(a == b for a, b in reach)


async def test_random_graphs_stay_without_cycles_and_know_their_depths(world: World) -> None:
    """Against a search breadth first, in Python."""
    rng = random.Random(7)
    names = [f"n{n}" for n in range(25)]
    await world.register(world.admin, *(f"/vo/{n}" for n in names))
    up: dict[str, set[str]] = {n: set() for n in names}

    def distances(start: str) -> dict[str, int]:
        found, front, depth = {}, {start}, 0
        while front:
            depth += 1
            front = {p for c in front for p in up[c]} - found.keys()
            found |= dict.fromkeys(front, depth)
        return found

    for _ in range(90):
        child, parent = rng.choice(names), rng.choice(names)
        expected = "conflict" if child == parent or child in distances(parent) else "ok"
        assert await add(world, world.admin, **{child: [parent]}) == [expected]
        if expected == "ok":
            up[child].add(parent)
    for name in names:
        assert dict(await relatives(world, name, 0)) == distances(name)
        assert dict(await relatives(world, name, 2)) == {n: d for n, d in distances(name).items() if d <= 2}


async def test_many_paths_between_two_files_cost_no_more_than_their_steps(world: World) -> None:
    """Forty diamonds in a row: 2^40 paths, 120 files."""
    files = []
    for n in range(40):
        files += [
            Ancestry(f"/vo/{n}a", [f"/vo/{n}s"]),
            Ancestry(f"/vo/{n}b", [f"/vo/{n}s"]),
            Ancestry(f"/vo/{n + 1}s", [f"/vo/{n}a", f"/vo/{n}b"]),
        ]
    await world.register(world.admin, *sorted({f.lfn for f in files} | {"/vo/0s"}))
    assert set(codes(await world.services.provenance.add(world.admin, files))) == {"ok"}
    found = await relatives(world, "40s", 0)
    assert len(found) == 120
    assert dict(found)["0s"] == 80
    assert await add(world, world.admin, **{"0s": ["40s"]}) == ["conflict"]


async def test_rights(world: World) -> None:
    alice, bob = await world.people(alice=["staff"], bob=["guests"])
    await world.mkdir(world.admin, "/vo", mode=0o777)
    await world.register(alice, "/vo/a", file("/vo/shut/s", mode=0o600))
    await world.register(bob, "/vo/b", "/vo/c")
    await world.set(alice, "/vo/shut", mode=0o700)
    assert await add(world, bob, a=["b"]) == ["forbidden"], "not his to change"
    assert await add(world, bob, b=["a", "c"]) == ["ok"], "to say what it was made from changes only the child"
    assert await add(world, alice, a=["shut/s"]) == ["ok"]
    assert await relatives(world, "a", who=alice) == [("s", 1)]
    assert await relatives(world, "a", who=bob) == [], "what he may not reach is left out"
    assert await relatives(world, "b", 0, who=bob) == [("a", 1), ("c", 1)]


async def test_provenance_follows_its_files(world: World) -> None:
    await world.register(world.admin, "/vo/a", "/vo/b", "/vo/c")
    await add(world, world.admin, b=["a"], c=["b"])
    await world.move(world.admin, ("/vo/a", "/vo/d/z"))
    await world.mkdir(world.admin, "/vo/e")
    await world.move(world.admin, ("/vo/a", "/vo/e"))
    assert await relatives(world, "b") == [("a", 1)]
    await world.remove(world.admin, "/vo/b")
    assert await relatives(world, "c", 0) == [("a", 2)], "what is in the trash is not shown, and still joins"
    await world.restore(world.admin, "/vo/b")
    assert await relatives(world, "c", 0) == [("b", 1), ("a", 2)]


async def test_registration_gives_ancestors(world: World) -> None:
    await world.register(world.admin, "/vo/a")
    assert await world.register(
        world.admin, file("/vo/c", ancestors=["/vo/b"]), file("/vo/b", ancestors=["/vo/a"])
    ) == ["ok", "ok"]
    assert await relatives(world, "c", 0) == [("b", 1), ("a", 2)]
    bad = file("/vo/e", ancestors=["/vo/none"])
    after = file("/vo/f", ancestors=["/vo/e"])
    assert await world.register(world.admin, "/vo/d", bad, after, file("/vo/g", ancestors=["/vo/g"])) == [
        "ok",
        "not_found",
        "not_found",
        "conflict",
    ]
    assert await world.ls(world.admin, "/vo") == ["a", "b", "c", "d"], "no file without its ancestry"
    assert await world.register(world.admin, file("/vo/d", ancestors=["/vo/a"])) == ["same"]
    assert await relatives(world, "d") == [("a", 1)]
