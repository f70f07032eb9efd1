"""Girder elements through the conformance suite, against Girder 5."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from storage_plugins import registry
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.storage_plugins.girder_server import Girder, girder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage_plugins.base import Element


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Girder]:
    with girder(tmp_path_factory.mktemp("girder"), "hashsum_download") as server:
        yield server


class TestGirder(ElementSuite):
    many = 120
    examples = 3
    leftovers = 0  # of a write of unknown size: nothing is sent before all has come
    awkward = tuple(name for name in AWKWARD if all(part == part.strip() for part in name.split("/")))
    refused = (*REFUSED, " a", "a ", "a/ b/c", "a\t", "a\u00a0/b", "a\\-b", "\udcff")

    @pytest.fixture
    def recipe(self, server: Girder) -> Recipe:
        return "girder", server.options(f"/collection/science/{secrets.token_hex(6)}/the root")

    @pytest.fixture
    async def element(self, recipe: Recipe) -> AsyncIterator[Element]:
        assert recipe
        element = registry.open(*recipe, name="girder")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()
