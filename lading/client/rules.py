"""The part of the client about rules: copies that the server keeps up by itself."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from ..model.outcome import Outcome, Outcomes
from ..model.rule import MAX_WHY, NewRule, RuleChange, RuleInfo, RulePlan, Why, WhyNames
from .admin import Part
from .batch import bulk
from .namespace import LONG

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rules(Part):
    """Standing wishes: "2 copies on type=disk, one of them at country=FR" of all below a directory, from now on."""

    async def add(self, new: NewRule, *, key: str | None = None) -> RuleInfo:
        """Have it kept up. The same `key` again, within a day, gives the same rule. Raises InvalidRequest, QueryError,
        NotFound, Forbidden, Conflict."""
        return await self.http.call("POST", "/v1/rules", RuleInfo, body=new, once=key or True, wait=LONG)

    async def plan(self, new: NewRule) -> RulePlan:
        """What it would come to now; nothing is done. Raises what `add` does."""
        return await self.http.call("POST", "/v1/rule-plan", RulePlan, body=new, wait=LONG)

    async def list(self, *, everybody: bool = False) -> builtins.list[RuleInfo]:
        """One's own; `everybody`'s for administrators."""
        params = {"all": True} if everybody else None
        return await self.http.call("GET", "/v1/rules", builtins.list[RuleInfo], params=params)

    async def show(self, rule: int) -> RuleInfo:
        """Raises NotFound."""
        return await self.http.call("GET", f"/v1/rules/{rule}", RuleInfo)

    async def change(self, rule: int, change: RuleChange) -> RuleInfo:
        """Another end, grace, priority or note; look at all its files now. Raises NotFound, InvalidRequest."""
        return await self.http.call("PATCH", f"/v1/rules/{rule}", RuleInfo, body=change, once=True)

    async def remove(self, rule: int) -> None:
        """End it: its copies stay, and are anybody's to drop. Raises NotFound."""
        await self.http.call("DELETE", f"/v1/rules/{rule}", type(None), once=True)

    async def why(self, lfns: Iterable[str]) -> builtins.list[Outcome[Why]]:
        """Which rules want each file where, what is missing and why."""
        return await bulk(self.http, "/v1/why", lfns, WhyNames, Outcomes[Why], once=False, size=MAX_WHY)
