"""`lading register`: JSON lines in, outcomes by line number, constant memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import lading.cli.register as module
from tests.cli.support import environment, lading
from tests.client.support import Bench


def line(i: int, **more: object) -> bytes:
    spec = {
        "lfn": f"/vo/d{i % 5}/f{i}",
        "size": i,
        "checksums": {"adler32": f"{i:08x}"},
        "replicas": [{"se": "disk1", "pfn": f"p/{i}"}],
        "metadata": {"run": i},
    }
    return json.dumps(spec | more).encode() + b"\n"


async def test_from_a_pipe_and_again(bench: Bench) -> None:
    text = b"".join(line(i) for i in range(2500))
    await bench.declare(run="int")
    dry = await lading(bench, "register", "-", "--dry-run", stdin=text)
    assert dry.row == {"registered": 2500, "unchanged": 0, "failed": 0, "dry_run": True}
    assert not (await bench.client.exists(["/vo"]))[0].value
    done = await lading(bench, "register", "-", stdin=text)
    assert (done.code, done.row) == (0, {"registered": 2500, "unchanged": 0, "failed": 0})
    entry = await bench.client.entry("/vo/d4/f2499")
    assert (entry.size, entry.checksums, entry.metadata) == (2499, {"adler32": "000009c3"}, {"run": 2499})
    assert (await bench.client.sources("/vo/d4/f2499")).sources[0].pfn == "p/2499"
    bench.local("files.jsonl", text)
    assert (await lading(bench, "register", "files.jsonl")).row == {"registered": 0, "unchanged": 2500, "failed": 0}
    assert (await lading(bench, "register", "files.jsonl", "--count")).text == "0\n"


async def test_each_bad_line_is_named(bench: Bench) -> None:
    await bench.declare(run="int")
    bad = [
        line(0),
        b"\n",
        b"{not json\n",
        line(3, size=-1),
        line(4, sise=1),
        line(5, lfn="no/slash"),
        line(6, replicas=[{"se": "nosuch"}]),
        b"\xff\xfe\n",
        b'["/vo/x", 1]\n',
        line(9, checksums={"adler32": "xyz"}),
        b'{"lfn": "/vo/x"}\n',
        b'{"lfn": "/vo/deep", "size": 1, "metadata": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n",
        line(12),
    ]
    done = await lading(bench, "register", "-", stdin=b"".join(bad))
    assert done.code == 1
    assert done.rows[-1] == {"registered": 2, "unchanged": 0, "failed": 10}
    assert [r["line"] for r in done.rows[:-1]] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert [text.split(":")[1].strip() for text in done.err.splitlines()] == [f"line {n}" for n in range(3, 13)]
    assert "sise" in done.err
    assert (await bench.client.exists(["/vo/d0/f0", "/vo/d2/f12"]))[1].value


async def test_exit_codes(bench: Bench) -> None:
    await bench.declare(run="int")
    await lading(bench, "register", "-", stdin=line(1))
    assert (await lading(bench, "register", "-", stdin=line(1, size=99))).code == 6
    assert (await lading(bench, "register", "-", stdin=b"x\n")).code == 2
    assert (await lading(bench, "register", "-", stdin=b"")).row == {"registered": 0, "unchanged": 0, "failed": 0}
    assert (await lading(bench, "register", "nofile")).code == 1


async def test_a_server_that_is_away(bench: Bench) -> None:
    done = await lading(bench, "register", "-", stdin=line(1), LADING_URL="http://127.0.0.1:1")
    assert done.code == 8
    assert "stopped at line 1: no answer from" in done.err
    assert done.row["registered"] == 0


def test_long_lines_and_heavy_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(module, "LONGEST", 1000)
    monkeypatch.setattr(module, "HEAVIEST", 2000)
    text = line(0) + b"x" * 5500 + b"\n" + b"y" * 3000 + b"\n" + line(3) + b"z" * 4000
    batches = list(module._batches(io.BytesIO(text)))
    assert [(n, spec is not None) for batch in batches for n, spec, _ in batch] == [
        (1, True),
        (2, False),
        (3, False),
        (4, True),
        (5, False),
    ]


@pytest.mark.slow
async def test_memory_stays(bench: Bench, tmp_path: object) -> None:
    """A hundred thousand lines, and the process is no larger than with one."""
    await bench.declare(run="int")
    script = (
        "import resource, sys\n"
        "from lading.cli.main import app\n"
        "try: app()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )

    async def peak(count: int) -> int:
        import asyncio

        path = bench.here / f"{count}.jsonl"
        path.write_bytes(b"".join(line(i) for i in range(count)))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            "register",
            str(path),
            env=environment(bench),
            stdout=subprocess.DEVNULL,
            stderr=-1,
        )
        _, err = await process.communicate()
        assert process.returncode == 0
        return int(err.split()[-1])

    assert await peak(100_000) < await peak(5000) + 20_000  # kB
