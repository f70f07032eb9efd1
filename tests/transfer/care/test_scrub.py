"""Every copy is read back within its element's period, at an even pace."""

from __future__ import annotations

import os
from pathlib import Path

from tests.transfer.rules.conftest import Ruled
from tests.transfer.work.conftest import working

BODY = os.urandom(10_007)
DAY = 86_400_000_000


async def scrub(site: Ruled, days: int) -> None:
    assert (await site.server.call("PATCH", "/v1/elements/one", {"scrub_days": days}))[0] == 200


async def steps(site: Ruled) -> int:
    count = 0
    while await site.server.services.scrubber.step():
        count += 1
    return count


async def round_of(site: Ruled, pieces: int) -> None:
    """So many pieces, without the pause between them."""
    for _ in range(pieces):
        await site.sql("update scrub set due = 0")
        assert await steps(site) == 1


async def test_a_round_takes_the_period_and_reads_each_copy_once(ruled: Ruled) -> None:
    for n in range(5):
        await ruled.put(f"/vo/d{n % 2}/f{n}", BODY)
    await ruled.put("/vo/elsewhere", BODY, se="two")
    await scrub(ruled, 10)
    assert await steps(ruled) == 1, "one of five, and the next in two days"
    due, began = await ruled.sql("select due from scrub"), await ruled.sql("select began from scrub")
    assert 0 <= due - began - 2 * DAY < DAY / 100
    await round_of(ruled, 5)
    assert await ruled.sql("select count(distinct file_id) from queued") == 5
    assert await ruled.sql("select count(*) from queued") == 5
    shown = (await ruled.server.call("GET", "/v1/elements/one"))[1]["scrub"]
    assert shown["ended"] == shown["began"] > began
    async with working(ruled):
        request = await ruled.when(shown["request"], lambda r: r.get("done", 0) == 5)
    assert (request["state"], request["activity"], request["priority"]) == ("running", "scrub", -50)
    await ruled.sql("update scrub set began = 1")
    await round_of(ruled, 2)
    assert await ruled.sql("select count(*) from queued") == 0, "they were verified since the round began"


async def test_what_is_found_bad_is_mended(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    await kept.copy("/vo/f", "two")
    [object] = kept.objects("one")
    object.write_bytes(b"spoilt")
    await scrub(kept, 1)
    await kept.until(lambda: _mended(object))
    await kept.copied("/vo/f", "one", "two")


async def _mended(object: Path) -> bool:
    return object.read_bytes() == BODY


async def test_it_waits_for_an_element_that_is_off_or_behind(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    await scrub(ruled, 1)
    await ruled.server.call("PATCH", "/v1/elements/one", {"state": "off"})
    assert await steps(ruled) == 1
    assert await ruled.sql("select count(*) from queued") == 0
    await ruled.server.call("PATCH", "/v1/elements/one", {"state": "active"})
    request = await ruled.sql("select request_id from scrub")
    assert (await ruled.change(request, state="paused"))[0] == 200
    await round_of(ruled, 1)
    assert await ruled.sql("select count(*) from queued") == 0
    await ruled.change(request, state="running")
    await round_of(ruled, 1)
    assert await ruled.sql("select count(*) from queued") == 1


async def test_never_again_and_the_end_of_an_element(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY, se="two")
    await scrub(ruled, 3)
    await steps(ruled)
    await scrub(ruled, 0)
    await ruled.sql("update scrub set due = 0")
    assert await steps(ruled) == 0
    assert (await ruled.server.call("DELETE", "/v1/elements/one"))[0] == 204
    assert await ruled.sql("select count(*) from scrub") == 0
    for days in (-1, 100_000):
        assert (await ruled.server.call("PATCH", "/v1/elements/two", {"scrub_days": days}))[0] == 400
