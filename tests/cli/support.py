"""`lading` as people and scripts run it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from dataclasses import dataclass
from typing import Any

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
    """Run to the end, with pipes for stdin, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *LADING,
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(bench, **more),
        cwd=bench.here if bench else None,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Done(process.returncode, out, err.decode())


async def on_terminal(bench: Bench, *args: object) -> Done:
    """Run to the end on a terminal of 120 columns (stdout and stderr come together)."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *LADING, *map(str, args), stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment(bench, COLUMNS="120", TERM="dumb"), cwd=bench.here,
    )  # fmt: skip
    os.close(theirs)
    output = await asyncio.to_thread(_read_all, ours)
    code = await process.wait()
    return Done(code, output.replace(b"\r\n", b"\n"), "")


def _read_all(fd: int) -> bytes:
    found = b""
    try:
        while chunk := os.read(fd, 65536):
            found += chunk
    except OSError:  # how Linux tells that the other side of a terminal is closed
        pass
    os.close(fd)
    return found
