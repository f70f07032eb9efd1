"""`lading field` and `lading meta` as people run them."""

from __future__ import annotations

import json
import secrets

from lading.model.element import ElementSpec
from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def test_fields(bench: Bench) -> None:
    dry = await lading(bench, "field", "add", "vo", "run", "int", "--min", "1", "--unit", "n", "--dry-run")
    assert (dry.code, dry.row["dry_run"], dry.row["minimum"]) == (0, True, 1)
    assert (await lading(bench, "field", "ls")).rows == []
    assert (await lading(bench, "field", "add", "vo", "run", "int", "--min", "1", "--unit", "n")).row["changed"]
    assert not (await lading(bench, "field", "add", "vo", "run", "int", "--min", "1", "--unit", "n")).row["changed"]
    assert (await lading(bench, "field", "add", "vo", "run", "string")).code == 6
    assert (await lading(bench, "field", "add", "vo", "size", "int")).code == 2
    assert (await lading(bench, "field", "add", "vo", "x", "integer")).code == 2
    tag = await lading(bench, "field", "add", "vo", "tag", "string", "--allowed", "7", "--allowed", "b")
    assert tag.row["allowed"] == ["7", "b"], "texts stay texts"
    assert [f["name"] for f in (await lading(bench, "field", "ls", "vo")).rows] == ["run", "tag"]
    await lading(bench, "mkdir", "-p", "/vo/d")
    await lading(bench, "meta", "set", "/vo/d", "run=5")
    preview = await lading(bench, "field", "set", "vo", "run", "--rename", "number", "--dry-run")
    assert (preview.row["directories"], preview.row["dry_run"]) == (1, True)
    assert (await lading(bench, "field", "set", "vo", "run", "--rename", "number", "--unset", "min")).row[
        "directories"
    ] == 1
    shown = (await lading(bench, "field", "show", "vo", "number")).row
    assert (shown["minimum"], shown["on_dirs"], shown["index_state"]) == (None, True, "none")
    assert (await lading(bench, "field", "index", "vo", "number", "--wait")).row["index_state"] == "ready"
    assert "ready" in (await on_terminal(bench, "field", "ls")).text
    assert "index" in (await on_terminal(bench, "field", "show", "vo", "number")).text
    assert (await lading(bench, "field", "index", "vo", "number", "--off")).row["index_state"] == "none"
    assert "would be deleted" in (await on_terminal(bench, "field", "rm", "vo", "number", "--dry-run")).text
    assert (await lading(bench, "field", "rm", "vo", "number")).row["directories"] == 1
    assert (await lading(bench, "field", "rm", "vo", "number")).code == 5
    assert (await lading(bench, "field", "set", "vo", "tag")).code == 2
    assert (await lading(bench, "field", "set", "vo", "tag", "--unset", "nonsense")).code == 2
    assert (await lading(bench, "field", "open", "/vo/d")).code == 0
    assert (await lading(bench, "field", "trees")).row == {"lfn": "/vo/d"}
    assert (await lading(bench, "field", "close", "/vo/d")).code == 0
    assert (await lading(bench, "field", "close", "/vo/d")).code == 5


async def test_values(bench: Bench) -> None:
    await bench.declare(run="int", tag="string", day="date", ok="bool")
    await bench.client.write("/vo/d/f", b"x", se="disk1")
    assert (await lading(bench, "meta", "set", "/vo", "/vo/d/f", "run=5", "tag=7", "ok=TRUE", "--dry-run")).rows[0][
        "dry_run"
    ]
    assert (await lading(bench, "meta", "get", "/vo")).row["values"] == {}
    assert (await lading(bench, "meta", "set", "/vo", "/vo/d/f", "run=5", "tag=7", "ok=TRUE")).code == 0
    await lading(bench, "meta", "set", "/vo/d", "day=2024-01-31", "tag=x y")
    found = (await lading(bench, "meta", "get", "/vo/d/f")).row
    assert found["values"] == {"run": 5, "tag": "7", "ok": True, "day": "2024-01-31"}
    assert found["inherited"] == {"day": "/vo/d"}
    assert (await lading(bench, "meta", "get", "/vo/d/f", "--own")).row["values"] == {"run": 5, "tag": "7", "ok": True}
    text = (await on_terminal(bench, "meta", "get", "/vo/d/f")).text
    assert "/vo/d/f" in text
    assert "hides x y of /vo/d" in text
    assert (await lading(bench, "meta", "set", "/vo/d/f", "runn=5")).code == 2
    assert "did you mean 'run'" in (await lading(bench, "meta", "set", "/vo/d/f", "runn=5")).err
    assert (await lading(bench, "meta", "set", "/vo/d/f", "/vo/none", "run=6")).code == 1
    assert (await lading(bench, "meta", "set", "/vo/d/f")).code == 2
    assert (await lading(bench, "meta", "rm", "/vo/d/f")).code == 2
    assert (await lading(bench, "meta", "rm", "/vo/d/f", "-k", "run")).row["changed"]
    assert (await lading(bench, "meta", "rm", "/vo/d/f", "--all")).row["changed"]
    assert (await lading(bench, "meta", "get", "/vo/d/f")).row["own"] == []


