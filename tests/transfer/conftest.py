"""A server with two POSIX elements, and what tests of bytes need."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.server import Server


@dataclass
class Store:
    """`server` with elements 'one' and 'two' below `folder`."""

    server: Server
    folder: Path

    async def put(self, lfn: str, body: Any, *, se: str = "one", **headers: str) -> tuple[int, Any]:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        url = f"{self.server.url}/v1/data{lfn}?se={se}"
        async with self.server.http.put(url, data=body, headers=named) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, lfn: str, query: str = "", **headers: str) -> tuple[int, bytes, Any]:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.server.http.get(f"{self.server.url}/v1/data{lfn}{query}", headers=named) as response:
            return response.status, await response.read(), response.headers

    async def sources(self, lfn: str) -> list[tuple[str, str]]:
        _, answer = await self.server.call("POST", "/v1/replicas/resolve", {"lfns": [lfn]})
        return [(s["se"], s.get("state", "available")) for s in answer["outcomes"][0]["value"]["sources"]]

    async def copy(self, lfn: str, to: str = "two") -> Any:
        _, answer = await self.server.call("POST", "/v1/replicas/copy", {"copies": [{"lfn": lfn, "to": to}]})
        return answer["outcomes"][0]

    def objects(self, se: str) -> list[Path]:
        """Every file on an element but its marker, leftovers of writes included."""
        return [p for p in (self.folder / se).rglob("*") if p.is_file() and p.name != ".lading-element"]

    async def clean(self) -> None:
        """What the worker does, until there is nothing left to do."""
        while await self.server.services.cleaner.step():
            pass

    async def uploads(self) -> int:
        async with self.server.services.database.read() as connection:
            return await connection.fetchval("select count(*) from upload")


def adler32(body: bytes) -> str:
    return f"{zlib.adler32(body):08x}"


@pytest_asyncio.fixture
async def store(server: Server, tmp_path: Path) -> AsyncIterator[Store]:
    for name in ("one", "two"):
        spec = {"name": name, "type": "posix", "options": {"path": str(tmp_path / name)}, "site": name.upper()}
        status, answer = await server.call("POST", "/v1/elements", spec)
        assert status == 201, answer
    yield Store(server, tmp_path)
