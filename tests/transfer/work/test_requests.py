"""Requests from the order to the last byte, by a worker in this process."""

from __future__ import annotations

import os

from tests.transfer.work.conftest import Site

BODY = os.urandom(300_007)


async def filled(site: Site, count: int = 5) -> list[str]:
    names = [f"/vo/d/f{n}" for n in range(count)]
    for name in names:
        await site.put(name, BODY + name.encode())
    return names


async def test_a_directory_is_copied(site: Site) -> None:
    names = await filled(site)
    made = await site.request("replicate", {"under": "/vo/d"}, to="two")
    shown = await site.ended(made["id"])
    assert (shown["state"], shown["files"], shown["done"]) == ("done", 5, 5)
    assert shown["done_bytes"] == sum(len(BODY) + len(n) for n in names)
    for name in names:
        assert await site.sources(name) == [("one", "available"), ("two", "available")]
    assert sorted(p.read_bytes() for p in site.objects("two")) == sorted(BODY + n.encode() for n in names)
    tries = await site.tries(made["id"])
    assert {(t["source"], t["target"], t["result"]) for t in tries} == {("one", "two", "done")}
    assert {t["lfn"] for t in tries} == set(names)
    assert await site.counts() == {"queued": 0, "active": 0, "upload": 0, "worker": 1}
    # The same again: there is nothing to do.
    again = await site.ended((await site.request("replicate", {"under": "/vo/d"}, to="two"))["id"])
    assert (again["skipped"], again.get("done", 0)) == (5, 0)


async def test_a_list_with_what_is_not_there(site: Site) -> None:
    names = await filled(site, 2)
    made = await site.request("replicate", {"lfns": [*names, "/vo/none", "/vo/d", names[0]]}, to="two")
    shown = await site.ended(made["id"])
    assert (shown["files"], shown["done"], shown["failed"], shown["skipped"]) == (5, 2, 2, 1)
    why = {f["lfn"]: f["error"] for f in await site.failures(made["id"])}
    assert set(why) == {"/vo/none", "/vo/d"}
    assert "directory" in why["/vo/d"]


async def test_a_move_leaves_nothing_behind(site: Site) -> None:
    names = await filled(site, 3)
    made = await site.request("move", {"under": "/vo/d"}, to="two", source="one")
    assert (await site.ended(made["id"]))["done"] == 3
    for name in names:
        assert await site.sources(name) == [("two", "available")]
    await site.clean()
    assert site.objects("one") == []
    assert (await site.get(names[0]))[1] == BODY + names[0].encode()


async def test_copies_are_dropped_but_never_the_last(site: Site) -> None:
    names = await filled(site, 2)
    await site.copy(names[0])
    made = await site.request("drop", {"under": "/vo/d"}, source="one")
    shown = await site.ended(made["id"])
    assert (shown["done"], shown["failed"]) == (1, 1)
    assert "last good copy" in (await site.failures(made["id"]))[0]["error"]
    assert await site.sources(names[0]) == [("two", "available")]
    assert await site.sources(names[1]) == [("one", "available")]


async def test_files_are_removed(site: Site) -> None:
    names = await filled(site, 2)
    made = await site.request("remove", {"lfns": [*names, "/vo/never"]})
    shown = await site.ended(made["id"])
    assert (shown["done"], shown["skipped"]) == (2, 1)
    assert (await site.server.call("GET", "/v1/trash"))[1]["items"]


async def test_two_copies_go_to_two_elements(site: Site) -> None:
    names = await filled(site, 2)
    made = await site.request("replicate", {"under": "/vo/d"}, to="two|three", copies=2)
    assert (await site.ended(made["id"]))["done"] == 4
    assert {s for s, _ in await site.sources(names[0])} == {"one", "two", "three"}
    more = await site.ended((await site.request("replicate", {"under": "/vo/d"}, to="*", copies=4))["id"])
    assert more["failed"] == 2
    assert "none of the storage elements" in (await site.failures(more["id"]))[0]["error"]


