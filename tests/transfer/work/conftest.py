"""A server with three POSIX elements, and a worker beside it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio

from doors import app
from tests.server import Server
from tests.transfer.conftest import Store
from transfer.parts import Parts
from transfer.work.act import Act


@dataclass
class Site(Store):
    """What `Store` has, and requests."""

    async def request(self, kind: str, selection: dict[str, Any], **options: Any) -> dict[str, Any]:
        status, answer = await self.server.call(
            "POST", "/v1/requests", {"kind": kind, "selection": selection, **options}
        )
        assert status == 201, answer
        made: dict[str, Any] = answer
        return made

    async def show(self, request: int) -> dict[str, Any]:
        status, answer = await self.server.call("GET", f"/v1/requests/{request}")
        assert status == 200, answer
        shown: dict[str, Any] = answer
        return shown

    async def change(self, request: int, **change: Any) -> tuple[int, Any]:
        return await self.server.call("PATCH", f"/v1/requests/{request}", change)

    async def ended(self, request: int) -> dict[str, Any]:
        """The request, when it is."""
        return await self.when(request, lambda shown: shown["state"] in ("done", "failed", "cancelled"))

    async def when(self, request: int, told: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The request, when it is as it is told."""
        for _ in range(2000):
            if told(shown := await self.show(request)):
                return shown
            await asyncio.sleep(0.03)
        raise AssertionError(f"it never came to be: {shown}")

    async def failures(self, request: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.server.call("GET", f"/v1/requests/{request}/failures"))[1]["items"]
        return items

    async def tries(self, request: int, query: str = "") -> list[dict[str, Any]]:
        answer = (await self.server.call("GET", f"/v1/requests/{request}/tries{query}"))[1]
        items: list[dict[str, Any]] = answer["items"]
        return items

    def act(self) -> Act:
        return Act(self.server.services.elements, partial(Parts, self.server.services.database))

    async def counts(self) -> dict[str, int]:
        """Rows of the queue's tables."""
        async with self.server.services.database.read() as connection:
            return {
                table: await connection.fetchval(f"select count(*) from {table}")
                for table in ("queued", "active", "upload", "worker")
            }


@pytest_asyncio.fixture
async def idle(server: Server, tmp_path: Path) -> AsyncIterator[Site]:
    """No worker: nothing happens by itself."""
    for number, name in enumerate(("one", "two", "three")):
        options = {"path": str(tmp_path / name)}
        spec = {"name": name, "type": "posix", "options": options, "site": name.upper(), "cost": 100 + number}
        status, answer = await server.call("POST", "/v1/elements", spec)
        assert status == 201, answer
    yield Site(server, tmp_path)


@pytest_asyncio.fixture
async def site(idle: Site) -> AsyncIterator[Site]:
    """A worker is at it."""
    async with working(idle):
        yield idle


class working:
    """A worker of this process, for the time of a block."""

    def __init__(self, site: Site, *, drain: float = 20.0) -> None:
        self._services = site.server.services
        self._services.config = msgspec.structs.replace(self._services.config, drain_seconds=drain)

    async def __aenter__(self) -> None:
        worker = app.worker(self._services)
        self._services.worker = worker
        self._task = asyncio.create_task(worker.run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._services.worker = None
