"""The type `webdav` through the conformance suite, against Apache's mod_dav and rclone's `serve webdav`."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.testing import ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.servers import Running
from tests.storage_plugins.http_servers import PASSWORD, USER, apache, rclone


@pytest.fixture(scope="module")
def apache_server() -> Iterator[Running]:
    with apache() as server:
        yield server


@pytest.fixture(scope="module")
def rclone_server() -> Iterator[Running]:
    with rclone() as server:
        yield server


class WebdavSuite(ElementSuite):
    many = 500
    examples = 5

    @pytest.fixture
    def recipe(self, server: Running) -> Recipe:
        url = f"http://127.0.0.1:{server.port}/{secrets.token_hex(6)}/"
        return "webdav", {"url": url, "username": USER, "password": PASSWORD}

    @pytest.fixture
    async def element(self, recipe: Recipe) -> AsyncIterator[Element]:
        assert recipe
        element = registry.open(*recipe, name="dav")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


class TestApache(WebdavSuite):
    leftovers = 0  # Apache writes to a file of its own, and takes that away when the connection breaks

    @pytest.fixture
    def server(self, apache_server: Running) -> Running:
        return apache_server


class TestRclone(WebdavSuite):
    @pytest.fixture
    def server(self, rclone_server: Running) -> Running:
        return rclone_server
