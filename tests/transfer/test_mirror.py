"""Metadata that storages keep, in both directions."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.transfer.conftest import Store


@pytest.fixture
async def vault(store: Store) -> Store:
    """With an element `vault` that keeps metadata, three fields of the VO `vo`, and a file that has one of them of its own and one
    inherited."""
    call = store.server.call
    options = {"store": secrets.token_hex(4)}
    assert (await call("POST", "/v1/elements", {"name": "vault", "type": "memory", "options": options}))[0] == 201
    fields = [("run", "int"), ("who", "string"), ("tags", "json"), ("when", "date")]
    declared = {"fields": [{"vo": "vo", "name": name, "type": kind} for name, kind in fields]}
    assert (await store.put("/vo/d/a", b"bytes", se="vault"))[0] == 201
    assert "failed" not in (await call("POST", "/v1/fields", declared))[1]
    await describe(store, {"/vo/d": {"who": "Ö 7"}, "/vo/d/a": {"run": 7, "tags": ["x", {"y": None}]}})
    return store


async def describe(store: Store, values: dict[str, Any]) -> None:
    items = [{"lfn": lfn, "values": given} for lfn, given in values.items()]
    assert "failed" not in (await store.server.call("POST", "/v1/metadata", {"items": items}))[1]


async def mirror(store: Store, *lfns: str, se: str = "vault", **more: Any) -> list[Any]:
    _, answer = await store.server.call("POST", "/v1/metadata/mirror", {"se": se, "lfns": lfns, **more})
    return [o.get("value") or o["error"] for o in answer["outcomes"]]


async def kept(store: Store, **changes: str | None) -> dict[str, str]:
    """What the storage has of the one object there, after changes made there."""
    elements = store.server.services.elements
    storage: Any = await elements.storage(elements.named("vault"))
    (entry,) = [entry async for entry in storage.scan()]
    await storage.set_metadata(entry.pfn, changes)
    found: dict[str, str] = await storage.get_metadata(entry.pfn)
    return found


async def values(store: Store) -> dict[str, Any]:
    _, answer = await store.server.call("POST", "/v1/metadata/get", {"lfns": ["/vo/d/a"]})
    found: dict[str, Any] = answer["outcomes"][0]["value"]["values"]
    return found


async def test_out(vault: Store) -> None:
    await kept(vault, when="1999-01-01", theirs="stays")
    would_be = (await mirror(vault, "/vo/d/a", dry_run=True))[0]
    assert await kept(vault) == {"when": "1999-01-01", "theirs": "stays"}
    assert await mirror(vault, "/vo/d/a") == [would_be]
    assert await kept(vault) == {"run": "7", "who": "Ö 7", "tags": '["x",{"y":null}]', "theirs": "stays"}
    assert await mirror(vault, "/vo/d/a") == [would_be], "again is the same"


async def test_back(vault: Store) -> None:
    await kept(vault, run="8", who="9", when="2024-02-29", tags='{"a": 1}', **{"Not Ours": "x"})
    before = await values(vault)
    (found,) = await mirror(vault, "/vo/d/a", back=True, dry_run=True)
    assert found["ignored"] == ["Not Ours"]
    assert await values(vault) == before
    await mirror(vault, "/vo/d/a", back=True)
    assert await values(vault) == {"run": 8, "who": "9", "when": "2024-02-29", "tags": {"a": 1}}


async def test_what_fits_no_field_changes_nothing(vault: Store) -> None:
    await kept(vault, run="seven", who="x")
    before = await values(vault)
    (refused,) = await mirror(vault, "/vo/d/a", back=True)
    assert refused["code"] == "invalid_request"
    assert await values(vault) == before


async def test_each_file_has_its_own_outcome(vault: Store) -> None:
    await vault.put("/vo/d/b", b"bytes", se="one")
    found = await mirror(vault, "/vo/d/b", "/vo/none", "/vo/d", "/vo/d/a")
    assert [o.get("code") for o in found] == ["unavailable", "not_found", found[2]["code"], None]
    assert found[3]["values"]["run"] == "7"


async def test_who_may_and_where(vault: Store) -> None:
    status, refused = await vault.server.call("POST", "/v1/metadata/mirror", {"se": "one", "lfns": ["/vo/d/a"]})
    assert (status, refused["code"]) == (400, "invalid_request")
    assert "keeps no metadata" in refused["detail"]
    assert (await vault.server.call("POST", "/v1/metadata/mirror", {"se": "none", "lfns": ["/vo/d/a"]}))[0] == 404
