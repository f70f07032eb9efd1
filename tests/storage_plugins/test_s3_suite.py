"""The type `s3` through the conformance suite, against SeaweedFS and rclone's `serve s3`."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.servers import Running
from tests.storage_plugins.s3_servers import login


class S3Suite(ElementSuite):
    many = 1200  # more than a page
    examples = 5

    @pytest.fixture
    def recipe(self, server: Running) -> Recipe:
        # Parts as small as S3 has them: the suite's objects of some megabytes are sent and read in several.
        return "s3", login(server.port, prefix=f"suite/{secrets.token_hex(6)}", part_size=5 << 20)

    @pytest.fixture
    async def element(self, recipe: Recipe) -> AsyncIterator[Element]:
        assert recipe
        element = registry.open(*recipe, name="s3")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


class TestSeaweed(S3Suite):
    awkward = tuple(name for name in AWKWARD if "\\" not in name)  # it would take them for slashes
    refused = (*REFUSED, "back\\slash")

    @pytest.fixture
    def server(self, weed_server: Running) -> Running:
        return weed_server


class TestRclone(S3Suite):
    @pytest.fixture
    def recipe(self, server: Running) -> Recipe:
        # It answers the question for tags with 500, when there are none.
        prefix = f"suite/{secrets.token_hex(6)}"
        return "s3", login(server.port, prefix=prefix, part_size=5 << 20, disabled_powers="KeepsMetadata")

    @pytest.fixture
    def server(self, rclone_server: Running) -> Running:
        return rclone_server
