"""Events on the command line, and webhooks made there."""

from __future__ import annotations

import asyncio

from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def test_watch_tells_what_is_done(bench: Bench) -> None:
    cursor = (await bench.client.events.after(None)).next
    await bench.client.make_directories(["/vo/seen"])
    await bench.client.make_directories(["/vo/seen/deep"])
    seen = await lading(bench, "watch", "--after", cursor, "--count", 2, "--under", "/vo/seen")
    assert [row["targets"][-1] for row in seen.rows] == ["/vo/seen", "/vo/seen/deep"]
    told = asyncio.create_task(on_terminal(bench, "watch", "--count", 1, "--action", "mkdir"))
    for n in range(100):
        await bench.client.make_directories([f"/vo/later{n}"])
        await asyncio.sleep(0.1)
        if told.done():
            break
    assert "mkdir  1  /vo/later" in (await told).text


async def test_hooks(bench: Bench) -> None:
    url = "http://127.0.0.1:9/hook"
    assert (await lading(bench, "hook", "add", url, "--dry-run")).row["dry_run"]
    made = await lading(bench, "hook", "add", url, "--action", "file.*", "--under", "/vo")
    assert (made.code, made.row["url"], len(made.row["secret"])) == (0, url, 64), made.err
    assert (await lading(bench, "hook", "ls")).row["actions"] == ["file.*"]
    assert "file.*" in (await on_terminal(bench, "hook", "ls")).text
    assert (await lading(bench, "hook", "add", "ftp://x/")).code == 2
    assert (await lading(bench, "hook", "rm", 1, "--dry-run")).row["dry_run"]
    assert (await lading(bench, "hook", "rm", 1)).row["changed"]
    assert (await lading(bench, "hook", "rm", 1)).code == 5
