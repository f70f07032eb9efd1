"""Bad copies are made anew from good ones, by themselves; what can't be is told."""

from __future__ import annotations

import os
from typing import Any

from tests.transfer.rules.conftest import Ruled
from tests.transfer.work.conftest import working

BODY = os.urandom(10_007)


async def status(site: Ruled, lfn: str) -> str:
    _, answer = await site.server.call("POST", "/v1/stat", {"lfns": [lfn]})
    found: str = answer["outcomes"][0]["value"].get("status", "ok")
    return found


async def audited(site: Ruled, action: str) -> list[Any]:
    items: list[Any] = (await site.server.call("GET", f"/v1/audit?action={action}"))[1]["items"]
    return items


def spoil(site: Ruled, se: str) -> None:
    for path in site.objects(se):
        path.write_bytes(b"spoilt" + path.read_bytes()[6:])


async def verify(site: Ruled, source: str) -> None:
    await site.ended((await site.request("verify", {"under": "/vo"}, source=source))["id"])


async def test_a_spoilt_copy_and_a_missing_one_are_made_anew(kept: Ruled) -> None:
    for name in ("/vo/f", "/vo/g"):
        await kept.put(name, BODY + name.encode())
        await kept.copy(name, "two")
    spoiled, missing = kept.objects("two")
    spoiled.write_bytes(b"spoilt")
    missing.unlink()
    await verify(kept, "two")
    for name in ("/vo/f", "/vo/g"):
        await kept.copied(name, "one", "two")
        assert (await kept.get(name, "?se=two"))[1] == BODY + name.encode()
        assert await status(kept, name) == "ok"
    await kept.clean()
    assert len(kept.objects("two")) == 2


async def test_one_that_was_only_thought_bad_is_good_again(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    suspect = {"replicas": [{"lfn": "/vo/f", "se": "one", "state": "suspect"}]}
    assert (await kept.server.call("POST", "/v1/replicas/state", suspect))[0] == 200
    await kept.copied("/vo/f", "one")
    assert await audited(kept, "file.lost") == []


async def test_a_file_without_a_good_copy_is_lost_and_found(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    await kept.copy("/vo/f", "two")
    whole = kept.objects("one")[0].read_bytes()
    for se in ("one", "two"):
        spoil(kept, se)
        await verify(kept, se)
    await kept.until(lambda: _is(kept, "lost"))
    [event] = await audited(kept, "file.lost")
    assert event["targets"] == ["/vo/f"]
    found = await kept.server.call("POST", "/v1/find", {"query": 'status = "lost"'})
    assert "/vo/f" in str(found)
    kept.objects("two")[0].write_bytes(whole)
    await verify(kept, "two")
    await kept.clean()  # what the mending left that had no good source
    await kept.until(lambda: _is(kept, "ok"))
    await kept.copied("/vo/f", "one", "two")
    assert (await kept.get("/vo/f", "?se=one"))[1] == BODY


async def _is(site: Ruled, wanted: str) -> bool:
    return await status(site, "/vo/f") == wanted


async def test_nothing_is_written_where_nothing_may_be(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    await ruled.copy("/vo/f", "two")
    await ruled.server.call("PATCH", "/v1/elements/two", {"state": "read-only"})
    lost = {"replicas": [{"lfn": "/vo/f", "se": "two", "state": "lost"}]}
    await ruled.server.call("POST", "/v1/replicas/state", lost)
    while await ruled.server.services.mender.step():
        pass
    assert await ruled.sql("select count(*) from queued") == 0
    assert await ruled.sql("select count(*) from mend") == 1, "it is looked at again"
    await ruled.server.call("PATCH", "/v1/elements/two", {"state": "active"})
    await ruled.sql("update mend set due = 0")
    async with working(ruled):
        await ruled.copied("/vo/f", "one", "two")


async def test_the_servers_own_requests_never_end(ruled: Ruled) -> None:
    await ruled.sql("insert into mend(file_id, due) values (1, 0)")
    while await ruled.server.services.mender.step():
        pass
    shown = (await ruled.server.call("GET", "/v1/requests"))[1]["items"]
    assert {r["note"] for r in shown} == {"bad copies are made anew", "bad copies are read back"}
    for change in ({"state": "cancelled"}, {"retry": True}):
        status, answer = await ruled.change(shown[0]["id"], **change)
        assert (status, "never ends" in answer["detail"]) == (409, True)
    assert (await ruled.change(shown[0]["id"], state="paused"))[0] == 200
    assert (await ruled.change(shown[0]["id"], state="running"))[1]["state"] == "running"
