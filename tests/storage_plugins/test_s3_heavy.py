"""The type `s3` through the conformance suite, against servers that take long to install: Ceph's gateway, and Swift."""

from __future__ import annotations

import secrets

import pytest

from storage_plugins.testing_writes import Recipe
from tests.servers import Running
from tests.storage_plugins.s3_servers import login
from tests.storage_plugins.swift import KEY, USER
from tests.storage_plugins.test_s3_suite import S3Suite


@pytest.mark.heavy
class TestCeph(S3Suite):
    @pytest.fixture
    def server(self, ceph_server: Running) -> Running:
        return ceph_server


@pytest.mark.heavy
class TestSwift(S3Suite):
    @pytest.fixture
    def server(self, swift_server: Running) -> Running:
        return swift_server

    @pytest.fixture
    def recipe(self, server: Running) -> Recipe:
        options = login(server.port, prefix=f"suite/{secrets.token_hex(6)}", part_size=5 << 20)
        # It has no tags.
        return "s3", {**options, "access_key": USER, "secret_key": KEY, "disabled_powers": "KeepsMetadata"}
