"""Operators set how many transfers go over a link, and who has how much of them."""

from __future__ import annotations

from typing import Any

from tests.transfer.work.conftest import Site, working
from transfer.queue.shares import LINK


async def queued(site: Site, count: int = 4) -> None:
    """Transfers from 'one' to 'two' that take a place each."""
    for n in range(count):
        await site.put(f"/vo/d/f{n}", b"x")
    await site.request("replicate", {"under": "/vo/d"}, to="two")
    while await site.server.services.planner.step():
        pass
    async with site.server.services.database.read() as connection:
        await connection.execute("update queued set bytes = 1 << 30")


async def leased(site: Site) -> int:
    return len(await site.server.services.queue.lease(1, 100))


async def limits(site: Site, **change: Any) -> Any:
    method = "PATCH" if change else "GET"
    status, answer = await site.server.call(method, "/v1/limits", change or None)
    assert status == 200, answer
    return answer


async def test_a_link_is_limited_closed_and_opened(idle: Site) -> None:
    await queued(idle)
    link = {"source": "one", "target": "two"}
    assert await limits(idle, links=[{**link, "most": 0}]) == {
        "links": [{**link, "most": 0, "set": True, "waiting": 4}]
    }
    assert await leased(idle) == 0
    for most, more in ((1, 1), (3, 2)):
        await limits(idle, links=[{**link, "most": most}])
        assert await leased(idle) == more
    assert (await limits(idle))["links"] == [{**link, "most": 3, "set": True, "taken": 3, "waiting": 1}]
    assert (await limits(idle, links=[link]))["links"] == [{**link, "most": LINK, "taken": 3, "waiting": 1}]
    assert await leased(idle) == 1


async def test_an_activity_is_limited(idle: Site) -> None:
    await queued(idle)
    share = {"of": "activity", "name": "user", "weight": 2.0, "most": 2}
    assert (await limits(idle, shares=[share]))["shares"] == [share]
    assert await leased(idle) == 2
    plain = {"of": "activity", "name": "user"}
    assert "shares" not in await limits(idle, shares=[plain])
    assert await leased(idle) == 2
    async with working(idle):  # those leased above are nobody's, and done by it
        pass


async def test_a_group_has_a_share(idle: Site) -> None:
    await idle.server.call("POST", "/v1/groups", {"name": "heavy"})
    share = {"of": "group", "name": "heavy", "weight": 0.5}
    assert (await limits(idle, shares=[share]))["shares"] == [share]
    assert "shares" not in await limits(idle, shares=[{"of": "group", "name": "heavy"}])


async def test_what_cannot_be_is_refused_whole(idle: Site) -> None:
    good = {"source": "one", "target": "two", "most": 5}
    for change, code in (
        ({"links": [good, {"source": "one", "target": "none", "most": 5}]}, "not_found"),
        ({"links": [good], "shares": [{"of": "group", "name": "none", "weight": 2}]}, "not_found"),
        ({"links": [good, good]}, "invalid_request"),
        ({"links": [{**good, "most": -1}]}, "invalid_request"),
        ({"shares": [{"of": "activity", "name": "x", "weight": 0}]}, "invalid_request"),
    ):
        _, problem = await idle.server.call("PATCH", "/v1/limits", change)
        assert problem["code"] == code, problem
    assert await limits(idle) == {}
    await idle.server.call("POST", "/v1/users", {"name": "bob"})
    _, token = await idle.server.call("POST", "/v1/tokens", {"user": "bob", "scopes": ["read", "write"]})
    for method, body in (("GET", None), ("PATCH", {"links": [good]})):
        status, _ = await idle.server.call(method, "/v1/limits", body, token=token["token"])
        assert status == 403
