"""XRootD elements through the conformance suite, against XRootD's own server: for everybody, and with GSI."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.pki import Pki
from tests.storage_plugins.xrootd_server import ANONYMOUS, GSI, xrootd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage_plugins.base import Element
    from tests.servers import Running


@pytest.fixture(scope="module")
def anonymous(grid: Pki) -> Iterator[Running]:
    with xrootd(grid, ANONYMOUS) as server:
        yield server


@pytest.fixture(scope="module")
def gsi(grid: Pki) -> Iterator[Running]:
    with xrootd(grid, GSI) as server:
        yield server


class TestXrootd(ElementSuite):
    # In the protocol, what follows a question mark is options, and lines are names in a listing.
    refused = (*REFUSED, "a?b", "new\nline", "x" * 255)
    awkward = tuple(name for name in AWKWARD if not set(name) & set("?\n") and len(name) < 255)
    many = 300
    examples = 3

    @pytest.fixture
    def recipe(self, anonymous: Running) -> Recipe:
        return "xrootd", {"url": f"root://localhost:{anonymous.port}//{secrets.token_hex(6)}/", "fsync": False}

    @pytest.fixture
    async def element(self, recipe: tuple[str, dict[str, Any]]) -> AsyncIterator[Element]:
        element = registry.open(*recipe, name="xrootd")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


class TestXrootdGsi(TestXrootd):
    """With a certificate over TLS, one connection, no marker, and what is stored synced."""

    many = 100
    examples = 3

    @pytest.fixture
    def recipe(self, gsi: Running, grid: Pki) -> Recipe:
        return "xrootd", {
            "url": f"roots://localhost:{gsi.port}//{secrets.token_hex(6)}",
            "certificate": str(grid.user),
            "ca": str(grid.certificates),
            "connections": 1,
            "marker": False,
            "disabled_powers": "ServerCopies",
        }
