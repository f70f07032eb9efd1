"""Data sets over HTTP."""

from __future__ import annotations

import json

from lading.model.people import UserSpec
from lading.model.principal import SYSTEM
from tests.server import Server


async def _lines(server: Server, path: str) -> list[dict[str, object]]:
    status, text = await server.call("GET", path)
    assert status == 200
    return [json.loads(line) for line in text.splitlines()]


async def test_from_a_query_to_a_released_snapshot(server: Server) -> None:
    files = [{"lfn": f"/vo/d/{n}", "size": n, "checksums": {"md5": f"{n:032x}"}} for n in range(3)]
    assert (await server.call("POST", "/v1/files/register", {"files": files}))[0] == 200
    status, made = await server.call(
        "POST", "/v1/datasets", {"name": "/vo/s", "query": "size > 0", "metadata": {"k": 1}}
    )
    assert (status, made["query"], made["owner"]) == (200, "size > 0", "admin")
    assert (await server.call("POST", "/v1/datasets", {"name": "/vo/s", "query": "true"}))[0] == 409
    assert (await server.call("POST", "/v1/datasets", {"name": "/vo/l", "lfns": []}))[0] == 200
    status, done = await server.call("POST", "/v1/dataset/add", {"name": "/vo/l", "lfns": ["/vo/d/0", "/vo/none"]})
    assert (status, done["failed"]) == (200, 1)
    of = {"how": "union", "of": ["/vo/s", "/vo/l"]}
    assert (await server.call("POST", "/v1/datasets", {"name": "/vo/u", "combine": of}))[1]["query"] == (
        'in dataset "/vo/s" or in dataset "/vo/l"'
    )
    assert (await _lines(server, "/v1/dataset/files?name=/vo/u"))[-1] == {"files": 3, "hidden": 0}
    assert [d["name"] for d in (await server.call("GET", "/v1/datasets"))[1]["items"]] == ["/vo/l", "/vo/s", "/vo/u"]
    status, first = await server.call("POST", "/v1/dataset/freeze", {"name": "/vo/s", "note": "n"})
    assert (status, first["name"], first["files"]) == (200, "/vo/s@1", 2)
    assert (await server.call("GET", "/v1/dataset?name=/vo/s"))[1]["since"]["added"] == 0
    assert (await server.call("PATCH", "/v1/dataset", {"name": "/vo/s", "query": "size > 1"}))[1]["query"] == "size > 1"
    await server.call("POST", "/v1/dataset/freeze", {"name": "/vo/s"})
    diff = await _lines(server, "/v1/snapshot/diff?old=/vo/s@1&new=/vo/s")
    assert [(d.get("change"), d.get("lfn")) for d in diff] == [("removed", "/vo/d/1"), (None, None)]
    status, done = await server.call("POST", "/v1/remove", {"lfns": ["/vo/d/1"]})
    assert done["outcomes"][0]["error"]["details"]["snapshots"] == ["/vo/s@1"]
    assert (await server.call("POST", "/v1/remove", {"lfns": ["/vo/d/1"], "force_snapshots": True}))[1]["outcomes"][0][
        "value"
    ]
    assert (await server.call("GET", "/v1/snapshot?name=/vo/s@1"))[1]["broken"][0]["lfn"] == "/vo/d/1"
    assert (await _lines(server, "/v1/snapshot/check?name=/vo/s@1"))[0] == {"lfn": "/vo/d/1", "problem": "missing"}
    changed = (
        await server.call("PATCH", "/v1/snapshot", {"name": "/vo/s@1", "annotations": {"doi": "x"}, "release": True})
    )[1]
    assert (changed["annotations"], changed["hash"], changed["released"] > 0) == ({"doi": "x"}, first["hash"], True)
    assert len((await server.call("GET", "/v1/snapshots?name=/vo/s"))[1]["items"]) == 2
    assert (await server.call("DELETE", "/v1/dataset?name=/vo/s"))[0] == 409
    assert (await server.call("DELETE", "/v1/dataset?name=/vo/s&force=true"))[0] == 204
    assert (await server.call("GET", "/v1/dataset?name=/vo/s"))[0] == 404
    assert (await server.call("POST", "/v1/dataset/remove-files", {"name": "/vo/l", "lfns": ["/vo/d/0"]}))[1][
        "outcomes"
    ] == [{"item": "/vo/d/0"}]


async def test_who_may_not(server: Server) -> None:
    await server.call("POST", "/v1/directories/make", {"lfns": ["/vo"]})
    await server.call("POST", "/v1/datasets", {"name": "/vo/s", "query": "true", "mode": 0o600})
    await server.services.people.add_user(SYSTEM, UserSpec("alice"))
    token = await server.services.access.system_token("alice", ("read", "write"), 3600, "tests")
    for method, path, body in (
        ("POST", "/v1/datasets", {"name": "/vo/x", "query": "true"}),
        ("GET", "/v1/dataset?name=/vo/s", None),
        ("GET", "/v1/dataset/files?name=/vo/s", None),
        ("PATCH", "/v1/dataset", {"name": "/vo/s", "description": "x"}),
        ("POST", "/v1/dataset/freeze", {"name": "/vo/s"}),
        ("DELETE", "/v1/dataset?name=/vo/s", None),
        ("POST", "/v1/find", {"query": 'in dataset "/vo/s"'}),
    ):
        assert (await server.call(method, path, body, token=token))[0] == 403, path
    assert (await server.call("GET", "/v1/datasets", token=token))[1] == {"items": []}
    assert (await server.call("GET", "/v1/dataset/files?name=/vo/s@9"))[0] == 404
    assert (await server.call("GET", "/v1/dataset/files?name=nonsense"))[0] == 400
    assert (await server.call("POST", "/v1/dataset/freeze", {"name": "/vo/s", "nonsense": 1}))[0] == 400
