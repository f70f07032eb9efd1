"""Rules are kept up: by what is there, by what comes, and by what is lost."""

from __future__ import annotations

import os
import time

from tests.transfer.rules.conftest import Ruled
from tests.transfer.work.conftest import working
from transfer.rules import keeper

BODY = os.urandom(10_007)


async def test_what_is_there_and_what_comes(kept: Ruled) -> None:
    await kept.put("/vo/kept/there", BODY)
    await kept.put("/vo/other", BODY)
    rule = await kept.rule("/vo/kept", (2, "country=*"), (1, "country=DE"))
    await kept.copied("/vo/kept/there", "one", "three")
    await kept.put("/vo/kept/deep/er/came", BODY, se="two")
    await kept.copied("/vo/kept/deep/er/came", "two", "three")
    assert await kept.on("/vo/other") == {"one"}
    assert (await kept.get("/vo/kept/there", "?se=three"))[1] == BODY
    await kept.server.call("PATCH", f"/v1/rules/{rule}", {"check": True})
    await kept.until(lambda: _counted(kept, rule, files=2, ok=2))
    shown = await kept.rule_shown(rule)
    request = await kept.show(shown["request"])
    assert (request["state"], request["files"], request["done"], request["rule"]) == ("running", 2, 2, rule)


async def _counted(site: Ruled, rule: int, **wanted: int) -> bool:
    counts = (await site.rule_shown(rule)).get("counts", {})
    return all(counts.get(name, 0) == number for name, number in wanted.items())


async def test_in_pieces(ruled: Ruled) -> None:
    names = [f"/vo/d{n % 3}/f{n}" for n in range(11)]
    for name in names:
        await ruled.put(name, BODY)
    rule = await ruled.rule("/vo", (1, "three"))
    keeper.PIECE, before = 3, keeper.PIECE
    try:
        await ruled.keep()
    finally:
        keeper.PIECE = before
    assert await _counted(ruled, rule, files=11, coming=11)
    assert await ruled.sql("select count(*) from queued") == 11
    await ruled.server.call("PATCH", f"/v1/rules/{rule}", {"check": True})
    await ruled.keep()
    assert await ruled.sql("select count(*) from queued") == 11, "what is on its way is not ordered again"
    async with working(ruled):
        for name in names:
            await ruled.copied(name, "one", "three")


