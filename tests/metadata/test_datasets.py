"""Data sets: queries, lists and combinations with names, owners and rights."""

from __future__ import annotations

import pytest

from lading.model.dataset import Combination, Combine, DatasetChange, Members, NewDataset
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound
from lading.model.people import VOSpec
from lading.model.replica import ReplicaRef, ReplicaState
from metadata.language.dirac import from_dirac
from metadata.language.unparse import unparse
from tests.catalog.world import World, codes, file
from tests.metadata.sets import add, create, drop, found, freeze, listed, soon


async def _files(world: World) -> None:
    await world.vo("vo")
    await world.elements("se1", "se2")
    await world.declare(m="string", n="int")
    specs = [file(f"/vo/{d}/{i}", 10 * i, *(["se1"] if i % 2 else ["se1", "se2"])) for d in "ab" for i in range(1, 4)]
    assert set(await world.register(world.admin, *specs, file("/vo/c/none", 7))) == {"ok"}
    assert set(
        await world.describe(world.admin, {"/vo/a": {"m": "MRI"}, "/vo/b": {"m": "CT"}, "/vo/b/1": {"n": 1}})
    ) == {"ok"}


async def test_of_a_query(world: World) -> None:
    await _files(world)
    made = await create(world, world.admin, "/vo/sets/mri", 'm = "MRI"', description="x", metadata={"k": [1]})
    assert (made.name, made.owner, made.mode, made.query, made.under) == (
        "/vo/sets/mri",
        "admin",
        0o644,
        'm = "MRI"',
        "/",
    )
    assert (await listed(world, world.admin, "/vo/sets/mri")) == (["/vo/a/1", "/vo/a/2", "/vo/a/3"], 0)
    state = await world.services.datasets.state(world.admin, "/vo/sets/mri")
    assert (state.files, state.bytes, state.nowhere, state.since) == (3, 60, 0, None)
    assert [(e.element, e.files, e.bytes) for e in state.elements] == [("se1", 3, 60), ("se2", 1, 20)]
    assert await world.set_state(world.admin, ReplicaRef("/vo/a/1", "se1", state=ReplicaState.LOST)) == ["ok"]
    state = await world.services.datasets.state(world.admin, "/vo/sets/mri")
    assert [(e.element, e.files) for e in state.elements] == [("se1", 2), ("se2", 1)]
    assert state.nowhere == 1
    assert await found(world, world.admin, 'in dataset "/vo/sets/mri" and size > 10') == ["/vo/a/2", "/vo/a/3"]
    assert await found(world, world.admin, 'not in dataset "/vo/sets/mri" and size > 20') == ["/vo/b/3"]
    await world.register(world.admin, "/vo/a/4")
    assert len((await listed(world, world.admin, "/vo/sets/mri"))[0]) == 4, "it is asked anew each time"
    page = await world.services.datasets.page(world.admin, under="/vo/sets", limit=1)
    assert [d.name for d in page.items] == ["/vo/sets/mri"]
    assert (await world.services.datasets.page(world.admin, cursor=page.next)).items == []
    changed = await world.services.datasets.change(
        world.admin, DatasetChange("/vo/sets/mri", query="n exists", under="/vo/b", metadata={"k": None, "l": 1})
    )
    assert (changed.query, changed.under, changed.metadata, changed.description) == ("n exists", "/vo/b", {"l": 1}, "x")
    assert (await listed(world, world.admin, "/vo/sets/mri"))[0] == ["/vo/b/1"]
    await world.services.datasets.remove(world.admin, "/vo/sets/mri")
    with pytest.raises(NotFound):
        await listed(world, world.admin, "/vo/sets/mri")
    with pytest.raises(NotFound):
        await found(world, world.admin, 'in dataset "/vo/sets/mri"')


