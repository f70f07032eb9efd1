"""What is done can be read as it is done, in order, nothing left out; and is sent to webhooks at least once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from catalog.events.deliver import signature
from catalog.events.store import EventsStore, Wish
from lading.model.principal import SYSTEM
from tests.plans import plans_of
from tests.server import Server


async def make(server: Server, *lfns: str) -> None:
    status, answer = await server.call("POST", "/v1/directories/make", {"lfns": list(lfns), "parents": True})
    assert (status, answer.get("failed", 0)) == (200, 0), answer


async def read(server: Server, query: str, token: str | None = None) -> tuple[list[tuple[str, list[str]]], str]:
    status, answer = await server.call("GET", f"/v1/events?{query}", token=token)
    assert status == 200, answer
    return [(e["action"], e.get("targets", [])) for e in answer["items"]], answer["next"]


async def test_a_stream_goes_on_where_it_was(server: Server) -> None:
    await make(server, "/vo", "/other")
    seen, cursor = await read(server, "")
    assert seen == []
    await make(server, "/vo/a", "/vo/b")
    await make(server, "/other/c")
    seen, after = await read(server, f"after={cursor}")
    assert [targets for _, targets in seen] == [["/vo/a", "/vo/b"], ["/other/c"]]
    assert (await read(server, f"after={after}"))[0] == []
    assert (await read(server, f"after={cursor}"))[0] == seen, "the same again"
    first, second = await read(server, f"after={cursor}&limit=1")
    rest, _ = await read(server, f"after={second}&limit=1")
    assert first + rest == seen
    action = seen[0][0]
    assert (await read(server, f"after={cursor}&under=/vo/b&action={action}"))[0] == seen[:1]
    assert (await read(server, f"after={cursor}&action={action[:2]}*&action=x"))[0] == seen
    assert (await read(server, f"after={cursor}&action=none"))[0] == []
    for query in ("after=x", "after=1-", "limit=0", "action=%25", "under=vo", "wait=99"):
        assert (await server.call("GET", f"/v1/events?{query}"))[0] == 400, query


async def test_who_waits_is_told_and_nobody_sees_what_is_not_his(server: Server) -> None:
    await server.call("POST", "/v1/users", {"name": "ann"})
    token = (await server.call("POST", "/v1/tokens", {"user": "ann", "scopes": ["read"]}))[1]["token"]
    await make(server, "/vo")
    _, cursor = await read(server, "")
    waiting = asyncio.create_task(read(server, f"after={cursor}&wait=30"))
    hers = asyncio.create_task(read(server, f"after={cursor}&wait=30", token))
    await asyncio.sleep(0.1)
    await make(server, "/vo/x")
    assert (await waiting)[0][0][1] == ["/vo/x"]

    async def lost(tx: Any) -> None:
        tx.audit(["/vo/hers"], owner="ann")

    await server.services.database.change(SYSTEM, "file.lost", lost)
    assert (await hers)[0] == [("file.lost", ["/vo/hers"])]


async def test_what_is_not_over_yet_is_not_passed_by(server: Server) -> None:
    """A transaction that ends later than others that began after it: its events come, and none of the others is told
    before."""
    await make(server, "/vo")
    _, cursor = await read(server, "")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Any) -> None:
        tx.audit(["slow"])
        await tx.connection.execute("insert into alias(prefix, target, ctime) values ('/x', '/y', 1)")
        begun.set()
        await go_on.wait()

    task = asyncio.create_task(server.services.database.change(SYSTEM, "slow", slow))
    await begun.wait()
    await make(server, "/vo/quick")
    seen, on = await read(server, f"after={cursor}")
    assert seen == []
    go_on.set()
    await task
    both, _ = await read(server, f"after={on}")
    assert [targets for _, targets in both] == [["slow"], ["/vo/quick"]]


@dataclass
class Heard:
    """Somebody who hears webhooks."""

    url: str = ""
    answer: int = 204
    bodies: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answer, headers={"Location": "/elsewhere"})

    def targets(self) -> list[str]:
        return [t for _, body in self.bodies for e in json.loads(body)["events"] for t in e.get("targets", [])]


@pytest_asyncio.fixture
async def heard() -> AsyncIterator[Heard]:
    one = Heard()
    app = web.Application()
    app.router.add_post("/{path:.*}", one.take)
    async with TestServer(app) as server:
        one.url = str(server.make_url("/hook"))
        yield one


async def test_a_webhook_hears_all_in_order_signed(server: Server, heard: Heard) -> None:
    await make(server, "/vo")
    body = {"url": heard.url, "under": "/vo"}
    status, hook = await server.call("POST", "/v1/hooks", body)
    assert status == 201, hook
    await make(server, "/vo/a")
    await make(server, "/other")
    await make(server, "/vo/b")
    async with ClientSession() as http:
        await _until(server, http, lambda: heard.targets() == ["/vo/a", "/vo/b"])
        headers, sent = heard.bodies[0]
        expected = signature(hook["secret"], headers["X-Lading-Timestamp"], sent)
        assert headers["X-Lading-Signature"] == f"sha256={expected}"
        assert json.loads(sent)["hook"] == hook["id"]
        [shown] = (await server.call("GET", "/v1/hooks"))[1]
        assert (shown["delivered"], "secret" in shown, shown.get("failures", 0)) == (2, False, 0)
        assert (await server.call("DELETE", f"/v1/hooks/{hook['id']}"))[0] == 204
        assert (await server.call("DELETE", f"/v1/hooks/{hook['id']}"))[0] == 404
        assert not await server.services.deliverer.step(http)


async def _until(server: Server, http: ClientSession, told: Any) -> None:
    for _ in range(200):
        await _due(server)
        await server.services.deliverer.step(http)
        if told():
            return
    raise AssertionError("it never came")


async def _due(server: Server) -> None:
    async with server.services.database.read() as connection:
        await connection.execute("update webhook set next_try = 0")


async def test_one_that_fails_is_tried_again_and_misses_nothing(server: Server, heard: Heard) -> None:
    assert (await server.call("POST", "/v1/hooks", {"url": heard.url}))[0] == 201
    heard.answer = 302
    await make(server, "/vo/a")
    async with ClientSession() as http:
        await _due(server)
        await server.services.deliverer.step(http)
        assert not await server.services.deliverer.step(http), "not at once"
        [shown] = (await server.call("GET", "/v1/hooks"))[1]
        assert (shown["failures"], shown["error"]) == (1, "it answered 302")
        assert shown["next_try"] > 0
        first = json.loads(heard.bodies[0][1])
        heard.answer = 200
        await make(server, "/vo/b")
        await _until(server, http, lambda: "/vo/b" in heard.targets())
        again = json.loads(heard.bodies[1][1])
        assert again["delivery"] == first["delivery"], "so that it is known for what it is"
        [shown] = (await server.call("GET", "/v1/hooks"))[1]
        assert (shown.get("failures", 0), "error" in shown) == (0, False)


async def test_a_dead_address_is_told_and_only_administrators_make_them(server: Server) -> None:
    assert (await server.call("POST", "/v1/hooks", {"url": "http://127.0.0.1:9/x"}))[0] == 201
    async with ClientSession() as http:
        await make(server, "/vo/a")
        await _due(server)
        await server.services.deliverer.step(http)
        [shown] = (await server.call("GET", "/v1/hooks"))[1]
        assert "connect" in shown["error"].lower()
    for url in ("ftp://x/y", "http://user:word@host/", "file:///etc/passwd", "http://a b/"):
        assert (await server.call("POST", "/v1/hooks", {"url": url}))[0] == 400, url
    await server.call("POST", "/v1/users", {"name": "ann"})
    token = (await server.call("POST", "/v1/tokens", {"user": "ann", "scopes": ["read", "write"]}))[1]["token"]
    for method, path, body in (("POST", "/v1/hooks", {"url": "http://x/"}), ("GET", "/v1/hooks", None)):
        assert (await server.call(method, path, body, token=token))[0] == 403


async def test_a_reader_goes_by_the_index(server: Server) -> None:
    async with server.services.database.read() as connection:
        await connection.execute(
            "insert into audit(at, user_id, action, count, targets, xid) select n, 1, 'x', 1, '{/vo}', n"
            " from generate_series(1, 20000) n"
        )
        await connection.execute("analyze audit")
    wish = Wish(None, "", ["x%"], "/vo")
    plans = await plans_of(server.services.database.dsn, lambda c: EventsStore().after(c, 100, 0, 10_000, wish, 10))
    [plan] = [p for p in plans if "from audit" in p.statement]
    assert plan.uses("audit_xid", "xid", "id"), plan
    assert "audit" not in plan.scans
