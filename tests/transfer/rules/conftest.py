"""A site whose elements have countries, and rules on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from tests.transfer.work.conftest import Site, idle, working

__all__ = ["idle"]


@dataclass
class Ruled(Site):
    async def rule(self, under: str, *wants: tuple[int, str], **options: Any) -> int:
        body = {"selection": {"under": under}, "wants": [{"copies": n, "to": to} for n, to in wants], **options}
        status, answer = await self.server.call("POST", "/v1/rules", body)
        assert status == 201, answer
        return int(answer["id"])

    async def rule_shown(self, rule: int) -> dict[str, Any]:
        status, answer = await self.server.call("GET", f"/v1/rules/{rule}")
        assert status == 200, answer
        shown: dict[str, Any] = answer
        return shown

    async def why(self, lfn: str) -> dict[str, Any]:
        outcome = (await self.server.call("POST", "/v1/why", {"lfns": [lfn]}))[1]["outcomes"][0]
        value: dict[str, Any] = outcome["value"]
        return value

    async def keep(self) -> None:
        """What the keeper does, until there is nothing left to do."""
        while await self.server.services.keeper.step():
            pass

    async def on(self, lfn: str) -> set[str]:
        """Where good copies are."""
        return {se for se, state in await self.sources(lfn) if state == "available"}

    async def until(self, told: Callable[[], Any]) -> None:
        """Wait for it to be true."""
        for _ in range(1000):
            if await told():
                return
            await asyncio.sleep(0.03)
        raise AssertionError("it never came to be")

    async def copied(self, lfn: str, *names: str) -> None:
        await self.until(lambda: self._are(lfn, set(names)))

    async def _are(self, lfn: str, names: set[str]) -> bool:
        return await self.on(lfn) == names

    async def sql(self, statement: str, *values: Any) -> Any:
        async with self.server.services.database.read() as connection:
            return await connection.fetchval(statement, *values)


@pytest_asyncio.fixture
async def ruled(idle: Site) -> Ruled:
    """No worker: elements one (FR), two (FR), three (DE), each costlier than the one before."""
    for name, country in (("one", "FR"), ("two", "FR"), ("three", "DE")):
        status, answer = await idle.server.call("PATCH", f"/v1/elements/{name}", {"country": country})
        assert status == 200, answer
    return Ruled(idle.server, idle.folder)


@pytest_asyncio.fixture
async def kept(ruled: Ruled) -> AsyncIterator[Ruled]:
    """A worker is at it."""
    async with working(ruled):
        yield ruled