async def test_of_a_list(world: World) -> None:
    await _files(world)
    await create(world, world.admin, "/vo/l", lfns=["/vo/b/2", "/vo/a/1"])
    assert (await listed(world, world.admin, "/vo/l"))[0] == ["/vo/a/1", "/vo/b/2"]
    assert await add(world, world.admin, "/vo/l", "/vo/a/1", "/vo/a/2", "/vo/none", "/vo/a", "x") == [
        "same", "ok", "not_found", "invalid_request", "invalid_request",
    ]  # fmt: skip
    assert await world.move(world.admin, ("/vo/a/2", "/vo/b/moved"), ("/vo/b/2", "/vo/c")) == ["ok", "ok"]
    assert await world.move(world.admin, ("/vo/c", "/vo/d")) == ["ok"]
    assert (await listed(world, world.admin, "/vo/l"))[0] == ["/vo/a/1", "/vo/b/moved", "/vo/d/2"], "members move along"
    assert await found(world, world.admin, 'in dataset "/vo/l"', "/vo/b") == ["/vo/b/moved"]
    assert await world.remove(world.admin, "/vo/a/1", "/vo/d", recursive=True) == ["ok", "ok"], "a set protects nothing"
    assert (await listed(world, world.admin, "/vo/l"))[0] == ["/vo/b/moved"]
    assert await world.restore(world.admin, "/vo/a/1") == ["ok"]
    assert (await listed(world, world.admin, "/vo/l"))[0] == ["/vo/a/1", "/vo/b/moved"]
    assert await drop(world, world.admin, "/vo/l", "/vo/a/1", "/vo/a/3", "/vo/none") == ["ok", "same", "not_found"]
    assert await drop(world, world.admin, "/vo/l", "/vo/a/1") == ["same"]
    await world.remove(world.admin, "/vo/b/moved", keep=0)
    await world.clean()
    assert await world.sql("select file_id from dataset_member where file_id not in (select id from file)") == []
    with pytest.raises(InvalidRequest):
        await world.services.datasets.change(world.admin, DatasetChange("/vo/l", query="true"))
    with pytest.raises(NotFound):
        await create(world, world.admin, "/vo/l2", lfns=["/vo/a/1", "/vo/none"])
    assert (await world.services.datasets.page(world.admin)).items[0].name == "/vo/l"
    dry = await world.services.lists.add_files(world.admin, Members("/vo/l", ["/vo/a/3"], dry_run=True))
    assert codes(dry) == ["ok"]
    assert "/vo/a/3" not in (await listed(world, world.admin, "/vo/l"))[0]
    await create(world, world.admin, "/vo/q", "true")
    with pytest.raises(InvalidRequest):
        await add(world, world.admin, "/vo/q", "/vo/a/3")


async def test_algebra(world: World) -> None:
    await _files(world)
    await create(world, world.admin, "/vo/l", lfns=["/vo/a/1", "/vo/b/1", "/vo/b/2"])
    await create(world, world.admin, '/vo/q "x"', 'm = "CT"')
    await freeze(world, world.admin, "/vo/l")
    await add(world, world.admin, "/vo/l", "/vo/c/none")
    parts = {"l": {"/vo/a/1", "/vo/b/1", "/vo/b/2", "/vo/c/none"}, "q": {"/vo/b/1", "/vo/b/2", "/vo/b/3"}}
    s = {"/vo/a/1", "/vo/b/1", "/vo/b/2"}
    names = {"l": "/vo/l", "q": '/vo/q "x"'}
    cases = {
        "u": (Combine.UNION, ["l", "q"], parts["l"] | parts["q"]),
        "i": (Combine.INTERSECTION, ["l", "q"], parts["l"] & parts["q"]),
        "d": (Combine.DIFFERENCE, ["l", "q"], parts["l"] - parts["q"]),
        "e": (Combine.DIFFERENCE, ["q", "l"], parts["q"] - parts["l"]),
    }
    for name, (how, of, expected) in cases.items():
        await create(world, world.admin, f"/vo/{name}", combine=Combination(how, [names[n] for n in of]))
        assert set((await listed(world, world.admin, f"/vo/{name}"))[0]) == expected, how
    await create(world, world.admin, "/vo/s", combine=Combination(Combine.DIFFERENCE, ["/vo/l", "/vo/l@1"]))
    assert (await listed(world, world.admin, "/vo/s"))[0] == ["/vo/c/none"]
    await create(world, world.admin, "/vo/t", combine=Combination(Combine.DIFFERENCE, ["/vo/u", "/vo/i", "/vo/d"]))
    assert set((await listed(world, world.admin, "/vo/t"))[0]) == parts["q"] - parts["l"]
    assert set(await found(world, world.admin, 'in snapshot "/vo/l@1"')) == s
    assert set(await found(world, world.admin, 'in snapshot "/vo/l" or size = 7')) == s | {"/vo/c/none"}
    assert set(await found(world, world.admin, 'not in snapshot "/vo/l@1" and in dataset "/vo/l"')) == {"/vo/c/none"}
    for bad in ('in snapshot "/vo/l@2"', 'in dataset "/vo/none"', 'in snapshot "/vo/u"'):
        with pytest.raises(NotFound):
            await found(world, world.admin, bad)
    with pytest.raises(InvalidRequest):
        await found(world, world.admin, 'in dataset "/vo/l@1"')