async def test_import_from_csv(bench: Bench) -> None:
    await bench.declare(run="int", tag="string")
    names = [f"/vo/{n % 7}/{n}" for n in range(2500)]
    await lading(
        bench, "register", "-", stdin=b"".join(json.dumps({"lfn": n, "size": 1}).encode() + b"\n" for n in names)
    )
    rows = ["run,lfn,tag", *(f'{n},{lfn},"a, ""{n}"""' for n, lfn in enumerate(names))]
    bench.local("v.csv", "\ufeff".encode() + "\r\n".join(rows).encode())
    dry = await lading(bench, "meta", "import", "v.csv", "--dry-run")
    assert (dry.code, dry.row) == (0, {"described": 2500, "unchanged": 0, "failed": 0, "dry_run": True})
    assert (await bench.client.entry(names[-1])).metadata == {}
    assert (await lading(bench, "meta", "import", "v.csv")).row == {"described": 2500, "unchanged": 0, "failed": 0}
    assert (await bench.client.entry(names[-1])).metadata == {"run": 2499, "tag": 'a, "2499"'}
    assert (await lading(bench, "meta", "import", "v.csv")).row == {"described": 0, "unchanged": 2500, "failed": 0}
    text = f"file;run\n{names[0]};\n{names[1]};x\n/vo/none;1\n{names[2]};7;8\n{names[3]};1\n"
    done = await lading(
        bench, "meta", "import", "--lfn-column", "file", "--delimiter", ";", "--format", "csv", stdin=text.encode()
    )
    assert (done.code, done.rows[-1]) == (1, {"described": 1, "unchanged": 1, "failed": 3})
    assert [r["line"] for r in done.rows[:-1]] == [3, 4, 5]
    assert (await bench.client.entry(names[0])).metadata["run"] == 0, "an empty cell says nothing"


async def test_import_of_what_was_shown(bench: Bench) -> None:
    await bench.declare(run="int", day="date")
    await bench.client.make_directories(["/vo/a/b", "/vo/c"])
    await bench.client.set_metadata([("/vo/a", {"run": 1, "day": "2024-01-31"}), ("/vo/a/b", {"run": 2})])
    shown = await lading(bench, "meta", "get", "/vo/a", "/vo/a/b", "/vo/c")
    await lading(bench, "meta", "rm", "/vo/a", "/vo/a/b", "--all")
    done = await lading(bench, "meta", "import", "-", stdin=shown.out)
    assert done.row == {"described": 2, "unchanged": 1, "failed": 0}
    assert (await lading(bench, "meta", "get", "/vo/a", "/vo/a/b", "/vo/c")).out == shown.out
    bad = b'{"lfn": "/vo/c"}\nnonsense\n\n{"lfn": "/vo/c", "values": {"run": 3}}\n'
    done = await lading(bench, "meta", "import", "-", "--format", "json", stdin=bad)
    assert (done.code, [r.get("line") for r in done.rows]) == (1, [1, 2, None])
    assert (await lading(bench, "meta", "import", "nofile.csv")).code == 1
    assert (await lading(bench, "meta", "import", "-", "--format", "csv", stdin=b"a,b\n1,2\n")).code == 2
    assert (await lading(bench, "meta", "import", "-", "--format", "xml", stdin=b"")).code == 2


async def test_mirror(bench: Bench) -> None:
    await bench.client.elements.add(ElementSpec("vault", "memory", {"store": secrets.token_hex(4)}, cost=1))
    await bench.declare(run="int")
    await bench.client.write("/vo/x", b"content", se="vault")
    assert (await lading(bench, "meta", "set", "/vo/x", "run=7")).code == 0
    out = await lading(bench, "meta", "mirror", "vault", "/vo/x", "--dry-run")
    assert out.row == {"lfn": "/vo/x", "values": {"run": "7"}, "ignored": [], "dry_run": True}
    assert (await lading(bench, "meta", "mirror", "vault", "/vo/x")).code == 0
    assert (await lading(bench, "meta", "set", "/vo/x", "run=8")).code == 0
    found = await lading(bench, "find", "run = 8", "--format", "lfn")
    back = await lading(bench, "meta", "mirror", "vault", "--back", "--from-file", "-", stdin=found.out)
    assert back.row["values"] == {"run": "7"}
    assert (await bench.client.entry("/vo/x")).metadata == {"run": 7}
    refused = await lading(bench, "meta", "mirror", "disk1", "/vo/x")
    assert refused.code == 2
    assert "keeps no metadata" in refused.err
