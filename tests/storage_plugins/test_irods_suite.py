"""iRODS elements through the conformance suite: on the zone that LADING_TEST_IRODS names, else on a fake server.

See `irods_named.py` for how to name a zone, and `irods_fake.py` for what the fake is worth.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.storage_plugins.irods_named import NAMED, fake, options, zone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage_plugins.base import Element


@pytest.fixture(scope="module")
def named() -> Iterator[dict[str, Any]]:
    with zone() as options:
        yield options


@pytest.fixture(scope="module")
def of_old() -> Iterator[dict[str, Any]]:
    with fake(version="4.3.0", scheme="md5") as server:
        yield options(server, connections=1, server_checksums=False)


class TestIrods(ElementSuite):
    # With a control character in a name, most clients can list its collection no more.
    awkward = tuple(name for name in AWKWARD if name.isprintable())
    refused = (*REFUSED, "new\nline", "a\x1bb", "del\x7f", "\udcff", "a/" * 500 + "a", ".lading-staging/x")
    many = 120
    examples = 4

    @pytest.fixture
    def recipe(self, named: dict[str, Any]) -> Recipe:
        return "irods", {**named, "root": f"{named['root']}/{secrets.token_hex(6)}/the root"}

    @pytest.fixture
    async def element(self, recipe: Recipe) -> AsyncIterator[Element]:
        assert recipe
        element = registry.open(*recipe, name="irods")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


@pytest.mark.skipif(bool(NAMED), reason="a zone has one version: this is about an older one, which is the fake")
class TestIrodsOfOld(TestIrods):
    """Before GenQuery2, with MD5, one object at once, and no checksums of the server's."""

    many = 60
    examples = 2
    sizes = (0, 1, 100_000)

    @pytest.fixture
    def recipe(self, of_old: dict[str, Any]) -> Recipe:
        return "irods", {**of_old, "root": f"{of_old['root']}/{secrets.token_hex(6)}"}
