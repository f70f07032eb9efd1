"""Every call of the client against the real server: what is sent is understood, what comes back is typed."""

from __future__ import annotations

import pytest

from lading import Client, Conflict, Forbidden, NotFound
from lading.model import api
from lading.model.element import ElementChange, ElementState, ElementType
from lading.model.file import FileSpec, Kind, ReplicaSpec
from lading.model.people import GroupSpec, TokenSpec, UserChange, UserSpec, VOSpec
from lading.model.replica import Copy, ReplicaRef, ReplicaState
from tests.client.support import Bench, adler32, noise
from tests.server import Server


async def test_names(bench: Bench) -> None:
    c = bench.client
    await bench.declare(run="int")
    made = await c.make_directories(["/vo/d/e", "/vo/d", "bad"])
    assert [o.error.code if o.error else None for o in made] == [None, None, "invalid_request"]
    spec = FileSpec(
        "/vo/d/f", 3, checksums={"md5": "0" * 32}, replicas=[ReplicaSpec("disk1", "x/y")], metadata={"run": 7}
    )
    registered = (await c.register([spec]))[0]
    again = (await c.register([spec]))[0]
    assert (registered.changed, again.changed) == (True, False)
    entry = await c.entry("/vo/d/f")
    assert (entry.size, entry.guid, entry.replicas, entry.metadata) == (3, registered.value.guid, 1, {"run": 7})
    assert [(e.lfn, e.kind) async for e in c.list("/vo/d")] == [("/vo/d/e", Kind.DIRECTORY), ("/vo/d/f", Kind.FILE)]
    assert [o.value for o in await c.exists(["/vo/d/f", "/vo/no"])] == [True, False]
    assert (await c.link([("/vo/l", "/vo/d/f")]))[0].error is None
    assert (await c.entry("/vo/l")).size == 3
    assert (await c.entry("/vo/l", follow=False)).target == "/vo/d/f"
    assert (await c.set_attributes(api.SetAttributes(["/vo/d/f"], mode=0o600, comment="mine")))[0].error is None
    entry = await c.entry("/vo/d/f")
    assert (entry.mode, entry.comment) == (0o600, "mine")
    assert [o.error for o in await c.move([("/vo/d/f", "/vo/g"), ("/vo/d", "/vo/h")])] == [None, None]
    usage = (await c.usage(["/vo"]))[0].value
    assert (usage.files, usage.bytes, usage.elements["disk1"].replicas) == (1, 3, 1)
    with pytest.raises(NotFound):
        await c.entry("/vo/d/f")


async def test_walk(bench: Bench) -> None:
    c = bench.client
    await c.make_directories([f"/vo/{a}/{b}" for a in "xyz" for b in "123"])
    seen = {lfn: [e.lfn for e in entries] async for lfn, entries in c.walk("/vo")}
    assert next(iter(seen)) == "/vo"
    assert seen["/vo/y"] == ["/vo/y/1", "/vo/y/2", "/vo/y/3"]
    assert len(seen) == 13
    async for _ in c.walk("/vo"):
        break  # leaving early leaves nothing behind


async def test_dry_runs_change_nothing(bench: Bench) -> None:
    c = bench.client
    assert (await c.register([FileSpec("/vo/a", 1)], dry_run=True))[0].error is None
    assert (await c.make_directories(["/vo/d"], dry_run=True))[0].error is None
    assert [o.value for o in await c.exists(["/vo/a", "/vo/d"])] == [False, False]


async def test_trash(bench: Bench) -> None:
    c = bench.client
    await c.register([FileSpec(f"/vo/d/{i}", 1) for i in range(3)])
    removed = (await c.remove(["/vo/d"], recursive=True))[0].value
    assert (removed.lfn, removed.files) == ("/vo/d", 3)
    assert [item.id async for item in c.trash.list("/vo")] == [removed.id]
    assert (await c.trash.restore([removed.id], to="/vo/back"))[0].value == "/vo/back/d"
    assert (await c.entry("/vo/back/d/2")).size == 1
    again = (await c.remove(["/vo/back"], recursive=True))[0].value
    assert (await c.trash.purge([again.id]))[0].error is None
    assert [item.expires < again.expires async for item in c.trash.list()] in ([True], [])  # gone at the next cleaning


async def test_provenance(bench: Bench) -> None:
    c = bench.client
    await c.register([FileSpec("/vo/raw", 1), FileSpec("/vo/a", 1, ancestors=["/vo/raw"]), FileSpec("/vo/b", 1)])
    assert (await c.add_ancestors([api.Ancestry("/vo/b", ["/vo/a"])]))[0].error is None
    found = (await c.relatives(["/vo/b"], depth=0))[0].value
    assert [(r.lfn, r.depth) for r in found] == [("/vo/a", 1), ("/vo/raw", 2)]
    down = (await c.relatives(["/vo/raw"], api.Direction.DESCENDANTS))[0].value
    assert [r.lfn for r in down] == ["/vo/a"]
    looped, fine = await c.add_ancestors([api.Ancestry("/vo/raw", ["/vo/b"]), api.Ancestry("/vo/b", ["/vo/raw"])])
    assert looped.error.code == "conflict"
    assert "its own ancestor" in looped.error.message
    assert fine.error is None


