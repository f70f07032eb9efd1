"""Rules: standing wishes about copies, and why a copy is where it is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from doors.http.routes import Call, Route
from lading.model.errors import NotFound
from lading.model.outcome import Outcomes
from lading.model.rule import MAX_WHY, NewRule, RuleChange, RuleInfo, RulePlan, Why, WhyNames


class RulesQuery(Struct, forbid_unknown_fields=True):
    """`all`: those of everybody, for administrators."""

    all: bool = False


def _number(call: Call[Any, Any]) -> int:
    text = call.params["id"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFound(f"'{text[:40]}' is not the number of a rule", rule=text[:40])
    return int(text)


async def add(call: Call[NewRule]) -> RuleInfo:
    return await call.services.rules.add(call.caller, call.body)


async def plan(call: Call[NewRule]) -> RulePlan:
    return await call.services.rules.plan(call.caller, call.body)


async def every(call: Call[None, RulesQuery]) -> list[RuleInfo]:
    return await call.services.rules.every(call.caller, everybody=call.query.all)


async def show(call: Call[None]) -> RuleInfo:
    return await call.services.rules.show(call.caller, _number(call))


async def change(call: Call[RuleChange]) -> RuleInfo:
    return await call.services.rules.change(call.caller, _number(call), call.body)


async def remove(call: Call[None]) -> None:
    await call.services.rules.remove(call.caller, _number(call))


async def why(call: Call[WhyNames]) -> Outcomes[Why]:
    return await call.services.rules.why(call.caller, call.body.lfns)


_TAG = "Rules"
ROUTES = [
    Route("POST", "/v1/rules", add, "user", "Have copies kept up from now on", body=NewRule, answer=RuleInfo, status=201, tag=_TAG),
    Route("POST", "/v1/rule-plan", plan, "user", "What a rule would come to", body=NewRule, answer=RulePlan, changes=False, tag=_TAG),
    Route("GET", "/v1/rules", every, "user", "Your rules", query=RulesQuery, answer=list[RuleInfo], tag=_TAG),
    Route("GET", "/v1/rules/{id}", show, "user", "A rule, and what its last look at its files found", answer=RuleInfo, tag=_TAG),
    Route("PATCH", "/v1/rules/{id}", change, "user", "Another end, grace, priority or note; look at all its files now", body=RuleChange, answer=RuleInfo, tag=_TAG),
    Route("DELETE", "/v1/rules/{id}", remove, "user", "End a rule: its copies stay", status=204, tag=_TAG),
    Route("POST", "/v1/why", why, "user", "Which rules want files where, what is missing and why", body=WhyNames, answer=Outcomes[Why], limit=MAX_WHY, changes=False, tag=_TAG),
]  # fmt: skip
