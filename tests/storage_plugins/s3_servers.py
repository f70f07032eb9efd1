"""S3 servers as the tests run them: SeaweedFS, and rclone, which does much otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_plugins import registry
from storage_plugins.s3_element import S3Element
from tests.servers import Running, free_port, running
from tests.storage_plugins.ceph import ACCESS, SECRET, ceph
from tests.storage_plugins.swift import swift


def login(port: int, **options: Any) -> dict[str, Any]:
    """Options of an element on 127.0.0.1."""
    return {
        "endpoint": f"http://127.0.0.1:{port}",
        "bucket": "lading-test",
        "access_key": ACCESS,
        "secret_key": SECRET,
        **options,
    }


@contextlib.asynccontextmanager
async def opened(options: dict[str, Any]) -> AsyncIterator[S3Element]:
    element = registry.open("s3", options, name="s3")
    assert isinstance(element, S3Element)
    try:
        yield element
    finally:
        await element.aclose()


@pytest.fixture(scope="session")
def weed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with weed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ceph(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def swift_server() -> Iterator[Running]:
    with swift() as server:
        yield server


@contextlib.contextmanager
def weed(folder: Path) -> Iterator[Running]:
    config = folder / "s3.json"
    key = {"accessKey": ACCESS, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config.write_text(json.dumps({"identities": [{"name": "lading", "credentials": [key], "actions": actions}]}))
    services = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    port = free_port()
    command = [
        "weed",
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=50",
        *(f"-{service}={free_port()}" for service in (*services, "s3.port.grpc")),
        "-s3",
        f"-s3.port={port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
    ]
    with running(command, port, folder) as server:
        yield server


@contextlib.contextmanager
def rclone(folder: Path, *, certificate: Path | None = None) -> Iterator[Running]:
    port = free_port()
    (folder / "data").mkdir(exist_ok=True)
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}"]
    if certificate:
        command += ["--cert", str(certificate), "--key", str(certificate)]
    with running([*command, str(folder / "data")], port, folder) as server:
        yield server
