"""Looking: stat, exists, pages of a directory, usage."""

from __future__ import annotations

import random

import msgspec
import pytest

from lading.model.api import Names
from lading.model.errors import InvalidRequest, NotFound
from lading.model.file import Entry, FileStatus, Kind
from lading.model.outcome import Outcomes

from .world import World, codes, file


async def test_stat_tells_all(world: World) -> None:
    await world.elements("one", "two")
    await world.declare(run="int")
    guid = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"
    sums = {"adler32": "ffffffff", "md5": "a" * 32, "sha256": "b" * 64}
    spec = file(
        "/vo/f",
        2**63 - 1,
        "one",
        "two",
        guid=guid,
        checksums=sums,
        mode=0o640,
        metadata={"run": 7},
        ctime=5,
        mtime=6,
        comment="c",
    )
    assert await world.register(world.admin, spec) == ["ok"]
    await world.set(world.admin, "/vo/f", status=FileStatus.PROBING)
    entry = await world.stat(world.admin, "/vo/f")
    assert (entry.lfn, entry.kind, entry.size, entry.guid, entry.checksums) == (
        "/vo/f",
        Kind.FILE,
        2**63 - 1,
        guid,
        sums,
    )
    assert (entry.owner, entry.group, entry.mode, entry.ctime, entry.mtime) == ("admin", "admin", 0o640, 5, 6)
    assert (entry.status, entry.replicas, entry.comment, entry.metadata) == (FileStatus.PROBING, 2, "c", {"run": 7})
    root = await world.stat(world.admin, "/")
    assert (root.lfn, root.kind, root.mode) == ("/", Kind.DIRECTORY, 0o755)


async def test_bulk_looks_answer_in_order(world: World) -> None:
    names = [f"/vo/{n % 13}/{n}" for n in range(2000)]
    await world.register(world.admin, *names)
    asked = [n if i % 3 else n + "-none" for i, n in enumerate(names)] + ["bad", "/vo//x", "/", "/vo/1"]
    random.Random(1).shuffle(asked)
    outcomes = await world.services.names.stat(world.admin, Names(asked))
    assert [o.item for o in outcomes.outcomes] == asked
    for name, one in zip(asked, outcomes.outcomes, strict=True):
        if name in ("bad", "/vo//x"):
            assert one.error
            assert one.error.code == "invalid_request"
        elif name.endswith("-none"):
            assert one.error
            assert one.error.code == "not_found"
        else:
            assert one.value
            assert one.value.lfn == name
    exist = await world.services.names.exists(world.admin, Names(asked))
    assert [o.value for o in exist.outcomes] == [
        None if n in ("bad", "/vo//x") else not n.endswith("-none") for n in asked
    ]


async def test_pages_are_in_byte_order_and_complete(world: World) -> None:
    names = ["B", "a", "é", "Z" * 255, "\U0001f4e6", "~", "0", "a b", *(f"n{i}" for i in range(45))]
    await world.register(world.admin, *(f"/vo/d/{n}" for n in names))
    await world.mkdir(world.admin, "/vo/d/dir")
    await world.link(world.admin, vo__d__link="x")
    expected = sorted([*names, "dir", "link"], key=str.encode)
    page = world.services.listing.page
    for verbose in (True, False):
        for limit in (1, 7, 55, 56, 1000):
            found, cursor, pages = [], None, 0
            while True:
                one = await page(world.admin, "/vo/d", cursor=cursor, limit=limit, verbose=verbose)
                assert len(one.items) <= limit
                found += one.items
                pages += 1
                cursor = one.next
                if cursor is None:
                    break
            assert [e.lfn for e in found] == [f"/vo/d/{n}" for n in expected]
            assert pages <= 55 // limit + 1
    kinds = {e.lfn.rpartition("/")[2]: e.kind for e in found}
    assert (kinds["dir"], kinds["link"], kinds["a"]) == (Kind.DIRECTORY, Kind.LINK, Kind.FILE)
    plain = (await page(world.admin, "/vo/d", limit=1, verbose=False)).items[0]
    assert (plain.size, plain.guid, plain.owner) == (None, None, "")


async def test_a_page_survives_changes_between(world: World) -> None:
    await world.register(world.admin, *(f"/vo/d/{n:02}" for n in range(20)))
    first = await world.services.listing.page(world.admin, "/vo/d", limit=10)
    await world.remove(world.admin, "/vo/d/09", "/vo/d/12")
    await world.register(world.admin, "/vo/d/05a", "/vo/d/15a")
    second = await world.services.listing.page(world.admin, "/vo/d", cursor=first.next, limit=100)
    assert [e.lfn[6:] for e in second.items] == ["10", "11", "13", "14", "15", "15a", "16", "17", "18", "19"]


async def test_a_walk_is_the_whole_directory(world: World) -> None:
    await world.register(world.admin, *(f"/vo/d/{n:05}" for n in range(4500)))
    pages = [page async for page in world.services.listing.walk(world.admin, "/vo/d", verbose=False)]
    entries = [msgspec.json.decode(line, type=Entry) for page in pages for line in page.splitlines()]
    assert [e.lfn for e in entries] == [f"/vo/d/{n:05}" for n in range(4500)]
    assert len(pages) == 3


