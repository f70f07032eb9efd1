"""A client of a real server with two POSIX elements, for the tests of the client and of the command line."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from lading import Client
from lading.model.element import ElementSpec
from lading.model.field import FieldSpec, FieldType
from tests.server import Server


@dataclass
class Bench:
    """`disks` are the folders of the elements `disk1` and `disk2`; `here` is an empty folder for local files."""

    server: Server
    client: Client
    here: Path
    disks: dict[str, Path] = field(default_factory=dict)

    async def declare(self, **types: str) -> None:
        """Fields of the VO `vo`."""
        await self.client.fields.add([FieldSpec("vo", name, FieldType(t)) for name, t in types.items()])

    def object(self, se: str, content: bytes) -> Path:
        """The file on an element that holds `content`."""
        found = [p for p in self.disks[se].rglob("*") if p.is_file() and p.stat().st_size == len(content)]
        return next(p for p in found if p.read_bytes() == content)

    def local(self, name: str, content: bytes) -> str:
        path = self.here / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs the tests gets in."""
    for name in list(os.environ):
        if name.startswith("LADING_") and not name.startswith("LADING_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest_asyncio.fixture
async def bench(server: Server, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Client(server.url, server.token) as client:
        made = Bench(server, client, tmp_path / "here")
        made.here.mkdir()
        for name in ("disk1", "disk2"):
            made.disks[name] = tmp_path / name
            spec = ElementSpec(name, "posix", {"path": str(made.disks[name])}, cost=100 if name == "disk1" else 200)
            await client.elements.add(spec)
        yield made


def adler32(content: bytes) -> str:
    return f"{zlib.adler32(content):08x}"


def noise(size: int, seed: int = 1) -> bytes:
    """The same bytes for the same seed."""
    import random

    return random.Random(seed).randbytes(size)
