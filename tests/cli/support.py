"""`lading` as people and scripts run it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

from tests.cli import zygote
from tests.client.support import Bench

LADING = [sys.executable, "-m", "lading.cli.main"]


@dataclass
class Done:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def rows(self) -> list[Any]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def row(self) -> Any:
        (only,) = self.rows
        return only


def environment(bench: Bench | None, **more: str) -> dict[str, str]:
    known = {"LADING_URL": bench.server.url, "LADING_TOKEN": bench.server.token} if bench else {}
    return {**os.environ, **known, **more}


async def lading(bench: Bench | None, *args: object, stdin: bytes = b"", **more: str) -> Done:
    """Run to the end, with files for stdin, stdout and stderr."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        files = given.fileno(), out.fileno(), err.fileno()
        code = await _run(args, environment(bench, **more), bench, files)
        out.seek(0)
        err.seek(0)
        done = Done(code, out.read(), err.read().decode())
    assert "Traceback" not in done.err, done.err
    return done


async def on_terminal(bench: Bench, *args: object) -> Done:
    """Run to the end on a terminal of 120 columns (stdout and stderr come together)."""
    ours, theirs = pty.openpty()
    reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    try:
        code = await _run(args, environment(bench, COLUMNS="120", TERM="dumb"), bench, (theirs, theirs, theirs))
    finally:
        os.close(theirs)
    return Done(code, (await reading).replace(b"\r\n", b"\n"), "")


async def _run(
    args: tuple[object, ...], environment: dict[str, str], bench: Bench | None, files: tuple[int, int, int]
) -> int:
    folder = str(bench.here) if bench else os.getcwd()
    return await asyncio.to_thread(zygote.run, [*map(str, args)], environment, folder, files)


def _read_all(fd: int) -> bytes:
    found = b""
    try:
        while chunk := os.read(fd, 65536):
            found += chunk
    except OSError:  # how Linux tells that the other side of a terminal is closed
        pass
    os.close(fd)
    return found
