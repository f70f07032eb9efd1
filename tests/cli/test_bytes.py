"""put, get, cat, replicas, copy as processes; interruption by signals."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from lading.model.file import FileSpec
from lading.model.replica import ReplicaState
from tests.cli.support import LADING, environment, lading, on_terminal
from tests.client.support import Bench, adler32, noise
from tests.storage_plugins.proxy import proxy

DATA = noise(3_000_001)


async def test_put_get_cat(bench: Bench) -> None:
    local = bench.local("x", DATA)
    await bench.declare(run="int", who="string")
    dry = await lading(bench, "put", local, "/vo/x", "--dry-run")
    assert dry.row == {"item": local, "lfn": "/vo/x", "dry_run": True}
    assert not (await bench.client.exists(["/vo/x"]))[0].value
    put = await lading(
        bench, "put", local, "/vo/x", "--se", "disk1", "--meta", "run=7", "--meta", "who=me", "--mode", "640"
    )
    assert put.code == 0
    assert put.row["checksums"] == {"adler32": adler32(DATA)}
    entry = await bench.client.entry("/vo/x")
    assert (entry.metadata, entry.mode) == ({"run": 7, "who": "me"}, 0o640)
    assert (await lading(bench, "put", local, "/vo/x")).row["changed"] is False
    assert (await lading(bench, "put", bench.local("y", b"other"), "/vo/x")).code == 6
    assert (await lading(bench, "put", "nofile", "/vo/z")).code == 1
    got = await lading(bench, "get", "/vo/x", "out")
    assert (got.code, got.row["se"], got.row["size"]) == (0, "disk1", len(DATA))
    assert (bench.here / "out").read_bytes() == DATA
    assert (await lading(bench, "get", "/vo/x", "out")).row["changed"] is False
    assert (await lading(bench, "get", "/vo/x", "y")).code == 6
    assert (await lading(bench, "get", "/vo/x", "y", "--overwrite", "--no-direct")).code == 0
    assert (await lading(bench, "get", "/vo/no", "z")).code == 5
    assert (await lading(bench, "cat", "/vo/x")).out == DATA
    assert (await lading(bench, "cat", "/vo/x", "/vo/no", "/vo/x")).out == DATA + DATA
    assert (await lading(bench, "cat", "/vo/no")).code == 5


async def test_put_with_metadata_of_the_declared_types(bench: Bench) -> None:
    await bench.declare(run="int", who="string", day="date", ok="bool", at="timestamp", more="json")
    meta = ["run=7", "who=007", "day=2024-01-31", "ok=TRUE", "at=2024-01-31T12:00:00Z", 'more={"a": [1]}']
    options = [o for m in meta for o in ("--meta", m)]
    assert (await lading(bench, "put", bench.local("x", DATA), "/vo/x", *options)).code == 0
    assert (await bench.client.entry("/vo/x")).metadata == {
        "run": 7, "who": "007", "day": "2024-01-31", "ok": True, "at": "2024-01-31T12:00:00Z", "more": {"a": [1]},
    }  # fmt: skip
    bench.local("value", b"true\n")
    for text, wanted in (("true", "true"), ("null", "null"), ("[1]", "[1]"), ("@value", "true"), ("", "")):
        assert (
            await lading(bench, "put", bench.local("x", DATA), f"lfn:/vo/{text}_", "--meta", f"who={text}")
        ).code == 0
        assert (await bench.client.entry(f"/vo/{text}_")).metadata == {"who": wanted}, "text stays text"
    bad = await lading(bench, "put", bench.local("x", DATA), "/vo/z", "--meta", "run=seven")
    assert (bad.code, "an int" in bad.err) == (2, True)
    assert "did you mean 'run'" in (await lading(bench, "put", bench.local("x", DATA), "/vo/z", "--meta", "rum=7")).err


async def test_put_from_a_pipe(bench: Bench) -> None:
    done = await lading(bench, "put", "-", "/vo/x", "--checksum", "sha256", stdin=DATA)
    assert done.row["size"] == len(DATA)
    assert set(done.row["checksums"]) == {"sha256"}
    assert (await lading(bench, "cat", "/vo/x")).out == DATA
    wrong = await lading(bench, "put", "-", "/vo/y", "--checksum", f"adler32:{'0' * 8}", stdin=DATA)
    assert wrong.code == 1
    assert "as expected" in wrong.err
    assert not (await bench.client.exists(["/vo/y"]))[0].value


async def test_trees(bench: Bench) -> None:
    names = ["a", "s/b", "s/t/c", "s/t/ünï#"]
    for name in names:
        (bench.here / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        bench.local(f"tree/{name}", name.encode())
    (bench.here / "tree" / "loop").symlink_to(".")
    assert (await lading(bench, "put", "tree", "/vo/t")).code == 2
    put = await lading(bench, "put", "-r", "tree", "/vo/t")
    assert put.code == 0, put.err
    assert sorted(r["lfn"] for r in put.rows) == sorted(f"/vo/t/{n}" for n in names)
    assert (await lading(bench, "get", "/vo/t", "copy")).code == 2
    got = await lading(bench, "get", "-r", "/vo/t", "copy")
    assert got.code == 0, got.err
    for name in names:
        assert (bench.here / "copy" / name).read_bytes() == name.encode()
    (bench.here / "into").mkdir()
    assert (await lading(bench, "get", "-r", "/vo/t", "into")).code == 0
    assert (bench.here / "into" / "t" / "s" / "b").exists()
    listed = bench.local("names", b"/vo/t/a\n/vo/t/s/b\n/vo/t/none\n")
    some = await lading(bench, "get", "--from-file", listed, "--to", "into")
    assert some.code == 1
    assert (bench.here / "into" / "b").read_bytes() == b"s/b"
    assert (await lading(bench, "get", "/vo/t/*", "into", "--dry-run")).code in (0, 1)
    assert (await lading(bench, "get", "/vo/t/a", "/vo/t/s/b", "nofolder")).code == 2


async def test_replicas_and_copy(bench: Bench) -> None:
    await bench.client.write("/vo/x", DATA, se="disk1")
    dry = await lading(bench, "copy", "/vo/x", "--to", "disk2", "--dry-run")
    assert dry.row == {"item": "/vo/x", "changed": True, "dry_run": True}
    copied = await lading(bench, "copy", "/vo/x", "/vo/no", "--to", "disk2")
    assert copied.code == 1
    assert copied.rows[0]["se"] == "disk2"
    assert bench.object("disk2", DATA)
    found = await lading(bench, "replicas", "/vo/x")
    assert [s["se"] for s in found.row["sources"]] == ["disk1", "disk2"]
    assert found.row["checksums"] == {"adler32": adler32(DATA)}
    assert (await lading(bench, "replicas", "/vo/x", "--count")).text == "2\n"
    assert (await lading(bench, "replicas", "/vo/x", "--se", "disk2", "--count")).text == "1\n"
    state = await lading(bench, "replica", "state", "/vo/x", "--se", "disk1", "--state", "suspect", "--note", "odd")
    assert state.code == 0
    assert (await bench.client.sources("/vo/x")).sources[-1].state is ReplicaState.SUSPECT
    assert (await lading(bench, "replica", "state", "/vo/x", "--se", "disk1", "--state", "fine")).code == 2
    assert (await lading(bench, "replica", "drop", "/vo/x", "--se", "disk1", "--dry-run")).code == 0
    assert (await lading(bench, "replica", "drop", "/vo/x", "--se", "disk1", "--keep-bytes")).code == 0
    assert (await lading(bench, "replicas", "/vo/x", "--count")).text == "1\n"
    assert (await lading(bench, "replica", "drop", "/vo/x", "--se", "disk2")).code != 0  # the last one
    assert (await lading(bench, "replica", "add", "/vo/x", "--se", "disk1")).code == 0
    assert (await lading(bench, "replica", "add", "/vo/x")).code == 2
    await bench.client.register([FileSpec("/vo/empty", 1)])
    shown = await on_terminal(bench, "replicas", "/vo/x", "/vo/empty")
    assert "unreadable" in shown.text
    assert "file://" in shown.text


async def test_progress_only_for_those_who_watch(bench: Bench) -> None:
    local = bench.local("x", DATA * 20)
    assert (await lading(bench, "put", local, "/vo/x", "--no-direct")).err == ""
    watched = await on_terminal(bench, "get", "/vo/x", "out", "--no-direct")
    assert watched.code == 0
    assert f"adler32 {adler32(DATA * 20)}" in watched.text


async def test_interrupting_a_get_keeps_what_came(bench: Bench) -> None:
    data = noise(64 << 20)
    await bench.client.write("/vo/big", data)
    async with proxy(int(bench.server.url.rpartition(":")[2])) as relay:
        process = await asyncio.create_subprocess_exec(
            *[*LADING, "get", "/vo/big", "out", "--no-direct"],
            env=environment(bench, LADING_URL=f"http://127.0.0.1:{relay.port}"),
            cwd=bench.here,
            stderr=-1,
            stdout=-1,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a CI in the background ignores it
        )
        while _size(bench.here / "out.lading-part") <= 1 << 20:  # noqa: ASYNC110 - another process grows it
            await asyncio.sleep(0.002)
        relay.stall()  # however fast the rest would have come
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert not (bench.here / "out").exists()
    again = await lading(bench, "get", "/vo/big", "out", "--no-direct")
    assert again.row["resumed"] > 0
    assert (bench.here / "out").read_bytes() == data


async def test_killing_a_put_leaves_nothing_to_see(bench: Bench) -> None:
    local = bench.local("big", noise(64 << 20))
    for direct in ("--direct", "--no-direct"):
        process = await asyncio.create_subprocess_exec(
            *LADING, "put", local, "/vo/big", "--se", "disk1", direct, env=environment(bench), cwd=bench.here, stderr=-1
        )
        staging = bench.disks["disk1"]
        while not any(_size(p) > 1 << 20 for p in staging.rglob("*")):  # noqa: ASYNC110 - another process writes there
            await asyncio.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (await bench.client.exists(["/vo/big"]))[0].value
    put = await lading(bench, "put", local, "/vo/big", "--se", "disk1")
    assert put.row["changed"] is True
    assert (await bench.client.entry("/vo/big")).size == 64 << 20


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
