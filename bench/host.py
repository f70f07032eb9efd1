"""The server under test, as its own processes: `lading-server run` on a folder, `lading-server serve` beside it."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from .timing import tree

ROOT = Path(__file__).resolve().parent.parent


class _State(msgspec.Struct):
    pid: int
    url: str
    dsn: str


@dataclass
class Host:
    """A running server. `process` is what to end; `postgres` the process id of the postmaster."""

    data: Path
    url: str
    dsn: str
    process: asyncio.subprocess.Process

    @property
    def admin(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def servers(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for pid in tree(self.process.pid) if b"doors.child\0serve" in _command(pid)]

    @property
    def postgres(self) -> list[int]:
        """PostgreSQL's processes."""
        return tree(int((self.data / "postgres/data/postmaster.pid").read_text().split()[0]))

    async def stop(self) -> None:
        self.process.terminate()
        await self.process.wait()


async def run(data: Path) -> Host:
    """Start `lading-server run` with its defaults (embedded PostgreSQL, one server process, a worker) on a folder."""
    log = open(data / "server.log", "ab")
    with log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "doors.main", "run", "--data", str(data), "--port", "0"),
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.returncode is None:
        try:
            state = msgspec.json.decode((data / "server.json").read_bytes(), type=_State)
            if state.pid == process.pid:
                return Host(data, state.url, state.dsn, process)
        except (OSError, msgspec.DecodeError):
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not start: see {data}/server.log")


async def serve(host: Host, count: int) -> tuple[str, list[asyncio.subprocess.Process]]:
    """`count` more server processes on the same database, sharing one new port: (URL, processes)."""
    port = free_port()
    command = (sys.executable, "-m", "doors.main", "serve", "--database-url", host.dsn, "--data", str(host.data))
    with open(host.data / "serve.log", "ab") as log:
        processes = [
            await asyncio.create_subprocess_exec(
                *command, "--port", str(port), "--share-port", cwd=ROOT, stdout=log, stderr=log
            )
            for _ in range(count)
        ]
    url = f"http://127.0.0.1:{port}"
    for _ in processes:
        await answers(url + "/readyz")
    await asyncio.sleep(1.5)  # all of them: the first answers may all have been one process's
    return url, processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def answers(url: str) -> None:
    """Wait until an address answers. Raises RuntimeError after a minute."""
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(url) as response:
                    if response.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


async def end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        await process.wait()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
