"""Elements with lost, dark and different objects, and a short way to scan them."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.transfer.conftest import Store, store

__all__ = ["scans", "store"]


@dataclass
class Scans:
    """`store` with its files at `/vo/…`; what it has is told by name."""

    store: Store

    async def put(self, name: str, body: bytes = b"0123456789", se: str = "one") -> Path:
        """A file in the catalogue and its object on the element."""
        status, answer = await self.store.put(f"/vo/{name}", body, se=se)
        assert status in (200, 201), answer
        return self.path(await self.pfn(name, se), se)

    async def pfn(self, name: str, se: str = "one") -> str:
        _, answer = await self.store.server.call("POST", "/v1/replicas/resolve", {"lfns": [f"/vo/{name}"]})
        return next(s["pfn"] for s in answer["outcomes"][0]["value"]["sources"] if s["se"] == se)

    def path(self, pfn: str, se: str = "one") -> Path:
        return self.store.folder / se / pfn

    def dark(self, pfn: str, body: bytes = b"dark", se: str = "one") -> Path:
        """An object that nobody registered."""
        path = self.path(pfn, se)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return path

    async def lines(self, what: str = "scan", se: str = "one", **order: Any) -> list[Any]:
        """All lines but the signs of life; `grace` is none unless it is given."""
        body = {"grace": 0} | order
        return await self._lines(f"/v1/elements/{se}/{what}", json=body)

    async def dump(self, data: bytes, se: str = "one", **order: Any) -> list[Any]:
        params = {"grace": 0, "recorded": time.time_ns() // 1000} | order
        given = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in params.items() if v is not None}
        return await self._lines(f"/v1/elements/{se}/scan/dump", data=data, params=given)

    async def _lines(self, path: str, **request: Any) -> list[Any]:
        async with self.store.server.http.post(self.store.server.url + path, **request) as response:
            text = b""
            with suppress(aiohttp.ClientPayloadError):  # how an answer ends that was broken off
                while part := await response.content.readany():
                    text += part
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line.get("kind") != "progress"]

    async def sql(self, statement: str, *values: Any) -> Any:
        async with self.store.server.services.database.read() as connection:
            return await connection.fetch(statement, *values)

    async def audited(self, action: str) -> list[Any]:
        return await self.sql("select action, count, targets, details from audit where action = $1 order by id", action)


def found(lines: list[Any], kind: str) -> list[str]:
    """The names of the files, or PFNs where there is none."""
    return [line.get("lfn") or line["pfn"] for line in lines if line.get("kind") == kind]


@pytest.fixture
def scans(store: Store) -> Scans:
    return Scans(store)