async def test_no_circles(world: World) -> None:
    await _files(world)
    await create(world, world.admin, "/vo/s1", "true")
    for n in range(2, 9):
        await create(world, world.admin, f"/vo/s{n}", f'in dataset "/vo/s{n - 1}"')
    assert len((await listed(world, world.admin, "/vo/s7"))[0]) == 7
    with pytest.raises(InvalidRequest, match="deep"):
        await create(world, world.admin, "/vo/s9", 'in dataset "/vo/s8"')
    for n in (1, 3, 8):
        with pytest.raises(InvalidRequest, match="by itself"):
            await world.services.datasets.change(
                world.admin, DatasetChange("/vo/s1", query=f'in dataset "/vo/s{min(n, 7)}"')
            )
    await create(world, world.admin, "/vo/w1", " or ".join(['in dataset "/vo/s1"'] * 20))
    with pytest.raises(InvalidRequest, match="more than 64"):
        await create(world, world.admin, "/vo/w2", " or ".join(['in dataset "/vo/w1"'] * 4))
    # Past the service, a circle is still no endless work.
    await world.sql("""update dataset set query = 'in dataset "/vo/s2"' where name = '/vo/s1'""")
    with pytest.raises(InvalidRequest, match="by itself"):
        await listed(world, world.admin, "/vo/s2")


async def test_bad_input(world: World) -> None:
    await _files(world)
    for name in ("/vo", "/", "vo/x", "/vo/x@3", "/vo/../x", "/vo/\x07"):
        with pytest.raises(InvalidRequest):
            await create(world, world.admin, name, "true")
    for more in ({}, {"query": "true", "lfns": []}, {"query": "nofield = 1"}, {"query": "size >"}):
        with pytest.raises(InvalidRequest):
            await world.services.datasets.create(world.admin, NewDataset("/vo/x", **more))
    with pytest.raises(NotFound):
        await create(world, world.admin, "/vo/x", "true", under="/nowhere")
    await create(world, world.admin, "/vo/x", "true")
    with pytest.raises(Conflict):
        await create(world, world.admin, "/vo/x", "true")
    dry = await create(world, world.admin, "/vo/y", "true", dry_run=True)
    assert dry.name == "/vo/y"
    with pytest.raises(NotFound):
        await listed(world, world.admin, "/vo/y")


