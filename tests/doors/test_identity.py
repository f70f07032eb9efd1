"""Who calls, from where, and once only."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from catalog.db import Transaction
from doors.http.routes import Call, Route
from lading.model.outcome import Outcome, Outcomes
from tests.doors.conftest import Opened
from tests.server import Server


class Thing(msgspec.Struct):
    name: str


async def _who(call: Call) -> dict[str, Any]:
    return {
        "user": call.caller.principal.name,
        "origin": call.caller.origin,
        "scopes": len(call.caller.principal.scopes),
    }


async def _change(call: Call[Thing]) -> Outcomes[int]:
    async def work(tx: Transaction) -> Outcomes[int]:
        tx.audit([call.body.name])
        return Outcomes([Outcome(call.body.name, 1)])

    return await call.services.database.change(call.caller, "test.change", work)


ROUTES = [
    Route("GET", "/who", _who, "user", "x", answer=dict[str, Any]),
    Route("GET", "/open", _who, "open", "x", answer=dict[str, Any]),
    Route("GET", "/admin", _who, "admin", "x", answer=dict[str, Any]),
    Route("POST", "/change", _change, "user", "x", body=Thing, answer=Outcomes[int]),
]


def _basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_tokens_come_as_bearer_or_as_basic_password(opened: Opened) -> None:
    server = await opened(ROUTES)
    for value in (f"Bearer {server.token}", f"bearer  {server.token}", _basic(server.token), _basic(server.token, "")):
        status, who = await server.call("GET", "/who", headers={"Authorization": value})
        assert (status, who["user"], who["origin"]) == (200, "admin", "127.0.0.1"), value


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer wrong", "Bearer ldg_wrong", "Basic !!!", _basic("ldg_wrong"), _basic("é"), "Negotiate abc"],
)
async def test_bad_credentials_are_refused_and_not_repeated(opened: Opened, value: str) -> None:
    server = await opened(ROUTES)
    async with server.http.get(server.url + "/who", headers={"Authorization": value}) as response:
        problem = await response.json()
        assert (response.status, problem["code"]) == (401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert "wrong" not in problem["detail"]


async def test_open_routes_know_nobody(opened: Opened) -> None:
    server = await opened(ROUTES)
    status, who = await server.call("GET", "/open", headers={"Authorization": "Bearer wrong"})
    assert (status, who["user"], who["scopes"]) == (200, "nobody", 0)


async def test_admin_routes_want_the_scope_too(opened: Opened) -> None:
    server = await opened(ROUTES)
    assert (await server.call("GET", "/admin"))[0] == 200
    narrow = await server.services.access.system_token("admin", ["read", "write"], 60, "narrow")
    status, problem = await server.call("GET", "/admin", token=narrow)
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "origin"),
    [
        ([], "9.9.9.9", "127.0.0.1"),
        (["127.0.0.0/8"], "9.9.9.9", "9.9.9.9"),
        (["127.0.0.1"], "6.6.6.6, 9.9.9.9", "9.9.9.9"),
        (["127.0.0.1", "10.0.0.0/8"], "9.9.9.9, 10.1.2.3", "9.9.9.9"),
        (["127.0.0.1", "10.0.0.0/8"], "9.9.9.9, junk, 10.1.2.3", "10.1.2.3"),
        (["127.0.0.1"], "", "127.0.0.1"),
        (["10.0.0.0/8"], "9.9.9.9", "127.0.0.1"),
    ],
)
async def test_only_trusted_proxies_tell_where_a_call_comes_from(
    opened: Opened, trusted: list[str], forwarded: str, origin: str
) -> None:
    server = await opened(ROUTES, trusted_proxies=trusted)
    _, who = await server.call("GET", "/who", headers={"X-Forwarded-For": forwarded})
    assert who["origin"] == origin


async def _changes(server: Server) -> int:
    async with server.services.database.read() as connection:
        count = await connection.fetchval("select count(*) from audit where action = 'test.change'")
        return int(count)


async def test_under_one_key_a_call_takes_effect_once(opened: Opened) -> None:
    server = await opened(ROUTES)
    headers = {"Idempotency-Key": "k1", "Authorization": f"Bearer {server.token}"}
    answers = []
    for _ in range(2):
        async with server.http.post(server.url + "/change", json={"name": "a"}, headers=headers) as response:
            answers.append((response.status, await response.json(), response.headers.get("Idempotency-Replayed")))
    assert answers[0][:2] == answers[1][:2] == (200, {"outcomes": [{"item": "a", "value": 1}]})
    assert [a[2] for a in answers] == [None, "true"]
    assert await _changes(server) == 1

    status, problem = await server.call("POST", "/change", {"name": "b"}, headers=headers)
    assert (status, problem["code"]) == (409, "conflict")
    assert await _changes(server) == 1
    await server.call("POST", "/change", {"name": "b"}, headers={"Idempotency-Key": "k2"})
    await server.call("POST", "/change", {"name": "b"})
    await server.call("POST", "/change", {"name": "b"})
    assert await _changes(server) == 4


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "é"])
async def test_a_garbled_key_is_refused(opened: Opened, key: str) -> None:
    server = await opened(ROUTES)
    status, problem = await server.call("POST", "/change", {"name": "a"}, headers={"Idempotency-Key": key})
    assert (status, problem["code"]) == (400, "invalid_request")
    assert await _changes(server) == 0
