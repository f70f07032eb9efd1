"""What was moved is summed up, by whatever is asked."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from lading.cli.accounting import bar
from lading.model.accounting import By
from tests.transfer.work.conftest import Site

BODY = os.urandom(1000)


async def sums(site: Site, query: str, token: str | None = None) -> list[dict[str, Any]]:
    status, answer = await site.server.call("GET", f"/v1/accounting?{query}", token=token)
    assert status == 200, answer
    found: list[dict[str, Any]] = answer
    return found


async def test_by_link_activity_result_and_day(site: Site) -> None:
    for n in range(3):
        await site.put(f"/vo/f{n}", BODY)
    await site.ended((await site.request("replicate", {"under": "/vo"}, to="two", activity="night"))["id"])
    await site.ended((await site.request("replicate", {"lfns": ["/vo/f0"]}, to="three"))["id"])
    site.objects("two")[0].write_bytes(b"spoilt")
    await site.ended((await site.request("verify", {"under": "/vo"}, source="two"))["id"])
    links = await sums(site, "by=source&by=target&kind=replicate&activity=night")
    assert [(r["keys"], r["tries"], r["done"], r["bytes"]) for r in links] == [
        ({"source": "one", "target": "two"}, 3, 3, 3000)
    ]
    kinds = {r["keys"]["kind"]: r["tries"] for r in await sums(site, "by=kind&activity=user")}
    assert kinds["replicate"] == 1
    results = {r["keys"]["result"]: r["tries"] for r in await sums(site, "by=result&kind=verify")}
    assert results == {"done": 2, "failed": 1}
    [today] = await sums(site, "by=day&element=three")
    assert today["keys"] == {"day": time.strftime("%Y-%m-%d", time.gmtime())}
    assert (today["done"], today["bytes"], today["seconds"] > 0) == (1, 1000, True)
    [hour] = await sums(site, "by=hour&element=three&by=user&by=group&by=way")
    assert (hour["keys"]["user"], set(hour["keys"])) == ("admin", {"hour", "user", "group", "way"})
    assert await sums(site, f"since={int(time.time() * 1e6) + 10**9}") == []
    for query, status in (("by=colour", 400), ("element=none", 404), ("user=none", 404)):
        assert (await site.server.call("GET", f"/v1/accounting?{query}"))[0] == status


async def test_others_are_for_administrators(site: Site) -> None:
    await site.put("/vo/f", BODY)
    await site.ended((await site.request("replicate", {"under": "/vo"}, to="two"))["id"])
    await site.server.call("POST", "/v1/users", {"name": "bob"})
    _, token = await site.server.call("POST", "/v1/tokens", {"user": "bob", "scopes": ["read"]})
    assert await sums(site, "by=day", token["token"]) == []
    for query in ("all=true", "user=admin"):
        assert (await site.server.call("GET", f"/v1/accounting?{query}", token=token["token"]))[0] == 403
    assert len(await sums(site, "by=user&all=true")) == 1
    assert await sums(site, "user=bob") == []


@pytest.mark.parametrize(("share", "drawn"), [(0, ""), (1e-9, "▏"), (0.5, "████"), (0.95, "███████▋"), (1, "████████")])
def test_a_bar(share: float, drawn: str) -> None:
    assert bar(share, 8) == drawn


def test_every_by_has_a_key() -> None:
    from transfer.requests.accounting_store import _KEYS

    assert set(_KEYS) == set(By)
