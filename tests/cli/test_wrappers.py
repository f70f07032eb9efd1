"""`lading fetch` and `lading store` as scripts call them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def test_fetch(bench: Bench) -> None:
    for n in range(3):
        await bench.client.put(bench.local("f", b"%d" % n * 9), f"/vo/in/f{n}", se="disk1")
    to, manifest = str(bench.here / "job"), bench.here / "manifest.jsonl"
    told = await lading(bench, "fetch", "/vo/in/f*", "--to", to, "--dry-run")
    assert (told.code, [row["se"] for row in told.rows]) == (0, ["disk1"] * 3), told.err
    assert not os.path.exists(to)
    failed = await lading(bench, "fetch", "/vo/in/f0", "/vo/in/none", "--to", to, "--manifest", manifest)
    assert (failed.code, "'/vo/in/none' does not exist" in failed.err) == (5, True)
    assert os.listdir(to) == [".lading-fetch"]
    assert not manifest.exists()
    done = await lading(
        bench, "fetch", "--from-file", "-", "--to", to, "--manifest", manifest, "--cache", str(bench.here / "cache"),
        "--cache-size", "10M", stdin=b"lfn:/vo/in/f0\n/vo/in/f1\n/vo/in/f2\n",
    )  # fmt: skip
    assert (done.code, sorted(os.listdir(to))) == (0, ["f0", "f1", "f2"]), done.err
    written = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert written == done.rows
    assert [(row["lfn"], row["size"], row["how"]) for row in written] == [
        (f"/vo/in/f{n}", 9, "copied") for n in range(3)
    ]
    again = await on_terminal(bench, "fetch", "/vo/in/f1", "--to", to)
    assert "9 B there" in again.text


async def test_store(bench: Bench) -> None:
    await bench.declare(run="int")
    await bench.client.put(bench.local("raw", b"raw"), "/vo/raw", se="disk1")
    files = [bench.local(name, name.encode()) for name in ("a.out", "b.out")]
    options = ["--to", "/vo/out", "--se", "disk1,disk2", "--meta", "run=7", "--ancestor", "/vo/raw"]
    told = await lading(bench, "store", *files, *options, "--dry-run")
    assert [row["lfn"] for row in told.rows] == ["/vo/out/a.out", "/vo/out/b.out"]
    done = await lading(bench, "store", *files, *options, "--replicate-to", "disk2", "--manifest", bench.here / "m")
    assert (done.code, [(r["lfn"], r["se"], r["changed"]) for r in done.rows]) == (
        0,
        [("/vo/out/a.out", "disk1", True), ("/vo/out/b.out", "disk1", True)],
    ), done.err
    assert done.rows[0]["request"] is not None
    again = await lading(bench, "store", *files, *options, "--replicate-to", "disk2")
    assert [(r["changed"], r["request"]) for r in again.rows] == [(False, done.rows[0]["request"])] * 2
    bench.local("a.out", b"other bytes")
    other = await lading(bench, "store", *files, *options)
    assert (other.code, "exists with other content" in other.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["fetch", "/vo/a", "--to", "x", "--link", "soft"], "hard and symbolic"),
        (["fetch", "/vo/a", "--to", "x", "--cache-size", "lots"], "no number of bytes"),
        (["fetch", "/vo/a/f", "/vo/b/f", "--to", "x"], "one name"),
        (["store", "a/f", "b/f", "--to", "/vo"], "no name of its own"),
        (["store", "f", "--to", "no lfn"], "no lfn"),
    ],
)
async def test_wrong_use_is_told(bench: Bench, words: list[str], why: str) -> None:
    done = await lading(bench, *words)
    assert (done.code, why in done.err) == (2, True), done.err


async def test_killed_at_any_moment_no_input_is_half_there(bench: Bench) -> None:
    content = {f"f{n}": os.urandom(2_000_000 + n) for n in range(12)}
    for name, data in content.items():
        await bench.client.put(bench.local("f", data), f"/vo/in/{name}", se="disk1")
    folder = bench.here / "job"
    env = {**os.environ, "LADING_URL": bench.server.url, "LADING_TOKEN": bench.server.token}
    command = (sys.executable, "-m", "lading.cli.main", "fetch", *(f"/vo/in/{name}" for name in content))
    for _ in range(6):
        process = await asyncio.create_subprocess_exec(
            *command, "--to", str(folder), "--cache", str(bench.here / "cache"), env=env,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.sleep(random.uniform(0.3, 1.5))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        _check(folder, content)
    done = await lading(bench, "fetch", *(f"/vo/in/{name}" for name in content), "--to", folder)
    assert done.code == 0, done.err
    assert _check(folder, content) == 12
    assert sorted(os.listdir(folder)) == sorted(content)


def _check(folder: Path, content: dict[str, bytes]) -> int:
    """How many are shown; each is whole."""
    shown = [p for p in folder.glob("*") if p.name != ".lading-fetch"]
    for path in shown:
        assert path.read_bytes() == content[path.name]
    return len(shown)
