"""Searches over HTTP, from Python and on the command line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from lading import Client
from lading.cli import found
from lading.client.local import LocalError
from lading.model.errors import InvalidRequest
from lading.model.field import FieldType
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
    assert (answer["count"], [f["field"] for f in answer["facets"]]) == (
        4,
        ["run", "tag", "when", "se", "state", "status", "owner", "group"],
    )
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
    parquet = await find(QUERY, "--select", "run,tag", "--format", "parquet", "-o", "out.parquet")
    assert parquet.code == 0
    assert pq.read_table(bench.here / "out.parquet").column_names == ["lfn", "run", "tag"]
    assert (await find(QUERY, "--format", "parquet")).code == 2


MANY = "lfn,i,f,b,s,t,d,j,size,se,ctime,j.k"


async def typed(bench: Bench) -> list[dict[str, Any]]:
    """Two files with values at the ends of their types, one with none; as columns have them."""
    await bench.declare(i="int", f="float", b="bool", s="string", t="timestamp", d="date", j="json")
    values: list[dict[str, Any]] = [
        {"i": 2**63 - 1, "f": 1.0, "b": True, "s": "é\n", "t": "2024-01-02T03:04:05.000006Z", "d": "9999-12-31", "j": {"k": [1]}},
        {},
        {"i": -(2**63), "f": 0.1, "b": False, "s": "", "t": "0001-01-01T00:00:00Z", "d": "0001-01-01", "j": "x"},
    ]  # fmt: skip
    files = [
        FileSpec(f"/vo/{n}", 2**53 + n, replicas=[ReplicaSpec("disk1")] if n else [], metadata=v)
        for n, v in enumerate(values)
    ]
    assert all(o.error is None for o in await bench.client.register(files))
    moments = [datetime(2024, 1, 2, 3, 4, 5, 6, UTC), None, datetime(1, 1, 1, tzinfo=UTC)]
    return [
        {
            "lfn": f"/vo/{n}", "size": 2**53 + n, "se": ["disk1"] if n else None, "t": moments[n],
            "d": [date(9999, 12, 31), None, date(1, 1, 1)][n], "j": ['{"k":[1]}', None, '"x"'][n], "j.k": ["[1]", None, None][n],
            **{k: v.get(k) for k in "ifbs"},
        }
        for n, v in enumerate(values)
    ]  # fmt: skip


def told(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table; but for `ctime`, which nobody knows before."""
    lists = table.schema.field("se").type
    assert (pa.types.is_list(lists), lists.value_type) == (True, pa.string())
    assert {f.name: str(f.type) for f in table.schema if f.name != "se"} == {
        "lfn": "string", "i": "int64", "f": "double", "b": "bool", "s": "string", "t": "timestamp[us, tz=UTC]", "d": "date32[day]",
        "j": "string", "size": "int64", "ctime": "timestamp[us, tz=UTC]", "j.k": "string",
    }  # fmt: skip
    assert all(isinstance(v, datetime) for v in table.column("ctime").to_pylist())
    return table.drop_columns(["ctime"]).to_pylist()


async def test_arrow_and_parquet_have_the_types_of_the_fields(bench: Bench) -> None:
    expected = await typed(bench)
    assert told(await bench.client.to_arrow("true", select=MANY.split(",")[1:], under="/vo")) == expected
    done = await lading(bench, "find", "true", "--select", MANY, "--format", "parquet", "-o", "all.parquet")
    assert done.code == 0
    assert told(pq.read_table(bench.here / "all.parquet")) == expected
    done = await lading(bench, "find", "false", "--select", MANY, "--format", "parquet", "-o", "none.parquet")
    assert (done.code, told(pq.read_table(bench.here / "none.parquet"))) == (0, [])
    frame = pd.read_parquet(bench.here / "all.parquet")
    assert frame["t"][0] == expected[0]["t"]


async def test_data_frames_have_the_types_of_the_fields(bench: Bench) -> None:
    expected = await typed(bench)
    frame = await bench.client.to_pandas("true", select=MANY.split(",")[1:])
    assert {n: str(t) for n, t in frame.dtypes.items() if n in "ifbt" or n == "size"} == {
        "i": "Int64", "f": "float64", "b": "boolean", "t": "datetime64[us, UTC]", "size": "Int64",
    }  # fmt: skip
    for name in ("lfn", "i", "f", "b", "s", "t", "d", "size", "se"):
        values = [None if not isinstance(v, list) and pd.isna(v) else v for v in frame[name]]
        assert values == [row[name] for row in expected], name
    assert frame["j"][0] == {"k": [1]}
    assert (await bench.client.to_pandas("false", select=["i"])).columns.tolist() == ["lfn", "i"]


async def test_groups_of_a_parquet_file_have_one_schema(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows have no values, later whole numbers, then fractions; and what is of another type is told."""
    monkeypatch.setattr(found, "_GROUP", 1)
    path, kinds = str(bench.here / "x.parquet"), {"lfn": FieldType.STRING, "f": FieldType.FLOAT}

    async def batches(*values: Any) -> AsyncIterator[list[dict[str, Any]]]:
        for n, value in enumerate(values):
            yield [{"lfn": f"/vo/{n}", "f": value} if value is not None else {"lfn": f"/vo/{n}"}]

    assert await found.write_parquet(batches(None, 1, 1.5), kinds, path) == 3
    assert pq.read_table(path).column("f").to_pylist() == [None, 1.0, 1.5]
    with pytest.raises(InvalidRequest, match="'f' is float"):
        await found.write_parquet(batches(1, "x"), kinds, path)


async def test_without_pyarrow_and_pandas(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(bench)
    for name in ("pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LocalError, match="pip install pyarrow"):
        await bench.client.to_arrow(QUERY)
    with pytest.raises(LocalError, match="pip install pandas"):
        await bench.client.to_pandas(QUERY)
    with pytest.raises(LocalError, match="pip install pyarrow"):
        await found.write_parquet(bench.client.find_batches(QUERY), {"lfn": FieldType.STRING}, str(bench.here / "x"))
