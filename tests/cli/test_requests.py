"""Orders from the command line to the last byte, and what people do with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.cli.support import lading, on_terminal
from tests.client.support import Bench
from tests.transfer.work.conftest import Site, working


@pytest_asyncio.fixture
async def filled(bench: Bench) -> Bench:
    """Three files on disk1; no worker."""
    for n in range(3):
        await bench.client.put(bench.local("f", b"%d" % n * (n + 1)), f"/vo/d/f{n}", se="disk1")
    return bench


@pytest_asyncio.fixture
async def served(filled: Bench) -> AsyncIterator[Bench]:
    """A worker is at it."""
    async with working(Site(filled.server, filled.here)):
        yield filled


async def test_replicate_and_wait(served: Bench) -> None:
    done = await lading(served, "replicate", "--under", "/vo/d", "--to", "disk2", "--wait")
    assert (done.code, done.row["state"], done.row["done"]) == (0, "done", 3), done.err
    assert served.object("disk2", b"11").exists()
    again = await lading(served, "replicate", "/vo/d/f*", "--to", "disk2", "--wait")
    assert (again.code, again.row["skipped"]) == (0, 3)
    assert [row["id"] for row in (await lading(served, "request", "ls")).rows] == [again.row["id"], done.row["id"]]
    shown = await on_terminal(served, "request", "show", again.row["id"])
    assert "done, 3 of 3 files" in shown.text
    listed = await on_terminal(served, "request", "ls", "--state", "done", "--state", "running")
    assert "listed files" in listed.text
    links = await lading(served, "request", "show", done.row["id"], "--links")
    assert [(row["source"], row["target"], row["done"], row["done_bytes"]) for row in links.rows] == [
        ("disk1", "disk2", 3, 6)
    ]
    assert "disk2" in (await on_terminal(served, "request", "show", done.row["id"], "--links")).text
    summed = await lading(served, "accounting", "--by", "target", "--by", "kind")
    assert [(row["keys"], row["done"], row["bytes"]) for row in summed.rows] == [
        ({"target": "disk2", "kind": "replicate"}, 3, 6)
    ]
    assert "  ████████████  " in (await on_terminal(served, "accounting", "--since", "1h", "--all")).text
    assert (await lading(served, "accounting", "--by", "colour")).code == 2
    tried = await lading(served, "request", "show", done.row["id"], "--tries")
    assert {(row["source"], row["target"], row["result"]) for row in tried.rows} == {("disk1", "disk2", "done")}


async def test_what_failed_and_why(served: Bench) -> None:
    served.object("disk1", b"11").unlink()
    names = b"/vo/d/f0\n/vo/d/f1\n/vo/none\n"
    done = await lading(served, "replicate", "--from-file", "-", "--to", "disk2", "--wait", stdin=names)
    assert (done.code, done.row["done"], done.row["failed"]) == (1, 1, 2)
    failed = await lading(served, "request", "show", done.row["id"], "--failed")
    errors = {row["lfn"]: row["error"] for row in failed.rows}
    assert "not there" in errors["/vo/d/f1"]
    assert set(errors) == {"/vo/d/f1", "/vo/none"}
    await served.client.put(served.local("f", b"x"), "/vo/none", se="disk1")
    assert (await lading(served, "request", "retry", done.row["id"])).code == 0
    waited = await lading(served, "request", "wait", done.row["id"])
    assert (waited.code, waited.row["failed"]) == (1, 1)
    assert "request show" in (await on_terminal(served, "request", "wait", done.row["id"])).text


async def test_move_drop_verify_remove(served: Bench) -> None:
    moved = await lading(served, "move", "/vo/d/f0", "--to", "disk2", "--wait")
    assert (moved.code, moved.row["done"]) == (0, 1)
    assert [s["se"] for s in (await lading(served, "replicas", "/vo/d/f0")).row["sources"]] == ["disk2"]
    last = await lading(served, "drop", "/vo/d/f0", "--source", "disk2", "--wait")
    assert (last.code, last.row["failed"]) == (1, 1)
    served.object("disk1", b"222").write_bytes(b"221")
    checked = await lading(served, "verify", "--under", "/vo/d", "--wait")
    assert (checked.code, checked.row["done"], checked.row["failed"]) == (1, 2, 1)
    removed = await lading(served, "remove", "/vo/d/f0", "--wait")
    assert (removed.code, removed.row["done"]) == (0, 1)
    assert (await lading(served, "stat", "/vo/d/f0")).code == 5


async def test_a_dry_run_changes_nothing(filled: Bench) -> None:
    planned = await lading(filled, "replicate", "--under", "/vo/d", "--to", "disk2", "--dry-run")
    assert (planned.code, planned.row["files"], planned.row["links"][0]["target"]) == (0, 3, "disk2")
    shown = await on_terminal(filled, "replicate", "--under", "/vo/d", "--to", "disk2", "--dry-run")
    assert "would do: 3 files" in shown.text
    assert "server, stream" in shown.text
    assert (await lading(filled, "request", "ls")).rows == []


async def test_control(filled: Bench) -> None:
    made = await lading(filled, "replicate", "--under", "/vo/d", "--to", "disk2", "--key", "once")
    again = await lading(filled, "replicate", "--under", "/vo/d", "--to", "disk2", "--key", "once")
    assert made.row["id"] == again.row["id"]
    other = await lading(filled, "replicate", "--under", "/vo", "--to", "disk2", "--key", "once")
    assert other.code == 6
    number = made.row["id"]
    assert (await lading(filled, "request", "pause", number)).row["state"] == "paused"
    assert (await lading(filled, "request", "priority", number, "--to", 7)).row["priority"] == 7
    assert (await lading(filled, "request", "resume", number)).row["state"] == "planning"
    assert (await lading(filled, "request", "cancel", number, 999)).code == 1
    assert (await lading(filled, "request", "cancel", number)).row["state"] == "cancelled"
    assert (await lading(filled, "request", "resume", number)).code == 6
    assert (await lading(filled, "request", "wait", number)).code == 1


async def test_wrong_use_is_told(filled: Bench) -> None:
    for args, word in (
        (("replicate", "--to", "disk2"), "which files"),
        (("replicate", "/vo/d/f0", "--under", "/vo", "--to", "disk2"), "which files"),
        (("replicate", "/vo/d/f0", "--to", "country="), "element"),
        (("replicate", "--query", "true", "--to", "disk2"), "directory"),
        (("request", "show", 1, "--failed", "--tries"), "at a time"),
        (("request", "ls", "--state", "odd"), "there are"),
    ):
        done = await lading(filled, *args)
        assert (done.code, word in done.err) == (2, True), (args, done.err)
    assert (await lading(filled, "request", "show", 77)).code == 5


async def test_drain(filled: Bench) -> None:
    planned = await lading(filled, "se", "drain", "disk1", "--dry-run")
    assert (planned.code, planned.row["files"], planned.row["links"][0]["source"]) == (0, 3, "disk1"), planned.err
    assert (await filled.client.elements.show("disk1")).state == "active"
    begun = await lading(filled, "se", "drain", "disk1")
    assert (begun.code, begun.row["kind"]) == (0, "move"), begun.err
    assert (await lading(filled, "request", "pause", begun.row["id"])).code == 0
    other = await lading(filled, "se", "drain", "disk1", "--to", "disk2 | disk1")
    assert (other.code, str(begun.row["id"]) in other.err) == (6, True)
    nowhere = await lading(filled, "se", "drain", "disk2", "--to", "country=XX")
    assert "no other element" in nowhere.err
    assert (await filled.client.elements.show("disk2")).state == "active"
    async with working(Site(filled.server, filled.here)):
        ended = await on_terminal(filled, "se", "drain", "disk1", "--wait")  # goes on with it
        assert "disk1 is empty" in ended.text, ended.text
        listed = await lading(filled, "request", "ls", "--all")
        assert [row["selection"].get("on") for row in listed.rows] == ["disk1"]
    assert [(e.name, e.replicas) for e in await filled.client.elements.list("disk1 | disk2")] == [
        ("disk1", 0),
        ("disk2", 3),
    ]
    stopped = await lading(filled, "se", "drain", "disk1", "--stop")
    assert (stopped.code, stopped.row["request"]) == (0, None)
    assert (await filled.client.elements.show("disk1")).state == "active"


async def test_how_links_were_tuned_is_told(served: Bench) -> None:
    await lading(served, "replicate", "--under", "/vo/d", "--to", "disk2", "--wait")
    async with served.server.services.database.read() as connection:
        await connection.execute(
            "insert into link_decision select source, target, at, 10, 11, 1e6, 3, 0, 'one more' from attempt limit 1"
        )
    told = await lading(served, "limit", "why", "disk1", "disk2")
    assert [(row["before"], row["after"], row["why"]) for row in told.rows] == [(10.0, 11.0, "one more")]
    assert "one more" in (await on_terminal(served, "limit", "why")).text
    assert (await lading(served, "limit", "why", "none")).code == 5


async def test_limits(filled: Bench) -> None:
    planned = await lading(filled, "limit", "link", "disk1", "disk2", "--most", "3", "--dry-run")
    assert (planned.code, planned.row["change"]) == (0, "disk1 > disk2: 3")
    assert (await lading(filled, "limit", "ls")).row["links"] == []
    done = await lading(filled, "limit", "link", "disk1", "disk2", "--most", "3")
    assert [(x["source"], x["target"], x["most"], x["set"]) for x in done.row["links"]] == [("disk1", "disk2", 3, True)]
    assert (await lading(filled, "limit", "activity", "production", "--weight", "4")).code == 0
    shown = await on_terminal(filled, "limit", "ls")
    assert all(word in shown.text for word in ("disk1", "production", "activity", "4"))
    assert (await lading(filled, "limit", "link", "disk1", "disk2")).row["links"] == []
    assert (await lading(filled, "limit", "group", "nobody here", "--most", "1")).code == 5
