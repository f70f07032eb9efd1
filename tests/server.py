"""A whole server for the tests: the real application on a real socket over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from doors import app
from doors.config import Config
from doors.http.metrics import Metrics

SCOPES = ("read", "write", "admin")


@dataclass
class Server:
    """`token` is the administrator's; `http` sends it; `services` are the ones the server runs on."""

    url: str
    token: str
    http: aiohttp.ClientSession
    services: app.Services
    metrics: Metrics

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """(status, JSON of the answer) of one request, as the administrator or with another token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        async with self.http.request(method, self.url + path, json=body, headers=headers, **options) as response:
            text = await response.read()
            is_json = response.content_type.endswith(("/json", "+json")) and text
            return response.status, await response.json(content_type=None) if is_json else text


@pytest_asyncio.fixture
async def server(dsn: str, tmp_path: Path) -> AsyncIterator[Server]:
    """A server on this test's own database, and its administrator."""
    config = Config(database_url=dsn, data=str(tmp_path), pool_size=8, log_level="warning")
    services = app.wire(config)
    door, application = app.make(services)
    runner = web.AppRunner(application, access_log=None, lingering_time=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    token = await services.access.system_token("admin", SCOPES, 3600, "tests")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        yield Server(url, token, http, services, door.metrics)
    await runner.cleanup()
