"""Health, metrics, and what an unreachable database does."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from catalog.embedded import EmbeddedPostgres
from doors import app, place
from doors.config import Config
from tests.postgres import SETTINGS, Postgres
from tests.server import Server


async def test_it_lives_is_ready_and_counts(server: Server) -> None:
    assert (await server.call("GET", "/healthz"))[0] == 200
    assert (await server.call("GET", "/readyz"))[0] == 200
    status, text = await server.call("GET", "/metrics")
    assert status == 200
    assert b'lading_requests_total{method="GET",route="/readyz",status="200"} 1.0' in text


async def test_it_counts_what_storage_does(server: Server, tmp_path: Path) -> None:
    disk = {"name": "disk", "type": "posix", "options": {"path": str(tmp_path / "disk")}}
    assert (await server.call("POST", "/v1/elements", disk))[0] == 201
    headers = {"Content-Type": "application/octet-stream"}
    assert (await server.call("PUT", "/v1/data/vo/f?se=disk", data=b"12345", headers=headers))[0] == 201
    text = (await server.call("GET", "/metrics"))[1].decode()
    assert 'lading_storage_operations_total{element="disk",operation="write"} 1.0' in text
    assert 'lading_storage_bytes_total{element="disk",operation="write"} 5.0' in text
    assert 'route="/v1/data/{lfn}",status="201"' in text


async def test_it_waits_for_its_schema(postgres: Postgres) -> None:
    empty = await postgres.empty()
    services = app.wire(Config(database_url=empty))
    _, application = app.make(services)
    async with TestServer(application) as started, TestClient(started) as http:
        async with http.get("/readyz") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            assert "lading-server db migrate" in (await response.json())["detail"]
        await place.migrate(empty)
        async with http.get("/readyz") as response:
            assert response.status == 200
    await postgres.drop(empty)


async def test_an_unreachable_database_is_503_until_it_is_back() -> None:
    folder = Path(tempfile.mkdtemp(prefix="lading-test-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "pg", SETTINGS)
    try:
        await asyncio.to_thread(server.start)
        await place.migrate(server.dsn)
        services = app.wire(Config(database_url=server.dsn))
        await asyncio.to_thread(server.stop)
        _, application = app.make(services)
        async with TestServer(application) as started, TestClient(started) as http:

            async def status(path: str) -> int:
                async with http.get(path, headers={"Authorization": "Bearer ldg_unknown"}) as response:
                    if response.status == 503:
                        assert response.headers["Retry-After"] == "2"
                        problem = await response.json()
                        assert (problem["code"], problem["retryable"]) == ("unavailable", True)
                    return response.status

            async def until(wanted: int) -> None:
                async with asyncio.timeout(60):
                    while await status("/readyz") != wanted:  # noqa: ASYNC110  # the server has no event for us
                        await asyncio.sleep(0.1)

            for _ in range(2):  # it starts without a database, and loses it later
                assert [await status(p) for p in ("/readyz", "/v1/me", "/healthz")] == [503, 503, 200]
                await asyncio.to_thread(server.start)
                await until(200)
                assert await asyncio.gather(*(status("/readyz") for _ in range(30))) == [200] * 30
                await asyncio.to_thread(server.stop)
                await until(503)
    finally:
        await asyncio.to_thread(server.stop)
        shutil.rmtree(folder, ignore_errors=True)