async def test_a_bad_copy_is_found_and_mended(site: Site) -> None:
    names = await filled(site, 1)
    await site.copy(names[0])
    path = site.objects("two")[0]
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    checked = await site.ended((await site.request("verify", {"under": "/vo/d"}))["id"])
    assert (checked["done"], checked["failed"]) == (1, 1)
    assert ("two", "suspect") in await site.sources(names[0])
    mended = await site.ended((await site.request("replicate", {"under": "/vo/d"}, to="two"))["id"])
    assert mended["done"] == 1
    assert await site.sources(names[0]) == [("one", "available"), ("two", "available")]
    assert site.objects("two")[0].read_bytes() == BODY + names[0].encode()


async def test_a_bad_source_gives_place_to_a_good_one(site: Site) -> None:
    names = await filled(site, 1)
    await site.copy(names[0])
    path = site.objects("one")[0]
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    made = await site.request("replicate", {"lfns": names}, to="three")
    assert (await site.ended(made["id"]))["done"] == 1
    states = dict(await site.sources(names[0]))
    assert states == {"one": "suspect", "two": "available", "three": "available"}
    assert site.objects("three")[0].read_bytes() == BODY + names[0].encode()


async def test_a_missing_source_is_lost(site: Site) -> None:
    names = await filled(site, 1)
    await site.copy(names[0])
    site.objects("one")[0].unlink()
    made = await site.request("replicate", {"lfns": names}, to="three")
    assert (await site.ended(made["id"]))["done"] == 1
    async with site.server.services.database.read() as connection:
        row = await connection.fetchrow("select state, note from replica where element = 'one'")
    assert row["state"] == "lost"


async def test_what_an_earlier_try_left_is_adopted(site: Site) -> None:
    names = await filled(site, 1)
    source = site.objects("one")[0]
    target = site.folder / "two" / source.relative_to(site.folder / "one")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    inode = target.stat().st_ino
    made = await site.request("replicate", {"lfns": names}, to="two")
    assert (await site.ended(made["id"]))["done"] == 1
    assert (await site.tries(made["id"]))[0]["way"] == "adopted"
    assert target.stat().st_ino == inode


async def test_half_an_object_of_an_earlier_try_is_replaced(site: Site) -> None:
    names = await filled(site, 1)
    source = site.objects("one")[0]
    target = site.folder / "two" / source.relative_to(site.folder / "one")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes()[:100])
    made = await site.request("replicate", {"lfns": names}, to="two")
    assert (await site.ended(made["id"]))["done"] == 1
    assert target.read_bytes() == source.read_bytes()


async def test_anothers_object_is_left_alone(site: Site) -> None:
    await site.server.call("PATCH", "/v1/elements/two", {"layout": "identity"})
    names = await filled(site, 1)
    there = site.folder / "two" / names[0].lstrip("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(b"somebody's")
    made = await site.request("replicate", {"lfns": names}, to="two")
    assert (await site.ended(made["id"]))["failed"] == 1
    assert "another object" in (await site.failures(made["id"]))[0]["error"]
    assert there.read_bytes() == b"somebody's"
    made = await site.request("replicate", {"lfns": names}, to="two", replace=True)
    assert (await site.ended(made["id"]))["done"] == 1
    assert there.read_bytes() == BODY + names[0].encode()


async def test_what_failed_is_tried_again(site: Site) -> None:
    names = await filled(site, 1)
    made = await site.request("replicate", {"lfns": [names[0], "/vo/late"]}, to="two")
    assert (await site.ended(made["id"]))["failed"] == 1
    await site.put("/vo/late", BODY)
    assert (await site.change(made["id"], retry=True))[0] == 200
    shown = await site.ended(made["id"])
    assert (shown["files"], shown["done"], shown.get("failed", 0)) == (2, 2, 0)
    assert await site.failures(made["id"]) == []
