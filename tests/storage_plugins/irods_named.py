"""The iRODS zone that the tests run on: the one named by the environment, or the fake.

LADING_TEST_IRODS=irods://USER:PASSWORD@HOST:1247/ZONE names one. The password may stand in LADING_TEST_IRODS_PASSWORD
instead. Options of the type may follow: `?tls=true&ca=/etc/ssl/ca.pem`. Also read: `HOST PORT USER ZONE [PASSWORD]`, with
spaces, commas or colons between, and `host=HOST port=1247 user=USER zone=ZONE …`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from irods.session import iRODSSession

from storage_plugins import registry
from storage_plugins.irods import IrodsOptions
from storage_plugins.irods_session import _arguments
from tests.storage_plugins.irods_fake import FakeServer
from tests.storage_plugins.irods_fake_zone import Zone

NAMED = os.environ.get("LADING_TEST_IRODS", "").strip()


def read(text: str, password: str | None = None) -> dict[str, Any]:
    """Options, without a root."""
    if "://" in text:
        url = urlsplit(text)
        options: dict[str, Any] = {
            "host": url.hostname,
            "port": url.port or 1247,
            "user": unquote(url.username or ""),
            "zone": url.path.strip("/").split("/")[0],
            "password": unquote(url.password) if url.password else password,
            **dict(parse_qsl(url.query)),
        }
    elif "=" in text:
        options = {"password": password, **dict(pair.split("=", 1) for pair in re.split(r"[\s,;]+", text) if pair)}
    else:
        options = dict(zip(("host", "port", "user", "zone", "password"), re.split(r"[\s,:]+", text, maxsplit=4), strict=False))  # fmt: skip
        options.setdefault("password", password)
    return {name: value for name, value in options.items() if value is not None}


def options(server: FakeServer, zone: str = "fake", **more: Any) -> dict[str, Any]:
    (user, password), *_ = server.users.items()
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "user": user,
        "zone": zone,
        "password": password,
        "root": f"/{zone}/home/{user}/{secrets.token_hex(6)}",
        "timeout": 20,
        **more,
    }


@contextmanager
def fake(**more: Any) -> Iterator[FakeServer]:
    server = FakeServer(Zone("/fake/home/lading", scheme=more.pop("scheme", "sha2")), **more)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert not server.crashes, "\n".join(server.crashes)


@contextmanager
def zone() -> Iterator[dict[str, Any]]:
    """Options for a zone, with a root below which each test makes its own; all of it is removed at the end."""
    if not NAMED:
        with fake() as server:
            yield options(server)
        return
    named = read(NAMED, os.environ.get("LADING_TEST_IRODS_PASSWORD"))
    named["root"] = f"/{named['zone']}/home/{named['user']}/lading-test-{secrets.token_hex(6)}"
    config = registry.validate("irods", named)
    assert isinstance(config, IrodsOptions)
    try:
        yield named
    finally:
        with (
            iRODSSession(**_arguments(config)) as session,
            suppress(Exception),
        ):  # tests before may have failed to make it
            session.collections.remove(named["root"], recurse=True, force=True)
