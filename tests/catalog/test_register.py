"""Registration: content never changes, the same again is a success, one bad file hurts nobody else."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from lading.model.errors import Conflict
from lading.model.file import FileSpec, Kind, ReplicaSpec
from lading.model.guid import new_guids
from lading.model.replica import ReplicaRef

from .world import World, codes, faults, file

GUID = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
SUMS = {
    "adler32": "00000001", "crc32": "ffffffff", "crc32c": "80000000", "cksum": "7fffffff",
    "md5": "d" * 32, "sha1": "1" * 40, "sha256": "2" * 64, "sha512": "5" * 128,
}  # fmt: skip


async def test_a_file_with_all_there_is(world: World) -> None:
    await world.elements("one", "two")
    await world.declare(run="int")
    replicas = [ReplicaSpec("one"), ReplicaSpec("two", "some/where else", "suspect")]
    spec = FileSpec("/vo/d/f", 2**63 - 1, GUID.upper(), SUMS, replicas, 0o600, {"run": 7}, 5, 6, "c")
    outcomes = await world.services.registrar.register(world.admin, [spec])
    assert (outcomes.outcomes[0].item, outcomes.outcomes[0].changed) == ("/vo/d/f", True)
    assert outcomes.outcomes[0].get() is not None
    entry = await world.stat(world.admin, "/vo/d/f")
    assert (entry.kind, entry.size, entry.guid, entry.checksums, entry.replicas) == (
        Kind.FILE,
        2**63 - 1,
        GUID,
        SUMS,
        2,
    )
    assert (entry.mode, entry.metadata, entry.ctime, entry.mtime, entry.comment) == (0o600, {"run": 7}, 5, 6, "c")
    found = await world.resolve(world.admin, "/vo/d/f")
    assert {(s.se, s.pfn, s.state.value) for s in found.sources} == {
        ("one", f"71/60/{GUID}", "available"),
        ("two", "some/where else", "suspect"),
    }


async def test_a_file_without_a_guid_gets_one_and_keeps_it(world: World) -> None:
    first = (await world.services.registrar.register(world.admin, [FileSpec("/vo/f", 0)])).outcomes[0].get()
    again = (await world.services.registrar.register(world.admin, [FileSpec("/vo/f", 0)])).outcomes[0]
    assert first is not None
    assert not again.changed
    assert again.get() == first, "who asks again is told the same"
    assert (await world.stat(world.admin, "/vo/f")).guid == first.guid


async def test_other_content_is_a_conflict_that_says_what_differs(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, file("/vo/f", 10, guid=GUID, checksums={"md5": "a" * 32, "adler32": "80000001"}))
    before = await world.stat(world.admin, "/vo/f")
    for spec, word in (
        (file("/vo/f", 11, "one"), "size is 10, not 11"),
        (file("/vo/f", 10, "one", guid=new_guids(1)[0]), f"GUID is {GUID}"),
        (file("/vo/f", 10, "one", checksums={"md5": "b" * 32}), "md5"),
        (file("/vo/f", 10, "one", checksums={"MD5": "b" * 32}), "md5"),
        (file("/vo/f", 10, "one", checksums={"adler32": "80000002"}), "adler32"),
        (file("/vo/f", 10, "one", checksums={"md5": "a" * 32, "ADLER32": "1"}), "adler32 is 80000001"),
    ):
        outcomes = await world.services.registrar.register(world.admin, [spec])
        assert codes(outcomes) == ["conflict"], spec
        assert word in faults(outcomes)[0].message
        assert "/vo/f" in faults(outcomes)[0].message
    assert await world.stat(world.admin, "/vo/f") == before
    await world.mkdir(world.admin, "/vo/d")
    await world.link(world.admin, vo__l="f")
    assert await world.register(world.admin, "/vo/d", "/vo/l", "/") == ["conflict"] * 3


async def test_the_same_again_is_a_success(world: World) -> None:
    spec = file("/vo/f", 10, guid=GUID, checksums={"md5": "a" * 32, "sha-256": "B" * 64, "adler32": "0x1"})
    assert await world.register(world.admin, spec) == ["ok"]
    before = await world.sql("select * from file order by id")
    await world.declare(x="int")
    for same in (
        spec,
        file("/vo/f"),
        file("/vo/f", guid=GUID.replace("-", "").upper()),
        file("/vo/f", checksums={"MD5": "A" * 32}),
        file("/vo/f", checksums={"sha512": "c" * 128}),
        file("/vo/f", mode=0o600, comment="other", metadata={"x": 1}),
    ):
        assert await world.register(world.admin, same) == ["same"]
    assert await world.sql("select * from file order by id") == before
    assert (await world.stat(world.admin, "/vo/f")).checksums == {
        "adler32": "00000001",
        "md5": "a" * 32,
        "sha256": "b" * 64,
    }


async def test_replicas_it_did_not_have_are_added(world: World) -> None:
    await world.elements("one", "two", "three")
    await world.register(world.admin, file("/vo/f", 10, "one"))
    assert await world.register(world.admin, file("/vo/f", 10, "one", "two")) == ["ok"]
    assert await world.register(world.admin, file("/vo/f", 10, "two", "one")) == ["same"]
    assert await world.register(world.admin, file("/vo/f", 10, "three"), file("/vo/g", 1, "three")) == ["ok", "ok"]
    assert (await world.usage("/vo"))[2] == {"one": (1, 10), "two": (1, 10), "three": (2, 11)}


async def test_a_copy_that_is_said_to_be_elsewhere_is_a_conflict(world: World) -> None:
    await world.elements("one", "two")

    def told(pfn: str | None, *more: ReplicaSpec) -> FileSpec:
        return FileSpec("/vo/f", 1, guid=GUID, replicas=[ReplicaSpec("one", pfn), *more])

    assert await world.register(world.admin, told("a/b")) == ["ok"]
    assert await world.register(world.admin, told("a/b"), told(None)) == ["same", "same"]
    outcomes = await world.services.registrar.register(world.admin, [told("a/c", ReplicaSpec("two"))])
    assert codes(outcomes) == ["conflict"]
    assert "its copy on 'one' is at 'a/b'" in faults(outcomes)[0].message
    assert [s.se for s in (await world.resolve(world.admin, "/vo/f")).sources] == ["one"], "nothing of it was taken"
    assert await world.register(world.admin, told("a/b", ReplicaSpec("two"))) == ["ok"]
    implied = next(s.pfn for s in (await world.resolve(world.admin, "/vo/f")).sources if s.se == "two")
    assert await world.register(world.admin, told("a/b", ReplicaSpec("two", implied))) == ["same"]
    assert await world.register(world.admin, told("a/b", ReplicaSpec("two", "x"))) == ["conflict"]


async def test_the_same_name_twice_in_a_call(world: World) -> None:
    await world.elements("one", "two")
    assert await world.register(world.admin, file("/vo/f", 10, "one"), file("/vo/f", 10, "two"), file("/vo/f", 11)) == [
        "ok",
        "ok",
        "conflict",
    ]
    assert (await world.usage("/vo"))[2] == {"one": (1, 10), "two": (1, 10)}
    assert (await world.register(world.admin, file("/vo/g", guid=GUID), file("/vo/g", guid=GUID)))[0] == "ok"
    assert (await world.stat(world.admin, "/vo/g")).guid == GUID


async def test_a_guid_belongs_to_one_file_even_in_the_trash(world: World) -> None:
    await world.mkdir(world.admin, "/vo/other")
    await world.link(world.admin, vo__l="/vo/other")
    await world.register(world.admin, file("/vo/f", guid=GUID))
    outcomes = await world.services.registrar.register(
        world.admin, [file("/vo/a"), file("/vo/g", guid=GUID), file("/vo/b")]
    )
    assert codes(outcomes) == ["ok", "conflict", "ok"]
    assert "'/vo/f'" in faults(outcomes)[0].message
    await world.remove(world.admin, "/vo/f")
    outcomes = await world.services.registrar.register(
        world.admin, [file("/vo/g", guid=GUID), file("/vo/f", guid=GUID)]
    )
    assert codes(outcomes) == ["conflict", "conflict"]
    assert "in the trash" in faults(outcomes)[0].message
    two = new_guids(1)[0]
    assert await world.register(world.admin, file("/vo/c", guid=two), file("/vo/d", guid=two), file("/vo/e")) == [
        "ok",
        "conflict",
        "ok",
    ]
    three = new_guids(1)[0]
    found = await world.register(world.admin, file("/vo/other/x", guid=three), file("/vo/l/x", guid=three))
    assert found == ["ok", "same"], "one file by two names"


async def test_each_bad_file_has_its_error_and_the_others_are_there(world: World) -> None:
    await world.elements("one")
    await world.register(world.admin, "/vo/file")
    bad = [
        (FileSpec("bad", 1), "invalid_request"),
        (FileSpec("/vo/../x", 1), "invalid_request"),
        (FileSpec("/vo/" + "x" * 256, 1), "invalid_request"),
        (FileSpec("/vo/file/x", 1), "conflict"),
        (FileSpec("/", 1), "conflict"),
        (FileSpec("/vo/b1", 1, guid="nonsense"), "invalid_request"),
        (FileSpec("/vo/b2", 1, checksums={"md6": "a"}), "invalid_request"),
        (FileSpec("/vo/b3", 1, checksums={"md5": "a" * 31}), "invalid_request"),
        (FileSpec("/vo/b4", 1, replicas=[ReplicaSpec("none")]), "not_found"),
        (FileSpec("/vo/b5", 1, replicas=[ReplicaSpec("one"), ReplicaSpec("one", "x")]), "invalid_request"),
        (FileSpec("/vo/b6", 1, replicas=[ReplicaSpec("one", "../x")]), "invalid_request"),
        (FileSpec("/vo/b7", 1, replicas=[ReplicaSpec("one", "a\0b")]), "invalid_request"),
        (FileSpec("/vo/b8", 1, replicas=[ReplicaSpec("one", "")]), "invalid_request"),
        (FileSpec("/vo/b9", 1, replicas=[ReplicaSpec("one", state="copying")]), "invalid_request"),
        (FileSpec("/vo/b10", 1, replicas=[ReplicaSpec("one", state="fine")]), "invalid_request"),
        (FileSpec("/vo/b11", 1, metadata={"a b": 1}), "invalid_request"),
        (FileSpec("/vo/b11b", 1, metadata={"undeclared": 1}), "invalid_request"),
        (FileSpec("/vo/b12", 1, comment="x" * 4097), "invalid_request"),
        (FileSpec("/vo/b13", 1, comment="a\0b"), "invalid_request"),
        (FileSpec("/vo/b14", 1, ctime=2**63), "invalid_request"),
        (FileSpec("/vo/b15", 1, mtime=-(2**63) - 1), "invalid_request"),
        (FileSpec("/vo/b16", 1, ancestors=["/vo/none"]), "not_found"),
    ]
    specs = [spec for one, _ in bad for spec in (one, None)]
    files = [spec or file(f"/vo/good/{n}", 1, "one") for n, spec in enumerate(specs)]
    outcomes = await world.services.registrar.register(world.admin, files)
    assert codes(outcomes) == [c for _, code in bad for c in (code, "ok")]
    assert all(f.message.isprintable() and len(f.message) < 600 for f in faults(outcomes))
    assert (await world.usage("/vo/good"))[:2] == (len(bad), len(bad))
    assert await world.ls(world.admin, "/vo") == ["file", "good"]


async def test_a_refused_file_leaves_no_directory(world: World) -> None:
    await world.declare(k="int")
    await world.register(world.admin, file("/vo/file", 1, guid=GUID))
    refused = [
        FileSpec("/vo/undeclared/x", 1, metadata={"undeclared": 1}),
        FileSpec("/vo/value/a/x", 1, metadata={"k": "text"}),
        FileSpec("/vo/guid/a/b/x", 1, guid=GUID),
        FileSpec("/vo/ancestor/x", 1, ancestors=["/vo/none"]),
        FileSpec("/vo/good/not/x", 1, guid=GUID),
    ]
    before = await world.tree()
    for dry_run in (True, False):
        outcomes = await world.services.registrar.register(world.admin, refused, dry_run=dry_run)
        assert codes(outcomes) == ["invalid_request", "invalid_request", "conflict", "not_found", "conflict"]
        assert await world.tree() == before
    assert await world.register(world.admin, *refused, "/vo/good/f") == [*codes(outcomes), "ok"]
    assert await world.tree() == sorted([*before, "/vo/good/", "/vo/good/f"])
    made = await world.sql("select targets from audit where action = 'mkdir' order by id desc limit 1")
    assert made[0]["targets"] == ["/vo/good"]


async def test_without_parents_a_missing_directory_is_not_found(world: World) -> None:
    await world.mkdir(world.admin, "/vo/d")
    await world.link(world.admin, vo__l="d")
    assert await world.register(world.admin, "/vo/none/f", "/vo/d/f", "/vo/l/g", parents=False) == [
        "not_found",
        "ok",
        "ok",
    ]
    assert await world.tree() == ["/vo/", "/vo/d/", "/vo/d/f", "/vo/d/g", "/vo/l"]


async def test_ten_thousand_in_one_call_and_again_with_some_that_differ(world: World) -> None:
    await world.elements("one", "two")
    rng = random.Random(3)
    specs = [file(f"/vo/{n % 100}/{n}", n, "one", "two", guid=g) for n, g in enumerate(new_guids(10_000))]
    rng.shuffle(specs)
    assert await world.register(world.admin, *specs) == ["ok"] * 10_000
    files, size, elements = await world.usage("/vo")
    assert (files, size) == (10_000, 49_995_000)
    assert elements == {"one": (10_000, 49_995_000), "two": (10_000, 49_995_000)}
    for n in range(0, 10_000, 10):
        specs[n] = file(specs[n].lfn, specs[n].size + 1)
    expected = ["same" if n % 10 else "conflict" for n in range(10_000)]
    assert await world.register(world.admin, *specs) == expected
    assert (await world.usage("/vo"))[:2] == (10_000, 49_995_000)


async def test_unlike_files_in_one_call_keep_what_is_theirs(world: World) -> None:
    """Columns that only some files have: nothing slips to its neighbour."""
    await world.elements("one", "two")
    await world.declare(n="int")
    specs = []
    for n in range(64):
        spec = file(f"/vo/{n}", n, *(["one", "two"][: n % 3]))
        if n & 1:
            spec.checksums = {"md5": f"{n:032x}"}
        if n & 2:
            spec.comment = f"c{n}"
        if n & 4:
            spec.metadata = {"n": n}
        if n & 8:
            spec.ctime = n
        if n & 16:
            spec.mode = 0o600
        if n & 32:
            spec.replicas = [ReplicaSpec("two", f"at/{n}", "lost")]
        specs.append(spec)
    random.Random(5).shuffle(specs)
    assert set(await world.register(world.admin, *specs)) == {"ok"}
    for spec in specs:
        entry = await world.stat(world.admin, spec.lfn)
        assert (entry.size, entry.checksums, entry.comment, entry.metadata) == (
            spec.size,
            spec.checksums,
            spec.comment,
            spec.metadata,
        )
        assert (entry.ctime == spec.ctime, entry.mode) == (spec.ctime is not None, spec.mode or 0o664)
        assert entry.replicas == len(spec.replicas)
    lost = await world.sql("select name, pfn, rstate from file where pfn is not null")
    assert {r["name"]: r["pfn"] for r in lost} == {str(n): f'{{"{2}": "at/{n}"}}' for n in range(32, 64)} or len(
        lost
    ) == 32


async def test_a_name_that_another_call_took_meanwhile(world: World) -> None:
    """The loser of a race is told what it would be told a moment later: same content or other."""
    await world.register(world.admin, file("/vo/f", 10, guid=GUID))
    with pytest.raises(Conflict):
        (await world.services.registrar.register(world.admin, [file("/vo/f", 11)])).outcomes[0].get()


async def test_files_of_the_largest_size_hurt_nobody(world: World) -> None:
    """Together they are more bytes than a bigint holds: counters stay exact, and everything goes on."""
    await world.elements("one", "two")
    huge = [file(f"/vo/d/h{i}", 2**63 - 1, "one", "two") for i in range(3)]
    assert await world.register(world.admin, *huge) == ["ok"] * 3
    assert await world.register(world.admin, file("/vo/d/small", 7, "one")) == ["ok"]
    assert await world.usage("/vo") == (4, 2**63 - 1, {"one": (4, 2**63 - 1), "two": (3, 2**63 - 1)}), (
        "as far as JSON goes"
    )
    assert (await world.services.elements.show(world.admin, "one")).bytes == 2**63 - 1
    assert await world.mkdir(world.admin, "/vo/e") == ["ok"]
    assert await world.move(world.admin, *((f"/vo/d/h{i}", f"/vo/e/h{i}") for i in range(3))) == ["ok"] * 3
    assert await world.usage("/vo/d") == (1, 7, {"one": (1, 7)})
    assert await world.drop(world.admin, *(ReplicaRef(f"/vo/e/h{i}", "two") for i in range(3))) == ["ok"] * 3
    assert await world.remove(world.admin, *(f"/vo/e/h{i}" for i in range(3))) == ["ok"] * 3
    assert await world.usage("/vo") == (1, 7, {"one": (1, 7)})
    assert await world.restore(world.admin, "/vo/e/h0") == ["ok"]
    assert await world.usage("/vo/e") == (1, 2**63 - 1, {"one": (1, 2**63 - 1)})


async def test_of_two_that_tell_of_one_copy_at_once_one_is_first(world: World) -> None:
    """An upload takes its object away when it comes second, so it must be told."""
    await world.elements("one", "two")
    await world.register(world.admin, file("/vo/f", 5, "one"))
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction():
            await connection.execute("select 1 from file where kind = 0 for update")
            calls = [FileSpec("/vo/f", 5, replicas=[ReplicaSpec("two", pfn)]) for pfn in ("a", "b")]
            tasks = [asyncio.create_task(world.register(world.admin, call)) for call in calls]
            while (await world.sql(waiting))[0][0] < 2:
                pass
        found = [(await task)[0] for task in tasks]
    finally:
        await connection.close()
    assert sorted(found) == ["ok", "same"]
    (source,) = (await world.resolve(world.admin, "/vo/f", None, "two")).sources
    assert source.pfn == "ab"[found.index("ok")]