async def test_a_lost_copy_is_made_again(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    await kept.rule("/vo", (2, "country=*"))
    await kept.copied("/vo/f", "one", "two")
    for path in kept.objects("two"):
        path.unlink()
    await kept.ended((await kept.request("verify", {"under": "/vo"}, source="two"))["id"])
    await kept.copied("/vo/f", "one", "two")
    assert len(kept.objects("two")) == 1


async def test_a_copy_that_fails_is_made_elsewhere(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    await kept.server.call("PATCH", "/v1/elements/two", {"layout": "identity"})
    (squatter := kept.folder / "two" / "vo" / "f").parent.mkdir(parents=True)
    squatter.write_bytes(b"somebody else's")
    rule = await kept.rule("/vo", (2, "country=*"))
    await kept.copied("/vo/f", "one", "three")
    assert squatter.read_bytes() == b"somebody else's"
    [failure] = await kept.failures((await kept.rule_shown(rule))["request"])
    assert "another object is in its place" in failure["error"]


async def test_what_can_not_be_is_told(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    rule = await ruled.rule("/vo", (3, "country=FR"), (1, "three"))
    await ruled.server.call("PATCH", "/v1/elements/three", {"state": "read-only"})
    await ruled.keep()
    assert await _counted(ruled, rule, files=1, lacking=1)
    first, second = (await ruled.why("/vo/f"))["wants"]
    assert first == {
        "rule": rule, "copies": 3, "to": "country=FR", "there": ["one"], "coming": ["two"], "lacking": 1,
        "why": "there are no more such storage elements",
    }  # fmt: skip
    assert (second["lacking"], second["why"]) == (1, "none of three can take it")
    await ruled.server.call("PATCH", "/v1/elements/three", {"state": "active"})
    await ruled.server.call("PATCH", f"/v1/rules/{rule}", {"check": True})
    await ruled.keep()
    assert (await ruled.why("/vo/f"))["wants"][1]["coming"] == ["three"]


async def test_surplus_goes_after_its_grace(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    for to in ("two", "three"):
        await ruled.copy("/vo/f", to)
    rule = await ruled.rule("/vo", (2, "country=*"), grace=3600)
    await ruled.keep()
    [copy] = [c for c in (await ruled.why("/vo/f"))["copies"] if c["se"] == "three"]
    assert 3590e6 < copy["goes"] - time.time() * 1e6 < 3610e6
    assert await ruled.on("/vo/f") == {"one", "two", "three"}
    await ruled.server.call("PATCH", f"/v1/rules/{rule}", {"grace": 0, "check": True})
    await ruled.keep()
    assert await ruled.on("/vo/f") == {"one", "two"}
    await ruled.clean()
    assert ruled.objects("three") == []
    assert await ruled.sql("select count(*) from surplus") == 0


async def test_what_a_rule_counts_on_is_not_dropped(kept: Ruled) -> None:
    await kept.put("/vo/f", BODY)
    rule = await kept.rule("/vo", (2, "country=FR"))
    await kept.copied("/vo/f", "one", "two")
    ended = await kept.ended((await kept.request("drop", {"under": "/vo"}, source="one"))["id"])
    assert ended["failed"] == 1
    [failure] = await kept.failures(ended["id"])
    assert failure["error"] == f"it is wanted there by rule {rule}: see 'lading why'"
    drop = {"replicas": [{"lfn": "/vo/f", "se": "one"}]}
    outcome = (await kept.server.call("POST", "/v1/replicas/drop", drop))[1]["outcomes"][0]
    assert outcome["error"]["code"] == "conflict"
    assert f"rule {rule}" in outcome["error"]["message"]
    ended = await kept.ended((await kept.request("move", {"under": "/vo"}, to="three", source="one"))["id"])
    assert ended["done"] == 1
    assert await kept.on("/vo/f") == {"one", "two", "three"}
    status, _ = await kept.server.call("DELETE", f"/v1/rules/{rule}")
    assert status == 204
    ended = await kept.ended((await kept.request("drop", {"under": "/vo"}, source="one"))["id"])
    assert ended["done"] == 1
    assert await kept.on("/vo/f") == {"two", "three"}


async def test_two_rules_share_a_copy(ruled: Ruled) -> None:
    await ruled.put("/vo/a/f", BODY, se="two")
    first, second = await ruled.rule("/vo/a", (1, "country=DE")), await ruled.rule("/vo", (2, "country=*"))
    async with working(ruled):
        await ruled.copied("/vo/a/f", "two", "three")
        await ruled.keep()
    wanted = {copy["se"]: copy["rules"] for copy in (await ruled.why("/vo/a/f"))["copies"]}
    assert wanted == {"two": [second], "three": [first, second]}


async def test_a_place_is_taken_by_its_true_name(ruled: Ruled) -> None:
    await ruled.put("/vo/d/f", BODY)
    assert (await ruled.server.call("POST", "/v1/aliases", {"prefix": "/old", "target": "/vo"}))[0] == 200
    rule = await ruled.rule("/old/d", (1, "three"))
    assert (await ruled.rule_shown(rule))["selection"] == {"under": "/vo/d"}
    await ruled.keep()
    assert await ruled.sql("select count(*) from queued") == 1


async def test_its_time_is_over(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    rule = await ruled.rule("/vo", (1, "three"), until=int((time.time() + 3600) * 1e6))
    await ruled.keep()
    request = (await ruled.rule_shown(rule))["request"]
    await ruled.sql("update rule set until = 1 where id = $1", rule)
    await ruled.keep()
    assert (await ruled.server.call("GET", f"/v1/rules/{rule}"))[0] == 404
    assert (await ruled.show(request))["state"] == "cancelled"
    assert (await ruled.why("/vo/f")).get("wants", []) == []


async def test_of_a_query_and_of_a_data_set(ruled: Ruled) -> None:
    for name in ("/vo/q/mri", "/vo/q/ct", "/vo/s"):
        await ruled.put(name, BODY)
    field = {"vo": "vo", "name": "modality", "type": "string"}
    assert (await ruled.server.call("POST", "/v1/fields", {"fields": [field]}))[0] == 200
    values = {"items": [{"lfn": "/vo/q/mri", "values": {"modality": "MRI"}}]}
    assert (await ruled.server.call("POST", "/v1/metadata", values))[0] == 200
    assert (await ruled.server.call("POST", "/v1/datasets", {"name": "/vo/set", "lfns": []}))[0] == 200
    added = {"name": "/vo/set", "lfns": ["/vo/s"]}
    assert (await ruled.server.call("POST", "/v1/dataset/add", added))[0] == 200
    for selection in ({"under": "/vo", "query": 'modality = "MRI"'}, {"dataset": "/vo/set"}):
        body = {"selection": selection, "wants": [{"copies": 1, "to": "three"}]}
        assert (await ruled.server.call("POST", "/v1/rules", body))[0] == 201
    async with working(ruled):
        for name, copies in (("/vo/q/mri", 2), ("/vo/s", 2)):
            await ruled.until(lambda name=name, copies=copies: _many(ruled, name, copies))
    assert await ruled.on("/vo/q/ct") == {"one"}


async def _many(site: Ruled, lfn: str, copies: int) -> bool:
    return len(await site.on(lfn)) == copies


async def test_a_rule_that_is_paused_orders_nothing_and_still_counts(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    await ruled.copy("/vo/f", "two")
    rule = await ruled.rule("/vo", (3, "country=*"))
    request = (await ruled.rule_shown(rule))["request"]
    assert (await ruled.change(request, state="paused"))[0] == 200
    await ruled.keep()
    assert await ruled.sql("select count(*) from queued") == 0
    assert (await ruled.why("/vo/f"))["wants"][0]["why"] == "the rule stands still"
    for change in ({"state": "cancelled"}, {"retry": True}):
        status, answer = await ruled.change(request, **change)
        assert status == 409, answer
        assert "lading rule" in answer["detail"]
    await ruled.change(request, state="running")
    await ruled.server.call("PATCH", f"/v1/rules/{rule}", {"check": True})
    async with working(ruled):
        await ruled.copied("/vo/f", "one", "two", "three")


async def test_a_preview_does_nothing(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    await ruled.put("/vo/g", BODY, se="two")
    body = {"selection": {"under": "/vo"}, "wants": [{"copies": 2, "to": "country=FR"}, {"copies": 1, "to": "tape"}]}
    status, plan = await ruled.server.call("POST", "/v1/rule-plan", body)
    assert status == 200, plan
    assert (plan["copies"], plan["bytes"], plan["counts"]["lacking"]) == (2, 2 * len(BODY), 2)
    assert {(link["source"], link["target"], link["files"]) for link in plan["links"]} == {
        ("one", "two", 1), ("two", "one", 1),
    }  # fmt: skip
    assert plan["lacking"] == {"there are no more such storage elements": 2}
    assert await ruled.sql("select count(*) from queued") == 0
    assert (await ruled.server.call("GET", "/v1/rules"))[1] == []


async def test_what_makes_no_sense_is_refused(ruled: Ruled) -> None:
    await ruled.put("/vo/f", BODY)
    want = [{"copies": 1, "to": "one"}]
    for body, word in (
        ({"selection": {"lfns": ["/vo/f"]}, "wants": want}, "directory"),
        ({"selection": {"under": "/vo", "dataset": "/vo/x"}, "wants": want}, "directory"),
        ({"selection": {"dataset": "/vo/x"}, "wants": want}, "no data set"),
        ({"selection": {"under": "/vo/none"}, "wants": want}, "/vo/none"),
        ({"selection": {"under": "/vo/f"}, "wants": want}, "/vo/f"),
        ({"selection": {"under": "/vo"}, "wants": []}, "length"),
        ({"selection": {"under": "/vo"}, "wants": [{"copies": 1, "to": "country=="}]}, ""),
        ({"selection": {"under": "/vo"}, "wants": [{"copies": 1, "to": "free>1GB"}]}, "free"),
        ({"selection": {"under": "/vo"}, "wants": want, "until": 1}, "to come"),
        ({"selection": {"under": "/vo", "query": "nosuch = 1"}, "wants": want}, "nosuch"),
    ):
        status, answer = await ruled.server.call("POST", "/v1/rules", body)
        assert status in (400, 404, 422), (body, answer)
        assert word in answer["detail"], answer
    assert (await ruled.server.call("GET", "/v1/rules/7"))[0] == 404
    assert (await ruled.why("/vo/f"))["copies"] == [{"se": "one", "state": "available"}]


async def test_it_is_about_what_its_owner_may_reach_read_and_change(ruled: Ruled) -> None:
    call = ruled.server.call
    assert (await call("POST", "/v1/users", {"name": "ann"}))[0] in (200, 201)
    token = (await call("POST", "/v1/tokens", {"user": "ann", "scopes": ["read", "write"]}))[1]["token"]
    for name in ("/vo/open/hers", "/vo/open/read", "/vo/shut/f"):
        await ruled.put(name, BODY)
    for lfn, mode in (("/vo/open/hers", 0o666), ("/vo/open/read", 0o644), ("/vo/shut/f", 0o666), ("/vo/shut", 0o700)):
        assert (await call("POST", "/v1/attributes", {"lfns": [lfn], "mode": mode}))[1].get("failed", 0) == 0
    body = {"selection": {"under": "/vo"}, "wants": [{"copies": 1, "to": "three"}]}
    status, made = await call("POST", "/v1/rules", body, token=token)
    assert status == 201, made
    await ruled.keep()
    assert await ruled.sql("select count(*) from queued") == 1
    shown = (await call("GET", f"/v1/rules/{made['id']}", token=token))[1]
    assert (shown["counts"]["files"], shown["counts"]["coming"], shown["counts"]["refused"]) == (3, 1, 2)
    assert (await ruled.why("/vo/open/hers"))["wants"][0]["rule"] == made["id"]
    assert "wants" not in await ruled.why("/vo/shut/f")
    other = await ruled.rule("/vo", (1, "one"))
    assert (await call("GET", f"/v1/rules/{other}", token=token))[0] == 404
    assert [rule["id"] for rule in (await call("GET", "/v1/rules", token=token))[1]] == [made["id"]]
    assert (await call("GET", "/v1/rules?all=true", token=token))[0] == 403
    assert (await call("PATCH", "/v1/users/ann", {"disabled": True}))[0] == 200
    await ruled.server.call("PATCH", f"/v1/rules/{made['id']}", {"check": True})
    await ruled.keep()
    assert "disabled" in (await ruled.rule_shown(made["id"]))["error"]
    assert (await ruled.why("/vo/open/hers"))["wants"][0]["rule"] == made["id"], "what it had wanted is protected"
