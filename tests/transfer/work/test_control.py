"""Requests are stopped, go on, and are broken off; limits and workers' filters hold."""

from __future__ import annotations

import asyncio
import os

import pytest

from lading.model.errors import InvalidRequest
from tests.transfer.work.conftest import Site, working
from transfer.queue.shares import Lane
from transfer.work.worker import Filters

BODY = os.urandom(200_000)
SLOW = 400_000  # bytes a second: half a second a file


async def filled(site: Site, count: int) -> list[str]:
    names = [f"/vo/d/f{n:03}" for n in range(count)]
    for name in names:
        await site.put(name, BODY + name.encode())
    return names


async def test_a_paused_request_goes_on_where_it_was(idle: Site) -> None:
    await filled(idle, 60)
    await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": SLOW, "max_connections": 1})
    async with working(idle):
        made = await idle.request("replicate", {"under": "/vo/d"}, to="two")
        await idle.when(made["id"], lambda shown: shown.get("done", 0) >= 1)
        assert (await idle.change(made["id"], state="paused"))[1]["state"] == "paused"
        shown = await idle.when(made["id"], lambda shown: not shown.get("active"))
        done = shown["done"]
        assert done < 60
        await asyncio.sleep(0.7)
        assert (await idle.show(made["id"]))["done"] == done
        await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": None, "max_connections": 9})
        assert (await idle.change(made["id"], state="running"))[0] == 200
        shown = await idle.ended(made["id"])
    assert (shown["state"], shown["done"]) == ("done", 60)


async def test_a_cancelled_request_is_broken_off(idle: Site) -> None:
    names = await filled(idle, 4)
    await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": 20_000})  # ten seconds a file
    async with working(idle):
        made = await idle.request("replicate", {"under": "/vo/d"}, to="two")
        await idle.when(made["id"], lambda shown: shown.get("active", 0) >= 1)
        assert (await idle.change(made["id"], state="cancelled"))[1]["state"] == "cancelled"
        shown = await idle.when(made["id"], lambda s: s.get("cancelled", 0) + s.get("done", 0) == 4)
        status, answer = await idle.change(made["id"], state="running")
        assert (status, answer["code"]) == (409, "conflict")
    done = shown.get("done", 0)
    await idle.clean()
    assert len(idle.objects("two")) == done
    assert [len(await idle.sources(name)) for name in names].count(2) == done
    counts = await idle.counts()
    assert (counts["queued"], counts["active"], counts["upload"]) == (0, 0, 0)


async def test_a_higher_priority_goes_first(idle: Site) -> None:
    names = await filled(idle, 4)
    low = await idle.request("replicate", {"lfns": names[:2]}, to="two")
    high = await idle.request("replicate", {"lfns": names[2:]}, to="two", priority=5)
    services = idle.server.services
    while await services.planner.step():
        pass
    async with services.database.read() as connection:  # so large that each takes a place for itself
        await connection.execute("update queued set bytes = 1 << 30")
    leases = await services.queue.lease(1, 2)
    assert {lease.request_id for lease in leases} == {high["id"]}
    assert (await idle.change(low["id"], priority=9))[1]["priority"] == 9
    third = await idle.request("replicate", {"lfns": names[2:]}, to="three", priority=8)
    while await services.planner.step():
        pass
    order = [lease.request_id for lease in await services.queue.lease(1, 4)]
    assert sorted(order) == [low["id"], low["id"], third["id"], third["id"]]


async def test_transfers_wait_for_an_element_that_is_off(site: Site) -> None:
    names = await filled(site, 1)
    made = await site.request("replicate", {"lfns": names}, to="two")
    await site.ended(made["id"])
    await site.server.call("PATCH", "/v1/elements/two", {"state": "off"})
    made = await site.request("verify", {"lfns": names})
    shown = await site.ended(made["id"])  # of `one` alone: what can't be read is not looked at
    assert shown["done"] == 1


async def test_a_stopped_worker_gives_back_what_it_has(idle: Site) -> None:
    await filled(idle, 3)
    await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": 20_000})
    async with working(idle, drain=0.1):
        made = await idle.request("replicate", {"under": "/vo/d"}, to="two")
        await idle.when(made["id"], lambda shown: shown.get("active", 0) >= 1)
    counts = await idle.counts()
    assert (counts["active"], counts["worker"]) == (0, 0)
    await idle.server.call("PATCH", "/v1/elements/two", {"max_rate": None})
    await idle.clean()
    async with working(idle):
        assert (await idle.ended(made["id"]))["done"] == 3
    async with idle.server.services.database.read() as connection:
        assert await connection.fetchval("select count(*) from attempt where result <> 0") == 0