async def test_replicas(bench: Bench) -> None:
    c = bench.client
    data = noise(1000)
    await c.write("/vo/f", data, se="disk1")
    copied = (await c.copy([Copy("/vo/f", "disk2")]))[0]
    assert copied.value.se == "disk2"
    assert bench.object("disk2", data)
    file = await c.sources("/vo/f")
    assert [s.se for s in file.sources] == ["disk1", "disk2"]
    assert file.checksums == {"adler32": adler32(data)}
    await c.set_replica_state([ReplicaRef("/vo/f", "disk1", state=ReplicaState.SUSPECT)])
    assert [s.se for s in (await c.sources("/vo/f")).sources] == ["disk2", "disk1"]
    assert [s.se for s in (await c.sources("/vo/f", ses=["disk1"])).sources] == ["disk1"]
    assert (await c.drop_replicas([ReplicaRef("/vo/f", "disk1")]))[0].error is None
    assert (await c.register_replicas([ReplicaRef("/vo/f", "disk1", "elsewhere")]))[0].error is None
    assert {s.pfn for s in (await c.sources("/vo/f")).sources} >= {"elsewhere"}
    none = (await c.resolve(["/vo"]))[0]
    assert none.error.code == "invalid_request"


async def test_elements(bench: Bench) -> None:
    c = bench.client
    assert [e.name for e in await c.elements.list()] == ["disk1", "disk2"]
    assert (await c.elements.set("disk2", ElementChange(state=ElementState.READ_ONLY))).state is ElementState.READ_ONLY
    assert (await c.elements.show("disk2")).state is ElementState.READ_ONLY
    assert (await c.elements.probe("disk1")).ok
    types = await c.elements.types()
    assert isinstance(types[0], ElementType)
    await c.elements.remove("disk2")
    with pytest.raises(NotFound):
        await c.elements.show("disk2")


async def test_people(bench: Bench, server: Server) -> None:
    c = bench.client
    await c.groups.add(GroupSpec("lab"))
    await c.users.add(UserSpec("alice", groups=["lab"]))
    assert (await c.users.set("alice", UserChange(email="a@example.org"))).email == "a@example.org"
    assert "alice" in [u.name async for u in c.users.list()]
    assert "lab" in [g.name async for g in c.groups.list()]
    await c.vos.set(VOSpec("biomed", ["alice"]))
    assert [v.admins for v in await c.vos.list() if v.name == "biomed"] == [["alice"]]
    token = await c.tokens.add(TokenSpec("alice", seconds=60))
    async with Client(server.url, token.token) as alice:
        me = await alice.me()
        assert (me.user, me.groups, me.administers) == ("alice", ["lab"], ["biomed"])
        with pytest.raises(Forbidden):
            await alice.users.add(UserSpec("eve"))
    assert token.id in [t.id for t in await c.tokens.list("alice")]
    await c.tokens.remove(token.id)
    await c.vos.remove("biomed")
    await c.users.remove("alice")
    await c.groups.remove("lab")


async def test_aliases_audit_info(bench: Bench) -> None:
    c = bench.client
    await c.register([FileSpec("/vo/new/f", 1)])
    await c.aliases.set(api.Alias("/old", "/vo/new"))
    assert (await c.entry("/old/f")).size == 1
    assert [a.prefix for a in await c.aliases.list()] == ["/old"]
    await c.aliases.remove("/old")
    assert await c.aliases.list() == []
    rows = [row async for row in c.audit(user="admin")]
    assert any(row.targets == ["/vo/new/f"] and row.count == 1 for row in rows)
    assert [row async for row in c.audit(user="admin", since=rows[0].at + 1)] == []
    info = await c.info()
    assert info.max_items == api.MAX_ITEMS


async def test_anonymous_calls(server: Server) -> None:
    async with Client(server.url, anonymous=True) as nobody:
        assert (await nobody.info()).version
        from lading import Unauthenticated

        with pytest.raises(Unauthenticated):
            await nobody.me()


async def test_another_file_under_a_name_is_a_conflict(bench: Bench) -> None:
    await bench.client.write("/vo/a", b"one")
    with pytest.raises(Conflict):
        await bench.client.write("/vo/a", b"two")
    assert await bench.client.read("/vo/a") == b"one"


async def test_ranges(bench: Bench) -> None:
    c, data = bench.client, noise(1000)
    await c.write("/vo/a", data)
    for start, end in ((0, None), (0, 10), (990, None), (990, 2000), (5, 5), (7, 3), (0, 1)):
        assert await c.read("/vo/a", start, end) == data[start:end], (start, end)
    assert b"".join([chunk async for chunk in c.stream("/vo/a")]) == data
