"""Metadata over HTTP: the routes, who may, what comes back."""

from __future__ import annotations

from lading.model.people import UserSpec
from lading.model.principal import SYSTEM
from tests.server import Server


async def test_from_a_field_to_its_values(server: Server) -> None:
    fields = [{"vo": "vo", "name": "run", "type": "int"}, {"vo": "vo", "name": "when", "type": "date", "unit": "d"}]
    assert (await server.call("POST", "/v1/fields", {"fields": fields, "dry_run": True}))[1]["dry_run"] is True
    status, made = await server.call("POST", "/v1/fields", {"fields": fields})
    assert (status, [o["value"]["name"] for o in made["outcomes"]]) == (200, ["run", "when"])
    assert [f["name"] for f in (await server.call("GET", "/v1/fields?vo=vo"))[1]] == ["run", "when"]
    assert (await server.call("GET", "/v1/fields?vo=other"))[1] == []
    assert (await server.call("GET", "/v1/fields/vo/none"))[0] == 404
    await server.call("POST", "/v1/files/register", {"files": [{"lfn": "/vo/d/f", "size": 1, "metadata": {"run": 1}}]})
    items = [{"lfn": "/vo/d", "values": {"when": "2024-01-31", "run": 9}}, {"lfn": "/vo/d", "values": {}}]
    items.append({"lfn": "/vo/d/f", "values": {"run": "x"}})
    status, done = await server.call("POST", "/v1/metadata", {"items": items})
    assert (status, done["failed"]) == (200, 2)
    status, found = await server.call("POST", "/v1/metadata/get", {"lfns": ["/vo/d/f", "/vo/none"]})
    assert found["outcomes"][0]["value"] == {
        "lfn": "/vo/d/f", "values": {"run": 1, "when": "2024-01-31"}, "own": ["run"], "inherited": {"when": "/vo/d"},
        "overridden": {"run": {"lfn": "/vo/d", "value": 9}},
    }  # fmt: skip
    assert found["outcomes"][1]["error"]["code"] == "not_found"
    assert (await server.call("POST", "/v1/stat", {"lfns": ["/vo/d"]}))[1]["outcomes"][0]["value"]["metadata"] == {
        "run": 9, "when": "2024-01-31",
    }  # fmt: skip
    preview = (await server.call("PATCH", "/v1/fields/vo/run", {"name": "number", "dry_run": True}))[1]
    assert (preview["files"], preview["directories"], preview["dry_run"]) == (1, 1, True)
    assert (await server.call("PATCH", "/v1/fields/vo/run", {"minimum": 0, "type": "float"}))[1]["field"][
        "type"
    ] == "float"
    assert "minimum" not in (await server.call("PATCH", "/v1/fields/vo/run", {"minimum": None}))[1]["field"]
    assert (await server.call("POST", "/v1/fields/vo/run/index", {"on": True}))[1]["index_state"] in (
        "building",
        "ready",
    )
    assert (await server.call("DELETE", "/v1/fields/vo/run?dry_run=true"))[1]["files"] == 1
    assert (await server.call("DELETE", "/v1/fields/vo/run"))[1]["directories"] == 1
    assert (await server.call("DELETE", "/v1/fields/vo/run"))[0] == 404
    assert (await server.call("POST", "/v1/open-trees", {"lfn": "/vo/d"}))[0] == 204
    assert (await server.call("GET", "/v1/open-trees"))[1] == ["/vo/d"]
    assert (await server.call("DELETE", "/v1/open-trees?lfn=/vo/d"))[0] == 204
    assert (await server.call("DELETE", "/v1/open-trees?lfn=/vo/d"))[0] == 404


async def test_who_may_not(server: Server) -> None:
    await server.services.people.add_user(SYSTEM, UserSpec("alice"))
    token = await server.services.access.system_token("alice", ("read", "write", "admin"), 3600, "tests")
    for method, path, body in (
        ("POST", "/v1/open-trees", {"lfn": "/vo"}),
        ("PATCH", "/v1/fields/vo/a", {"unit": "x"}),
        ("DELETE", "/v1/fields/vo/a", None),
        ("POST", "/v1/fields/vo/a/index", {"on": True}),
    ):
        assert (await server.call(method, path, body, token=token))[0] == 403, path
    body = {"fields": [{"vo": "vo", "name": "a", "type": "int"}]}
    assert (await server.call("POST", "/v1/fields", body, token=token))[1]["outcomes"][0]["error"][
        "code"
    ] == "forbidden"
    assert (await server.call("GET", "/v1/fields", token="nonsense"))[0] == 401
