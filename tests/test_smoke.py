"""The main job through HTTP, end to end, on one server."""

from __future__ import annotations

from pathlib import Path

from tests.server import Server


async def test_main_job(server: Server, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        status, answer = await server.call(
            "POST", "/v1/elements", {"name": name, "type": "posix", "options": {"path": str(tmp_path / name)}}
        )
        assert status == 201, answer
    body = b"hello lading" * 100_000
    async with server.http.put(server.url + "/v1/data/vo/user/a/file.dat?se=one", data=body) as response:
        assert response.status == 201, await response.text()
        entry = await response.json()
    assert entry["size"] == len(body)
    status, answer = await server.call("GET", "/v1/list?lfn=/vo/user/a")
    assert [e["lfn"] for e in answer["items"]] == ["/vo/user/a/file.dat"]
    status, answer = await server.call(
        "POST", "/v1/replicas/copy", {"copies": [{"lfn": "/vo/user/a/file.dat", "to": "two"}]}
    )
    assert status == 200
    assert answer == {"outcomes": [{"item": "/vo/user/a/file.dat", "value": answer["outcomes"][0]["value"]}]}
    status, answer = await server.call("POST", "/v1/replicas/resolve", {"lfns": ["/vo/user/a/file.dat"]})
    assert {s["se"] for s in answer["outcomes"][0]["value"]["sources"]} == {"one", "two"}
    async with server.http.get(server.url + "/v1/data/vo/user/a/file.dat") as response:
        assert response.status == 200
        assert await response.read() == body
    async with server.http.get(server.url + "/v1/data/vo/user/a/file.dat", headers={"Range": "bytes=6-11"}) as response:
        assert response.status == 206
        assert await response.read() == b"lading"
    status, answer = await server.call(
        "POST", "/v1/move", {"moves": [{"source": "/vo/user/a", "target": "/vo/user/b"}]}
    )
    assert "failed" not in answer, answer
    status, answer = await server.call("POST", "/v1/usage", {"lfns": ["/vo"]})
    assert answer["outcomes"][0]["value"]["elements"] == {
        "one": {"replicas": 1, "bytes": len(body)},
        "two": {"replicas": 1, "bytes": len(body)},
    }
    status, answer = await server.call("POST", "/v1/remove", {"lfns": ["/vo/user"], "recursive": True})
    assert "failed" not in answer, answer
    item = answer["outcomes"][0]["value"]["id"]
    status, answer = await server.call("POST", "/v1/trash/restore", {"ids": [item]})
    assert answer["outcomes"][0]["value"] == "/vo/user"
    status, answer = await server.call("POST", "/v1/stat", {"lfns": ["/vo/user/b/file.dat"]})
    assert answer["outcomes"][0]["value"]["replicas"] == 2
    status, answer = await server.call("POST", "/v1/remove", {"lfns": ["/vo/user"], "recursive": True, "keep": 0})
    while await server.services.cleaner.step():
        pass
    left = [p for p in tmp_path.rglob("*") if p.is_file() and "element" not in p.name and p.parent != tmp_path]
    assert left == []
    status, answer = await server.call("POST", "/v1/usage", {"lfns": ["/"]})
    assert answer["outcomes"][0]["value"].get("elements", {}) == {}
