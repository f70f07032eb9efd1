"""Real server processes on one database, killed at bad moments; and two of them working together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from catalog.access.service import AccessService
from catalog.db import Database
from tests.servers import free_port

BODY = os.urandom(4_000_000)


class Process:
    """A `lading-server serve`, and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, http: aiohttp.ClientSession) -> None:
        self.process, self.url, self.http = process, url, http

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def post(self, path: str, body: object) -> dict[str, object]:
        async with self.http.post(self.url + path, json=body) as response:
            return await response.json(content_type=None)


@asynccontextmanager
async def serving(dsn: str, data: Path, token: str) -> AsyncIterator[Process]:
    port = free_port()
    command = ["-m", "doors.main", "serve", "--database-url", dsn, "--data", str(data), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        try:
            for _ in range(300):
                with suppress(aiohttp.ClientError):
                    async with http.get(url + "/readyz") as response:
                        if response.status == 200:
                            break
                assert process.returncode is None
                await asyncio.sleep(0.05)
            yield Process(process, url, http)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


@pytest.fixture
async def token(dsn: str) -> str:
    database = Database(dsn, size=2)
    try:
        return await AccessService(database).system_token("admin", ["read", "write", "admin"], 3600, "tests")
    finally:
        await database.close()


async def _element(server: Process, folder: Path) -> None:
    await server.post("/v1/elements", {"name": "one", "type": "posix", "options": {"path": str(folder)}})


def _objects(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.name != ".lading-element"]


@pytest.mark.slow
async def test_a_put_killed_at_any_moment_leaves_nothing_that_stays(dsn: str, token: str, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    async with serving(dsn, tmp_path, token) as server:
        await _element(server, folder)
    for moment in (0.0, 0.02, 0.1, 0.4):
        async with serving(dsn, tmp_path, token) as server:
            killed = asyncio.Event()

            async def body(stop: asyncio.Event = killed, delay: float = moment) -> AsyncIterator[bytes]:
                for start in range(0, len(BODY), 400_000):
                    yield BODY[start : start + 400_000]
                    await asyncio.sleep(delay / 5)
                await stop.wait() if delay > 0.3 else None

            async def put(server: Process = server) -> int:
                async with server.http.put(f"{server.url}/v1/data/vo/killed?se=one", data=body()) as response:
                    return response.status

            task = asyncio.create_task(put())
            await asyncio.sleep(moment)
            await server.kill()
            killed.set()
            with suppress(aiohttp.ClientError):
                await task
        connection = await asyncpg.connect(dsn)
        registered = await connection.fetchval("select count(*) from file where name = 'killed'")
        await connection.execute("update upload set expires = 0")
        await connection.close()
        async with serving(dsn, tmp_path, token) as server:
            if not registered:
                stat = await server.post("/v1/stat", {"lfns": ["/vo/killed"]})
                assert stat["failed"] == 1
            async with server.http.put(f"{server.url}/v1/data/vo/killed?se=one", data=BODY) as response:
                assert response.status in (200, 201)  # the next put is not hindered
            async with server.http.get(f"{server.url}/v1/data/vo/killed") as response:
                assert await response.read() == BODY
            await server.post("/v1/remove", {"lfns": ["/vo/killed"], "keep": 0})
        await _clean(dsn, tmp_path)
        assert _objects(folder) == []


async def _clean(dsn: str, data: Path) -> None:
    """What the worker does, staging of dead writers included (which it otherwise leaves for a day)."""
    from doors import app
    from doors.config import Config
    from storage_plugins.powers import KeepsStaging, supports

    services = app.wire(Config(database_url=dsn, data=str(data)))
    try:
        while await services.cleaner.step():
            pass
        for element in services.elements.every():
            storage = await services.elements.storage(element)
            assert supports(storage, KeepsStaging)
            await storage.clean_staging(0)
    finally:
        await services.close()


@pytest.mark.slow
async def test_two_servers_share_one_database(dsn: str, token: str, tmp_path: Path) -> None:
    async with serving(dsn, tmp_path, token) as one, serving(dsn, tmp_path, token) as two:
        await _element(one, tmp_path / "one")
        async with two.http.put(f"{two.url}/v1/data/vo/a?se=one", data=BODY) as response:
            assert response.status == 201
        async with one.http.get(f"{one.url}/v1/data/vo/a") as response:
            assert await response.read() == BODY
        async with one.http.patch(f"{one.url}/v1/elements/one", json={"state": "off"}) as response:
            assert response.status == 200
        for _ in range(100):  # the other hears of it
            async with two.http.get(f"{two.url}/v1/data/vo/a") as response:
                if response.status == 503:
                    break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the other server never heard that the element is off")
        made = await one.post("/v1/tokens", {"scopes": ["read"]})
        bearer = {"Authorization": f"Bearer {made['token']}"}
        async with two.http.get(f"{two.url}/v1/me", headers=bearer) as response:
            assert response.status == 200
        async with one.http.delete(f"{one.url}/v1/tokens/{made['id']}") as response:
            assert response.status == 204
        for _ in range(100):
            async with two.http.get(f"{two.url}/v1/me", headers=bearer) as response:
                if response.status == 401:
                    break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("a withdrawn token still works at the other server")


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_file(dsn: str, token: str, tmp_path: Path) -> None:
    """512 MiB in and out by a server that stays below 150 MB."""
    block = os.urandom(1 << 20)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(512):
            yield block

    async with serving(dsn, tmp_path, token) as server:
        await _element(server, tmp_path / "one")
        async with server.http.put(f"{server.url}/v1/data/vo/big?se=one", data=body()) as response:
            assert response.status == 201
        async with server.http.get(f"{server.url}/v1/data/vo/big") as response:
            size = 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
        assert size == 512 << 20
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak < 150_000, f"{peak} kB at its highest"
