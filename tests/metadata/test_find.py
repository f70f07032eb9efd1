"""Searches over HTTP, from Python and on the command line."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
import pytest

from lading import Client
from lading.client.local import LocalError
from lading.model.errors import InvalidRequest
from lading.model.file import FileSpec, Kind, ReplicaSpec
from lading.model.people import UserSpec
from tests.cli.support import lading, on_terminal
from tests.client.proxy import Proxy
from tests.client.support import Bench

NDJSON = {"Accept": "application/x-ndjson"}
QUERY = 'run >= 2 and name like "f*"'


async def fill(bench: Bench, files: int = 6) -> None:
    """/vo/d/f0 ... with `run` 0 ... and the tag of the directory; those of odd numbers on disk1."""
    await bench.declare(run="int", tag="string", when="timestamp")
    specs = [
        FileSpec(f"/vo/d/f{n:04}", n, replicas=[ReplicaSpec("disk1")] if n % 2 else [], metadata={"run": n})
        for n in range(files)
    ]
    assert all(o.error is None for o in await bench.client.register(specs))
    await bench.client.set_metadata([("/vo/d", {"tag": "x y", "when": "2024-01-02T03:04:05Z"})])


async def test_over_http(bench: Bench) -> None:
    await fill(bench)
    call = bench.server.call
    status, page = await call("POST", "/v1/find", {"query": QUERY, "limit": 3, "select": ["run", "tag"]})
    assert (status, page["next"]) == (200, "/vo/d/f0004")
    assert page["items"][0] == {"lfn": "/vo/d/f0002", "run": 2, "tag": "x y"}
    status, rest = await call("POST", "/v1/find", {"query": QUERY, "limit": 3, "cursor": page["next"]})
    assert rest == {"items": [{"lfn": "/vo/d/f0005"}]}
    status, text = await call("POST", "/v1/find", {"query": QUERY, "sort": "-run"}, headers=NDJSON)
    assert text.decode().splitlines()[0] == '{"lfn":"/vo/d/f0005","run":5}'
    assert await call("POST", "/v1/find", {"query": "false"}, headers=NDJSON) == (200, b"")
    assert await call("POST", "/v1/find/count", {"query": QUERY}) == (200, {"count": 4})
    _, answer = await call("POST", "/v1/find/facets", {"query": QUERY, "top": 2})
    assert (answer["count"], [f["field"] for f in answer["facets"]]) == (4, ["run", "tag", "when"])
    assert answer["facets"][1]["values"] == [{"value": "x y", "count": 4}]
    assert answer["facets"][2]["minimum"] == "2024-01-02T03:04:05Z"
    _, told = await call("POST", "/v1/find/explain", {"query": QUERY})
    assert (told["route"], told["missing"]) == ("directories", ["run"])
    for body in (
        {"query": "run ="},
        {"query": ""},
        {"query": "true", "limit": 0},
        {"query": "true", "limit": 10_001},
        {},
    ):
        for headers in ({}, NDJSON):
            if "limit" not in body or not headers or not body["limit"]:
                assert (await call("POST", "/v1/find", body, headers=headers))[0] == 400
    status, problem = await call("POST", "/v1/find", {"query": "true and\n rum = 1"}, headers=NDJSON)
    assert (status, problem["details"]["line"], problem["details"]["column"]) == (400, 2, 2)
    assert problem["details"]["suggestion"] == "run"


async def test_only_what_the_asker_may_read(bench: Bench) -> None:
    await fill(bench)
    await bench.client.users.add(UserSpec("eve"))
    token = await bench.server.services.access.system_token("eve", ("read",), 3600, "tests")
    await bench.server.call("POST", "/v1/attributes", {"lfns": ["/vo/d/f0003"], "mode": 0o600})
    async with Client(bench.server.url, token) as eve:
        assert [r["lfn"] async for r in eve.find(QUERY)] == ["/vo/d/f0002", "/vo/d/f0004", "/vo/d/f0005"]
        assert await eve.count(QUERY) == 3
        assert (await eve.facets(QUERY)).count == 3
        await bench.server.call("POST", "/v1/attributes", {"lfns": ["/vo/d"], "mode": 0o711})
        assert [r async for r in eve.find("true")] == []
        assert await eve.count("true") == 0
        assert (await eve.facets("true")).facets == []
        assert [r["lfn"] async for r in eve.find("true", kind=Kind.DIRECTORY)] == ["/", "/vo"]


async def test_from_python(bench: Bench) -> None:
    await fill(bench)
    client = bench.client
    assert [r["run"] async for r in client.find(QUERY, sort="-run", limit=2, select=["tag"])] == [5, 4]
    assert [r["lfn"] async for r in client.find(QUERY, cursor="/vo/d/f0003")] == ["/vo/d/f0004", "/vo/d/f0005"]
    assert await client.count("true", kind=Kind.DIRECTORY, under="/vo") == 2
    assert (await client.explain("tag exists")).missing == []
    frame = await client.to_pandas(QUERY, select=["run", "tag"])
    assert list(frame.columns) == ["lfn", "run", "tag"]
    assert frame["run"].sum() == 14
    assert isinstance(frame, pd.DataFrame)
    with pytest.raises(InvalidRequest, match="did you mean run"):
        await anext(client.find("runn = 1"))
    try:
        import pyarrow  # noqa: F401  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        with pytest.raises(LocalError, match="pip install pyarrow"):
            await client.to_arrow(QUERY)
    else:
        assert (await client.to_arrow(QUERY, select=["run"])).column_names == ["lfn", "run"]


@pytest.mark.parametrize("sort", [None, "-run"])
async def test_a_broken_connection_goes_on_behind_the_last_file(bench: Bench, proxy: Proxy, sort: str | None) -> None:
    await fill(bench, 300)
    proxy.fault = lambda request, number: ("cut", 1000) if number < 3 else None
    async with Client(proxy.url, bench.server.token) as client:
        found = [r["lfn"] async for r in client.find("true", sort=sort, limit=250)]
    expected = [f"/vo/d/f{n:04}" for n in range(300)]
    assert found == (expected[::-1] if sort else expected)[:250]
    assert len(proxy.seen) == 4


async def test_on_the_command_line(bench: Bench) -> None:
    await fill(bench)

    async def find(*args: object) -> Any:
        return await lading(bench, "find", *args)

    assert (await find(QUERY)).text.split() == [f"/vo/d/f000{n}" for n in (2, 3, 4, 5)]
    assert (await find(QUERY, "--select", "run, tag", "--limit", 1)).row == {
        "lfn": "/vo/d/f0002",
        "run": 2,
        "tag": "x y",
    }
    assert (await find(QUERY, "--json", "--sort", "-size", "-n", 1)).row == {"lfn": "/vo/d/f0005", "size": 5}
    assert (await find(QUERY, "--count")).row == 4
    assert (await find("true", "-d", "--under", "/vo/d")).text == "/vo/d\n"
    table = list(csv.reader(io.StringIO((await find(QUERY, "--format", "csv", "--select", "run,tag")).text)))
    assert table[:2] == [["lfn", "run", "tag"], ["/vo/d/f0002", "2", "x y"]]
    await find(QUERY, "--format", "csv", "-o", "out.csv")
    assert len((bench.here / "out.csv").read_text().splitlines()) == 5
    urls = await find(QUERY, "--format", "urls")
    assert (urls.code, len(urls.text.splitlines())) == (1, 2), "those without a replica failed"
    assert urls.text.startswith("file://")
    assert "no URL" in urls.err
    assert (await find(QUERY, "--facets")).row["count"] == 4
    assert (await find(QUERY, "--explain")).row["missing"] == ["run"]
    assert (await find("runn = 1")).code == 2
    assert (await find("true", "--under", "/none")).code == 5
    text = (await on_terminal(bench, "find", QUERY, "--select", "run,tag")).text
    assert "x y" in text
    assert "LFN" in text
    assert "x y" in (await on_terminal(bench, "find", QUERY, "--facets")).text
    assert "lading field index vo run" in (await on_terminal(bench, "find", QUERY, "--explain")).text
    parquet = await find(QUERY, "--format", "parquet", "-o", "out.parquet")
    assert parquet.code == 0 or "pip install pyarrow" in parquet.err