@pytest.mark.parametrize("people", [2, 12])
async def test_a_listing_says_of_an_entry_what_stat_says(world: World, people: int) -> None:
    """PostgreSQL writes the one, Python the other."""
    await world.elements("one", "two")
    awkward = ['q"uote', "back\\slash", "\x7f", "é\U0001f4e6", "a,b:c", "tab"]
    awkward[2] = "\u2028"
    await world.people(**{f"owner{n}": ["users"] for n in range(people)})
    files = [file(f"/vo/d/{name}", n, "one", "two") for n, name in enumerate(awkward)]
    files[0].checksums = {"adler32": "0000ffff"}
    files[1].checksums = {"md5": "0" * 32, "sha256": "a" * 64}
    files[2].checksums = {"adler32": "ffffffff", "md5": "f" * 32}
    files[3].comment = 'a "comment"\nof \x01two\x02 lines'
    await world.register(world.admin, *files)
    for n in range(people):
        await world.register(world.admin, f"/vo/d/of{n}")
        await world.set(world.admin, f"/vo/d/of{n}", owner=f"owner{n}", acl=[f"user:owner{n}:rw-"], mode=0o600)
    await world.set(world.admin, "/vo/d/tab", status=FileStatus.LOST)
    await world.mkdir(world.admin, "/vo/d/dir")
    await world.link(world.admin, vo__d__link='to "there"')
    listed = (await world.services.listing.page(world.admin, "/vo/d")).items
    told = await world.services.names.stat(world.admin, Names([e.lfn for e in listed], follow=False))
    assert listed == [o.value for o in told.outcomes]
    assert len(listed) == len(awkward) + people + 2


async def test_a_file_is_listed_as_itself_and_nothing_as_not_found(world: World) -> None:
    await world.register(world.admin, "/vo/f")
    await world.mkdir(world.admin, "/vo/empty")
    assert [e.lfn for e in (await world.services.listing.page(world.admin, "/vo/f")).items] == ["/vo/f"]
    assert (await world.services.listing.page(world.admin, "/vo/empty")).items == []
    assert await world.ls(world.admin, "/") == ["vo"], "the trash is not listed"
    for name in ("/vo/none", "/none/none", "/vo/f/x"):
        with pytest.raises(NotFound):
            await world.ls(world.admin, name)
    with pytest.raises(InvalidRequest):
        await world.ls(world.admin, "vo")


async def test_a_cursor_of_nonsense_is_an_error_of_the_caller(world: World) -> None:
    for cursor in ("a\0b", "\ud800"):
        with pytest.raises(InvalidRequest):
            await world.services.listing.page(world.admin, "/", cursor=cursor)


# ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_usage_is_of_the_whole_subtree_and_per_element(world: World) -> None:
    await world.elements("one", "two")
    await world.register(
        world.admin, file("/vo/a/f", 1, "one", "two"), file("/vo/a/b/g", 10, "one"), file("/vo/c/h", 100), "/vo2/x"
    )
    outcomes = await world.services.names.usage(
        world.admin, Names(["/vo", "/vo/a", "/vo/a/b/g", "/vo/c", "/none", "/"])
    )
    assert codes(outcomes) == ["ok"] * 4 + ["not_found", "ok"]
    found = [o.value for o in outcomes.outcomes]
    assert found[0]
    assert (found[0].files, found[0].bytes, found[0].directories) == (3, 111, 3)
    assert {n: (u.replicas, u.bytes) for n, u in found[0].elements.items()} == {"one": (2, 11), "two": (1, 1)}
    assert found[1]
    assert (found[1].files, found[1].bytes, found[1].directories) == (2, 11, 1)
    assert found[2]
    assert (found[2].files, found[2].bytes, list(found[2].elements)) == (1, 10, ["one"])
    assert found[3]
    assert found[3].elements == {}
    assert found[5]
    assert (found[5].files, found[5].directories) == (4, 5)


async def test_a_directory_that_only_begins_with_the_name_is_not_counted(world: World) -> None:
    await world.register(world.admin, "/vo/ab/f", "/vo/a/f", "/vo/a-b/f", "/vo/a0/f", "/vo/a.b/f", "/voo/f")
    assert (await world.usage("/vo/a"))[0] == 1
    assert (await world.usage("/vo"))[0] == 5


async def test_usage_beyond_64_bits_does_not_fail(world: World) -> None:
    """Two files of the greatest size in two directories: their sum is no bigint."""
    await world.register(world.admin, file("/vo/a/f", 2**63 - 1), file("/vo/b/f", 2**63 - 1))
    outcomes: Outcomes[object] = await world.services.names.usage(world.admin, Names(["/vo"]))
    assert codes(outcomes) == ["ok"]
    assert (await world.usage("/vo"))[:2] == (2, 2**63 - 1), "no disk is larger"
    assert await world.remove(world.admin, "/vo", recursive=True) == ["ok"]
