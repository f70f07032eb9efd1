"""Every plug-in of ours through the shipped conformance suite, bare and inside all wrappers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from storage_plugins import registry
from storage_plugins.testing import ElementSuite
from storage_plugins.testing_writes import Recipe
from storage_plugins.wrappers import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage_plugins.base import Element


class TestMemory(ElementSuite):
    # flat names: a slash at the end or two of them are refused all the same, for layouts that are moved to a disk later
    @pytest.fixture
    async def element(self) -> AsyncIterator[Element]:
        element = registry.open("memory", {"store": secrets.token_hex(4)}, name="memory")
        yield element
        await element.aclose()


class TestPosix(ElementSuite):
    @pytest.fixture
    async def element(self, tmp_path: Path) -> AsyncIterator[Element]:
        element = registry.open("posix", {"path": str(tmp_path / "root"), "fsync": "false"}, name="disk")
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        return "posix", {"path": str(tmp_path / "root")}


class TestPosixWithoutFrills(ElementSuite):
    """No powers, and the durable way."""

    @pytest.fixture
    async def element(self, tmp_path: Path) -> AsyncIterator[Element]:
        options = {
            "path": str(tmp_path),
            "mode": "640",
            "dir_mode": "2750",
            "prune": "false",
            "marker": False,
            "threads": "2",
        }
        element = registry.open("posix", {**options, "disabled_powers": "Renames,ServerCopies,Checksums"}, name="disk")
        yield element
        await element.aclose()

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        return "posix", {"path": str(tmp_path), "marker": False}

    many = 200
    examples = 5


class TestWrapped(ElementSuite):
    @pytest.fixture
    async def element(self, tmp_path: Path) -> AsyncIterator[Element]:
        inner = registry.open("posix", {"path": str(tmp_path), "fsync": False}, name="disk")
        element = wrap(inner, attempts=3, max_concurrent=4, max_rate=1 << 40, timeout=30, observe=lambda _: None)
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        return "posix", {"path": str(tmp_path)}

    many = 500
    examples = 5