async def test_who_may_see_and_change_a_request(site: Site) -> None:
    names = await filled(site, 1)
    made = await site.request("verify", {"lfns": names})
    server = site.server
    await server.call("POST", "/v1/users", {"name": "bob"})
    _, token = await server.call("POST", "/v1/tokens", {"user": "bob", "scopes": ["read", "write"]})
    bob = token["token"]
    for method, path, body in (
        ("GET", f"/v1/requests/{made['id']}", None),
        ("PATCH", f"/v1/requests/{made['id']}", {"state": "paused"}),
        ("GET", f"/v1/requests/{made['id']}/failures", None),
    ):
        assert (await server.call(method, path, body, token=bob))[0] == 404
    assert (await server.call("GET", "/v1/requests", token=bob))[1]["items"] == []
    assert (await server.call("GET", "/v1/requests?all=true", token=bob))[0] == 403
    # What bob may not write gets no copies by his order.
    order = {"kind": "replicate", "selection": {"lfns": names}, "to": "two"}
    status, his = await server.call("POST", "/v1/requests", order, token=bob)
    assert status == 201
    assert (await site.ended(his["id"]))["failed"] == 1
    assert await site.sources(names[0]) == [("one", "available")]


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"kind": "replicate", "selection": {}, "to": "two"}, "which files"),
        ({"kind": "replicate", "selection": {"lfns": ["/a"], "under": "/b"}, "to": "two"}, "which files"),
        ({"kind": "replicate", "selection": {"lfns": ["/a"]}}, "where"),
        ({"kind": "replicate", "selection": {"lfns": ["/a"]}, "to": "((("}, ""),
        ({"kind": "drop", "selection": {"lfns": ["/a"]}}, "source"),
        ({"kind": "verify", "selection": {"lfns": ["/a"]}, "to": "two"}, "target"),
        ({"kind": "remove", "selection": {"lfns": ["/a"]}, "source": "one"}, "drop"),
        ({"kind": "replicate", "selection": {"query": "true"}, "to": "two"}, "which files"),
    ],
)
async def test_orders_that_make_no_sense(idle: Site, order: dict[str, object], word: str) -> None:
    status, answer = await idle.server.call("POST", "/v1/requests", order)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert word in answer["detail"]
    assert (await idle.server.call("GET", "/v1/requests"))[1]["items"] == []


async def test_a_selection_that_can_not_be_asked_fails_the_request(site: Site) -> None:
    made = await site.request("replicate", {"under": "/vo/none"}, to="two")
    shown = await site.ended(made["id"])
    assert shown["state"] == "failed"
    assert "/vo/none" in shown["error"]


async def test_a_plan_says_what_would_be_done(idle: Site) -> None:
    names = await filled(idle, 3)
    await idle.copy(names[0])
    order = {"kind": "replicate", "selection": {"under": "/vo/d"}, "to": "two"}
    _, plan = await idle.server.call("POST", "/v1/request-plan", order)
    assert (plan["files"], plan["skipped"]) == (2, 1)
    assert plan["bytes"] == sum(len(BODY) + len(n) for n in names[1:])
    assert [(link["source"], link["target"], link["files"]) for link in plan["links"]] == [("one", "two", 2)]
    assert plan["links"][0]["ways"][-1] == "stream"
    assert (await idle.server.call("GET", "/v1/requests"))[1]["items"] == []


async def test_links_a_worker_serves(idle: Site) -> None:
    elements = idle.server.services.elements
    await elements.load()

    def lane(source: str, target: str) -> Lane:
        return Lane(1, elements.named(source).id, elements.named(target).id, "user", 1)

    assert Filters(elements, [], [])(lane("one", "two"))
    some = Filters(elements, ["one"], ["two>three"])
    pairs = (("one", "two"), ("two", "one"), ("two", "three"), ("three", "two"))
    assert [some(lane(*pair)) for pair in pairs] == [True, True, True, False]
    with pytest.raises(InvalidRequest, match="SOURCE>TARGET"):
        Filters(elements, [], ["one"])
