"""Rules from the command line: previewed, made, explained, changed, ended."""

from __future__ import annotations

import asyncio

from tests.cli.support import lading, on_terminal
from tests.client.support import Bench
from tests.transfer.work.conftest import Site, working


async def test_a_rule_from_preview_to_end(bench: Bench) -> None:
    await bench.client.put(bench.local("f", b"ruled"), "/vo/d/f", se="disk1")
    place = ("--under", "/vo/d")
    seen = await lading(bench, "rule", "preview", *place, "2:disk*", "1:none")
    assert (seen.code, seen.row["copies"], seen.row["bytes"]) == (0, 1, 5), seen.err
    told = (await on_terminal(bench, "rule", "preview", *place, "2:disk*", "1:none")).text
    assert "1 copies would be made (5 B)" in told
    assert "can't be made now, 1 files: there are no more such storage elements" in told
    options = ("--until", "2099-01-01", "--grace", "2h", "--note", "for ever and a day", "--key", "once")
    made = await lading(bench, "rule", "add", *place, "2:disk*", *options)
    assert (made.code, made.row["grace"], made.row["note"]) == (0, 7200, "for ever and a day"), made.err
    rule = made.row["id"]
    assert (await lading(bench, "rule", "add", *place, "2:disk*", *options)).row["id"] == rule
    async with working(Site(bench.server, bench.here)):
        for _ in range(300):
            if (await lading(bench, "rule", "show", rule)).row.get("counts", {}).get("ok"):
                break
            await lading(bench, "rule", "check", rule)
            await asyncio.sleep(0.1)
    assert "rule 1: 1 files, 1 ok" in (await on_terminal(bench, "rule", "show", rule)).text
    assert "2 on disk*" in (await on_terminal(bench, "rule", "ls")).text
    told = (await on_terminal(bench, "why", "/vo/d/*")).text
    assert "disk1, disk2" in told
    assert "rule 1" in told
    why = await lading(bench, "why", "/vo/d/f", "/vo/none")
    assert why.code == 1
    assert {copy["se"]: copy["rules"] for copy in why.rows[0]["copies"]} == {"disk1": [rule], "disk2": [rule]}
    dropped = await lading(bench, "replica", "drop", "/vo/d/f", "--se", "disk1")
    assert dropped.code != 0
    assert "rule 1 wants this copy" in dropped.err + dropped.text
    changed = await lading(bench, "rule", "change", rule, "--until", "never", "--grace", "0s", "--priority", "3")
    assert (changed.row.get("until"), changed.row.get("grace", 0), changed.row["priority"]) == (None, 0, 3)
    assert (await lading(bench, "rule", "rm", rule, "--dry-run")).row["dry_run"]
    assert (await lading(bench, "rule", "rm", rule)).row["changed"]
    assert (await lading(bench, "rule", "rm", rule)).code == 5
    assert (await lading(bench, "rule", "ls")).rows == []
    assert (await lading(bench, "replica", "drop", "/vo/d/f", "--se", "disk1")).code == 0


async def test_what_makes_no_sense_is_told(bench: Bench) -> None:
    await bench.client.make_directories(["/vo"])
    for arguments, word in (
        (("--under", "/vo", "disk1"), "N:ELEMENTS"),
        (("--under", "/vo", "1:disk1", "--grace", "soon"), "time span"),
        (("--under", "/vo", "1:disk1", "--until", "1999-01-01"), "to come"),
        (("1:disk1",), "directory"),
        (("--under", "/vo", "0:disk1"), "copies"),
    ):
        done = await lading(bench, "rule", "add", *arguments)
        assert done.code == 2, (arguments, done.code, done.err)
        assert word in done.err + done.text
