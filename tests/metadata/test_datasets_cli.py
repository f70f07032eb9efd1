"""`lading dataset` as people run it, and its manifests as others read them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from lading.model.file import FileSpec
from tests.cli.support import lading, on_terminal
from tests.client.support import Bench

NAMES = ["/vo/d/a&<b>", "/vo/d/é 50%", "/vo/d/'\"", "/vo/d.x/y", "/vo/d/sub/c"]


async def _register(bench: Bench, *kinds: str) -> None:
    sums = [{k: hashlib.new(k, n.encode()).hexdigest() for k in kinds} for n in NAMES]
    specs = [FileSpec(n, len(n.encode()), checksums=s) for n, s in zip(NAMES, sums, strict=True)]
    await bench.client.register(specs)


async def test_round_trip(bench: Bench) -> None:
    await bench.declare(run="int")
    await _register(bench, "md5")
    dry = await lading(bench, "dataset", "create", "/vo/s", "size > 1", "--under", "/vo", "--dry-run")
    assert (dry.code, dry.row["name"]) == (0, "/vo/s")
    assert (await lading(bench, "dataset", "ls")).rows == []
    made = await lading(bench, "dataset", "create", "/vo/s", "size > 1", "--under", "/vo", "-m", "k=1", "--mode", "640")
    assert (made.code, made.row["metadata"], made.row["mode"], made.row["under"]) == (0, {"k": 1}, 0o640, "/vo")
    bench.local("list", "".join(f"{n}\n" for n in NAMES[:2]).encode())
    assert (await lading(bench, "dataset", "create", "/vo/l", "--from-file", "list", "--description", "two")).code == 0
    assert (await lading(bench, "dataset", "create", "/vo/l", "--list")).code == 6
    assert (await lading(bench, "dataset", "create", "/vo/x")).code == 2
    assert (await lading(bench, "dataset", "create", "/vo/x", "size", ">", "1")).code == 2
    assert (await lading(bench, "dataset", "create", "/vo/x", "--union", "/vo/s")).code == 2
    rest = await lading(bench, "dataset", "create", "/vo/rest", "--difference", "/vo/s", "/vo/l")
    assert rest.row["query"] == 'in dataset "/vo/s" and not in dataset "/vo/l"'
    assert {r["lfn"] for r in (await lading(bench, "dataset", "files", "/vo/rest")).rows} == set(NAMES[2:])
    assert (await lading(bench, "dataset", "add", "/vo/l", NAMES[2], "/vo/d/a*")).code == 0
    assert (await lading(bench, "dataset", "remove-files", "/vo/l", NAMES[2])).row["changed"]
    assert (await lading(bench, "dataset", "set", "/vo/l", "--description", "one", "--meta", "a=b")).row[
        "metadata"
    ] == {"a": "b"}
    assert (await lading(bench, "dataset", "set", "/vo/l", "--unset", "a")).row["metadata"] == {}
    assert (await lading(bench, "dataset", "set", "/vo/l")).code == 2
    assert [r["name"] for r in (await lading(bench, "dataset", "ls")).rows] == ["/vo/l", "/vo/rest", "/vo/s"]
    assert "rw-r-----" in (await on_terminal(bench, "dataset", "ls")).text
    first = (await lading(bench, "dataset", "freeze", "/vo/s", "--note", "n", "-a", "doi=10.1/x")).row
    assert (first["name"], first["files"], first["annotations"]) == ("/vo/s@1", 5, {"doi": "10.1/x"})
    tsv = await lading(bench, "dataset", "files", "/vo/s@1", "--format", "tsv")
    assert hashlib.sha256(tsv.out).hexdigest() == first["hash"]
    assert [line.split("\t")[0] for line in tsv.text.splitlines()] == sorted(NAMES, key=str.encode)
    await bench.client.register([FileSpec("/vo/new", 5)])
    assert (await lading(bench, "dataset", "show", "/vo/s")).row["since"]["added"] == 1
    assert "1 files of 5 B came" in (await on_terminal(bench, "dataset", "show", "/vo/s")).text
    await lading(bench, "dataset", "freeze", "/vo/s")
    assert (await on_terminal(bench, "dataset", "diff", "/vo/s@1", "/vo/s@2")).text.strip() == "+ /vo/new"
    assert [r["number"] for r in (await lading(bench, "dataset", "snapshots", "/vo/s")).rows] == [1, 2]
    assert first["hash"][:8] in (await on_terminal(bench, "dataset", "snapshots", "/vo/s")).text
    assert (await lading(bench, "dataset", "check", "/vo/s@1")).code == 0
    refused = await lading(bench, "rm", "/vo/new")
    assert refused.code == 6
    assert "/vo/s@2" in refused.err
    assert "--force-snapshots" in refused.err
    assert (await lading(bench, "rm", "/vo/new", "--force-snapshots")).code == 0
    bad = await lading(bench, "dataset", "check", "/vo/s")
    assert (bad.code, bad.row["problem"]) == (1, "missing")
    assert "1 files were removed by force" in (await on_terminal(bench, "dataset", "show", "/vo/s@2")).text
    assert (await lading(bench, "dataset", "show", "/vo/s@2")).row["broken"][0]["lfn"] == "/vo/new"
    await lading(bench, "mv", "/vo/d.x/y", "/vo/d")
    moved = await lading(bench, "dataset", "check", "/vo/s@1")
    assert (moved.code, moved.row["now"]) == (0, "/vo/d/y")
    assert (await lading(bench, "dataset", "annotate", "/vo/s@1", "by=me", "--unset", "doi")).row["annotations"] == {
        "by": "me"
    }
    assert (await lading(bench, "dataset", "annotate", "/vo/s@1")).code == 2
    assert (await lading(bench, "dataset", "rm", "/vo/s")).code == 6
    assert (await lading(bench, "dataset", "release", "/vo/s@1", "--dry-run")).code == 0
    for number in (1, 2):
        assert (await lading(bench, "dataset", "release", f"/vo/s@{number}")).row["released"]
    assert (await lading(bench, "rm", "/vo/d/y")).code == 0
    assert (await lading(bench, "dataset", "rm", "/vo/s")).code == 0
    assert (await lading(bench, "dataset", "show", "/vo/s")).code == 5


async def test_manifests(bench: Bench) -> None:
    await _register(bench, "md5", "sha256")
    await bench.client.register([FileSpec("/vo/other", 3, checksums={"adler32": "00000001"})])
    await lading(bench, "dataset", "create", "/vo/s", "size > 4")
    await lading(bench, "dataset", "freeze", "/vo/s")
    rows = [json.loads(line) for line in (await lading(bench, "dataset", "export", "/vo/s@1")).out.splitlines()]
    assert {r["lfn"] for r in rows} == set(NAMES)
    known = {r["lfn"]: r for r in rows}

    await lading(bench, "dataset", "export", "/vo/s@1", "--format", "metalink", "-o", "s.meta4")
    root = ElementTree.parse(bench.here / "s.meta4").getroot()
    ns = {"m": "urn:ietf:params:xml:ns:metalink"}
    assert root.tag == f"{{{ns['m']}}}metalink"
    entries = root.findall("m:file", ns)
    assert [f"/{e.get('name')}" for e in entries] == sorted(NAMES, key=str.encode)
    for entry in entries:
        lfn = f"/{entry.get('name')}"
        assert entry.findtext("m:size", None, ns) == str(known[lfn]["size"])
        hashes = {h.get("type"): h.text for h in entry.findall("m:hash", ns)}
        assert hashes == {"md5": known[lfn]["checksums"]["md5"], "sha-256": known[lfn]["checksums"]["sha256"]}
        url = urlsplit(entry.findtext("m:url", "", ns))
        assert unquote(url.path) == "/v1/data" + lfn

    assert (await lading(bench, "dataset", "export", "/vo/s@1", "--format", "bagit", "-o", "bag")).code == 0
    bag = bench.here / "bag"
    assert sorted(p.name for p in bag.iterdir()) == [
        "bag-info.txt", "bagit.txt", "data", "fetch.txt", "manifest-md5.txt", "manifest-sha256.txt",
    ]  # fmt: skip
    fetch = [line.split(" ", 2) for line in (bag / "fetch.txt").read_text(encoding="utf-8").splitlines()]
    paths = {path.replace("%25", "%").removeprefix("data"): (url, length) for url, length, path in fetch}
    assert set(paths) == set(NAMES)
    assert {n: int(length) for n, (_, length) in paths.items()} == {n: known[n]["size"] for n in NAMES}
    for kind in ("md5", "sha256"):
        lines = (bag / f"manifest-{kind}.txt").read_text(encoding="utf-8").splitlines()
        sums = {p.replace("%25", "%").removeprefix("data"): h for h, p in (line.split(" ", 1) for line in lines)}
        assert sums == {n: known[n]["checksums"][kind] for n in NAMES}
    assert f"Payload-Oxum: {sum(r['size'] for r in rows)}.5" in (bag / "bag-info.txt").read_text()
    assert (await lading(bench, "dataset", "export", "/vo/s@1", "--format", "bagit", "-o", "bag")).code != 0, (
        "it is there"
    )
    assert (await lading(bench, "dataset", "export", "/vo/s@1", "--format", "bagit")).code == 2
    await lading(bench, "dataset", "create", "/vo/t", "true", "--under", "/vo")
    bad = await lading(bench, "dataset", "export", "/vo/t", "--format", "bagit", "-o", "bag2")
    assert (bad.code, "5 have md5" in bad.err, (bench.here / "bag2").exists()) == (2, True, False)


async def test_the_urls_work(bench: Bench) -> None:
    """What a manifest names can be fetched from there."""
    content = b"bytes"
    await bench.client.write("/vo/d/é 50%&", content, se="disk1")
    await lading(bench, "dataset", "create", "/vo/s", "true", "--under", "/vo/d")
    text = (await lading(bench, "dataset", "export", "/vo/s", "--format", "metalink")).out
    url = ElementTree.fromstring(text).findtext(".//{urn:ietf:params:xml:ns:metalink}url")
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sfL", "-H", f"Authorization: Bearer {bench.server.token}", str(url), stdout=asyncio.subprocess.PIPE
    )
    assert (await curl.communicate())[0] == content


async def test_hidden_files_are_counted(bench: Bench) -> None:
    await _register(bench, "md5")
    await lading(bench, "chmod", "600", NAMES[0])
    await lading(bench, "dataset", "create", "/vo/s", "size > 1")
    await lading(bench, "dataset", "freeze", "/vo/s")
    await lading(bench, "user", "add", "alice")
    token = (await lading(bench, "token", "add", "--user", "alice")).row["token"]
    done = await lading(bench, "dataset", "files", "/vo/s@1", LADING_TOKEN=token)
    assert (done.code, len(done.rows)) == (0, 4)
    assert "1 more files belong to it that you may not read" in done.err
