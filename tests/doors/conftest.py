"""A door over any route table, on a real socket and the test's own database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest_asyncio
from aiohttp import web

from doors import app
from doors.config import Config
from doors.http.door import Door, application
from doors.http.routes import Route
from tests.server import SCOPES, Server

Opened = Callable[..., Awaitable[Server]]


@pytest_asyncio.fixture
async def opened(dsn: str) -> AsyncIterator[Opened]:
    """`await opened(routes, max_body=…)` starts a server of these routes; the settings are those of Config."""
    async with AsyncExitStack() as stack:

        async def start(routes: list[Route], **settings: Any) -> Server:
            config = msgspec.convert({"database_url": dsn, "log_level": "warning", **settings}, Config)
            services = app.wire(config)
            stack.push_async_callback(services.close)
            door = Door(services, config)
            runner = web.AppRunner(application(door, routes), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            token = await services.access.system_token("admin", SCOPES, 3600, "tests")
            http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
            await stack.enter_async_context(http)
            return Server(f"http://127.0.0.1:{runner.addresses[0][1]}", token, http, services, door.metrics)

        yield start