async def test_who_may(world: World) -> None:
    await _files(world)
    alice, bob, carol = await world.people(alice=["g"], bob=["g"], carol=["h"])
    await world.services.people.set_vo(world.admin, VOSpec("vo", ["carol"]))
    carol = await world.caller("carol")
    assert await world.mkdir(world.admin, "/vo/user/alice", mode=0o755) == ["ok"]
    assert await world.set(world.admin, "/vo/user/alice", owner="alice", group="g") == ["ok"]
    assert set(await world.set(world.admin, "/vo/a/2", "/vo/b/3", mode=0o600)) == {"ok"}
    with pytest.raises(Forbidden):
        await create(world, alice, "/vo/x", "true")
    with pytest.raises(Forbidden):
        await create(world, await world.caller("alice", "read"), "/vo/user/alice/x", "true")
    made = await create(world, alice, "/vo/user/alice/deep/x", "true", mode=0o640)
    assert (made.owner, made.group) == ("alice", "g")
    mine = (await listed(world, alice, made.name))[0]
    assert "/vo/a/2" not in mine, "each sees with their own eyes"
    assert (await world.services.datasets.state(alice, made.name)).files == len(mine) == 5
    assert (await world.services.datasets.state(world.admin, made.name)).files == 7
    with pytest.raises(Forbidden):
        await create(world, alice, "/vo/user/alice/l", lfns=["/vo/a/2"])
    # bob reads by the group's bits and changes nothing; others see nothing of it, the VO's administrator everything.
    assert [d.name for d in (await world.services.datasets.page(bob)).items] == [made.name]
    for work in (
        world.services.datasets.change(bob, DatasetChange(made.name, description="x")),
        world.services.datasets.remove(bob, made.name),
        freeze(world, bob, made.name),
        freeze(world, await world.caller("alice", "read"), made.name),
        world.services.datasets.change(alice, DatasetChange(made.name, owner="bob")),
        world.services.datasets.change(alice, DatasetChange(made.name, group="h")),
    ):
        with pytest.raises(Forbidden):
            await work
    await world.services.datasets.change(alice, DatasetChange(made.name, mode=0o660))
    assert (
        await world.services.datasets.change(bob, DatasetChange(made.name, description="bob's"))
    ).description == "bob's"
    with pytest.raises(Forbidden):
        await world.services.datasets.change(bob, DatasetChange(made.name, mode=0o666))
    await world.services.datasets.change(carol, DatasetChange(made.name, mode=0o600))
    for work in (listed(world, bob, made.name), found(world, bob, f'in dataset "{made.name}"')):
        with pytest.raises(Forbidden):
            await work
    assert (await world.services.datasets.page(bob)).items == []
    assert (await world.services.datasets.change(carol, DatasetChange(made.name, owner="bob"))).owner == "bob"
    await world.services.datasets.remove(carol, made.name)


async def test_a_list_shows_only_what_may_be_read(world: World) -> None:
    await _files(world)
    (alice,) = await world.people(alice=["g"])
    await create(world, world.admin, "/vo/l", lfns=["/vo/a/1", "/vo/a/2", "/vo/b/1"])
    assert await world.set(world.admin, "/vo/a/2", mode=0o600) == ["ok"]
    assert await world.set(world.admin, "/vo/b", mode=0o700) == ["ok"]
    assert await listed(world, alice, "/vo/l") == (["/vo/a/1"], 0)
    state = await world.services.datasets.state(alice, "/vo/l")
    assert (state.files, state.bytes, [e.files for e in state.elements]) == (1, 10, [1])


async def test_diracs_queries(world: World) -> None:
    await _files(world)
    query = unparse(from_dirac({"m": {"in": ["MRI", "PET"]}, "size": {">=": 20}}))
    await create(world, world.admin, "/vo/dirac", query, under="/vo")
    assert (await listed(world, world.admin, "/vo/dirac"))[0] == ["/vo/a/2", "/vo/a/3"]


async def test_races_of_names(world: World) -> None:
    await _files(world)
    done = await soon(*(create(world, world.admin, "/vo/x", "true") for _ in range(4)))
    assert [isinstance(d, Conflict) for d in done].count(True) == 3
    assert not [d for d in done if isinstance(d, Exception) and not isinstance(d, CatalogError)]
    await create(world, world.admin, "/vo/y", "true")
    done = await soon(
        world.services.datasets.change(world.admin, DatasetChange("/vo/x", query='in dataset "/vo/y"')),
        world.services.datasets.change(world.admin, DatasetChange("/vo/y", query='in dataset "/vo/x"')),
    )
    assert [isinstance(d, InvalidRequest) for d in done].count(True) == 1, "one of them would close the circle"
    await create(world, world.admin, "/vo/l", lfns=[])
    await soon(add(world, world.admin, "/vo/l", "/vo/a/1", "/vo/a/2"), world.move(world.admin, ("/vo/a/1", "/vo/b/x")))
    rows = await world.sql(
        "select m.file_id from dataset_member m join file f on f.id = m.file_id where f.dir_id <> m.dir_id"
    )
    assert rows == []
